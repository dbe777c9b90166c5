"""The Ansible content by itself: its lint, its documentation, and its filters."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from virtlab.resources import playbooks_dir

BIN = Path(sys.executable).parent
COLLECTION = playbooks_dir() / "collections/ansible_collections/virtlab/lab"
MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))


def ran(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(playbooks_dir() / "collections"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }  # fmt: skip
    return subprocess.run(
        [BIN / command[0], *command[1:]], cwd=playbooks_dir(), capture_output=True, text=True,
        timeout=300, env=environment,
    )  # fmt: skip


def test_ansible_lint_has_nothing_to_say_at_its_production_profile(tmp_path: Path) -> None:
    done = ran(tmp_path, "ansible-lint", "--offline", "--nocolor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Profile 'production' was required, and it passed" in done.stderr


def test_every_module_is_described_with_an_example_and_what_it_returns(tmp_path: Path) -> None:
    names = [f"virtlab.lab.{name}" for name in MODULES]
    done = ran(tmp_path, "ansible-doc", "--json", *names)
    assert done.returncode == 0, done.stderr
    described = json.loads(done.stdout)
    assert sorted(described) == names
    for name in names:
        assert described[name]["doc"]["attributes"]["check_mode"]["support"] == "full"
        assert name in described[name]["examples"]
        assert described[name]["return"]


@pytest.fixture(scope="module")
def filters() -> ModuleType:
    path = COLLECTION / "plugins/filter/scenario.py"
    spec = importlib.util.spec_from_file_location("scenario_filters", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(name: str) -> dict[str, object]:
    command = [BIN / "virtlab", "scenarios", "show", name, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    scenario: dict[str, object] = json.loads(done.stdout)["scenario"]
    return scenario


def test_the_filters_turn_a_scenario_into_what_the_roles_take(filters: ModuleType) -> None:
    scenario = shown("cpu-1-all-on-one")
    guests, loads = filters.guests_of(scenario), filters.loads_of(scenario)
    assert guests[0] == {
        "name": "aos_vm6", "memory_mib": 512, "max_memory_mib": 512, "vcpus": 1,
        "deflate_on_oom": False, "pins": [[0]],
    }  # fmt: skip
    assert loads[0] == {
        "guest": "aos_vm6",
        "load": {"duty": 0.21, "period_ms": 0.5},
        "vcpus": [0],
        "slot": "main",
    }
    assert len(guests) == len(loads) == 8


def test_loads_that_begin_later_are_left_out(filters: ModuleType) -> None:
    assert filters.loads_of(shown("memory-1-one-consumes")) == []
