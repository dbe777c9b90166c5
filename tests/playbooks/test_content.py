"""The Ansible content by itself: its lint, its documentation, and its filters."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from virtlab.resources import playbooks_dir

BIN = Path(sys.executable).parent
COLLECTION = playbooks_dir() / "collections/ansible_collections/virtlab/lab"


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


KINDS = {
    "module": sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py")),
    "filter": sorted(path.stem for path in (COLLECTION / "plugins/filter").glob("*.yml")),
    "role": sorted(path.name for path in (COLLECTION / "roles").iterdir()),
}
ROLES = KINDS["role"]
Doc = dict[str, Any]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Doc]:
    """Return what ansible-doc says of all that there is, by kind and name."""
    found = {}
    for kind, names in KINDS.items():
        full = [f"virtlab.lab.{name}" for name in names]
        done = ran(tmp_path_factory.mktemp(kind), "ansible-doc", "-t", kind, "--json", *full)
        assert done.returncode == 0, done.stderr
        docs = json.loads(done.stdout)
        found[kind] = {name: docs[whole] for name, whole in zip(names, full, strict=True)}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_ansible_doc_lists_all_that_there_is(kind: str, tmp_path: Path) -> None:
    done = ran(tmp_path, "ansible-doc", "-t", kind, "-l", "--json", "virtlab.lab")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert sorted(listed) == [f"virtlab.lab.{name}" for name in KINDS[kind]]
    # Of a role its entry points are described.
    said = [
        word
        for one in listed.values()
        for word in (one["entry_points"].values() if kind == "role" else [one])
    ]
    assert all(said)
    assert "UNDOCUMENTED" not in said


def test_every_module_is_described_with_an_example_and_what_it_returns(
    described: dict[str, Doc],
) -> None:
    for name, found in described["module"].items():
        doc = found["doc"]
        assert doc["attributes"]["check_mode"]["support"] == "full"
        assert {"uri", *doc["options"]} == set(doc["options"])  # by the fragment `host`
        assert doc["author"] and doc["requirements"] and doc["version_added"]
        assert f"virtlab.lab.{name}:" in found["examples"]
        assert found["return"]
        undescribed(name, doc["options"])


def test_every_filter_is_described_with_an_example_and_what_it_returns(
    described: dict[str, Doc],
) -> None:
    for name, found in described["filter"].items():
        assert found["doc"]["short_description"]
        assert f"virtlab.lab.{name}" in found["examples"]
        assert found["return"]["_value"]["description"]
        undescribed(name, found["doc"]["options"])


def undescribed(name: str, options: Doc) -> None:
    for key, option in options.items():
        assert option.get("description"), f"{name}: {key}"
        assert option.get("type"), f"{name}: {key}"
        undescribed(f"{name}: {key}", option.get("suboptions") or option.get("options") or {})


@pytest.mark.parametrize("role", ROLES)
def test_every_role_describes_the_variables_that_it_has(
    role: str, described: dict[str, Doc]
) -> None:
    points = described["role"][role]["entry_points"]
    options: Doc = {}
    for point, doc in points.items():
        assert doc["short_description"] and doc["description"] and doc["author"], point
        undescribed(role, doc["options"])
        options |= doc["options"]
    defaults = yaml.safe_load((COLLECTION / f"roles/{role}/defaults/main.yml").read_text())
    declared = {key: option["default"] for key, option in options.items() if "default" in option}
    assert declared == defaults
    tasks = "".join(p.read_text() for p in (COLLECTION / f"roles/{role}/tasks").glob("*.yml"))
    assert all(key in tasks for key in options)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_readme_that_lists_its_variables(
    role: str, described: dict[str, Doc]
) -> None:
    rows = re.findall(r"^\| `(\w+)`", (COLLECTION / f"roles/{role}/README.md").read_text(), re.M)
    options: Doc = {}
    for doc in described["role"][role]["entry_points"].values():
        options |= doc["options"]
    inner = [key for option in options.values() for key in option.get("options") or {}]
    main = described["role"][role]["entry_points"]["main"]["options"]
    assert sorted(rows) == sorted([*main, *inner])


def test_every_fragment_is_used_by_a_module() -> None:
    fragments = re.findall(
        r"^    ([A-Z]+) = r", (COLLECTION / "plugins/doc_fragments/host.py").read_text(), re.M
    )
    used = "".join(path.read_text() for path in (COLLECTION / "plugins/modules").glob("*.py"))
    names = ["host" if name == "DOCUMENTATION" else f"host.{name.lower()}" for name in fragments]
    assert names == ["host", "host.changes", "host.looks"]
    assert all(f"  - virtlab.lab.{name}\n" in used for name in names)


@pytest.mark.parametrize("role", ROLES)
def test_molecule_has_a_scenario_for_every_role(role: str) -> None:
    scenario = COLLECTION / "extensions/molecule" / role
    converge = yaml.safe_load((scenario / "converge.yml").read_text())
    steps = yaml.safe_load((scenario / "molecule.yml").read_text())["scenario"]["test_sequence"]
    assert [one["role"] for one in converge[0]["roles"]] == [f"virtlab.lab.{role}"]
    assert [step for step in steps if step in ("converge", "idempotence", "verify")] == [
        "converge", "idempotence", "verify",
    ]  # fmt: skip
    assert (scenario / "verify.yml").exists()


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
