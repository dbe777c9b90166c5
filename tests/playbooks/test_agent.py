"""The daemons' playbook: files in their places, no change the second time, truth in check mode."""

from __future__ import annotations

import configparser
import json
from pathlib import Path
from typing import Any

import pytest

from virtlab.cli.app import app
from virtlab.resources import playbooks_dir

from .conftest import changes

UNITS = playbooks_dir() / "collections/ansible_collections/virtlab/lab/roles/agent/templates"
DAEMONS = [{"name": "schedule", "flags": ["--interval", "5", "--max-moves-per-hour", "60"]}]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "units").mkdir()
    return {
        "agent_units_folder": str(tmp_path / "units"),
        "agent_config_folder": str(tmp_path / "flags"),
        "agent_package": "",
        "agent_venv": str(tmp_path / "none"),
    }


def variables(folders: dict[str, str], **more: Any) -> list[str]:
    given = folders | {"agent_services": False, "agent_daemons": DAEMONS} | more
    return ["-e", json.dumps(given)]


def test_the_playbook_puts_units_and_flags_in_their_places(
    play: Any, folders: dict[str, str], tmp_path: Path
) -> None:
    would = play("agent.yml", *variables(folders), "--check", "--diff")
    assert "VIRTLAB_FLAGS=--interval 5" in would.stdout
    assert list((tmp_path / "units").iterdir()) == []

    first = play("agent.yml", *variables(folders))
    second = play("agent.yml", *variables(folders))

    assert changes(would) == changes(first) == 3  # the folder, flags and units
    assert changes(second) == 0
    flags = (tmp_path / "flags" / "schedule.conf").read_text().splitlines()[-1]
    assert flags == "VIRTLAB_FLAGS=--interval 5 --max-moves-per-hour 60"
    (unit,) = (tmp_path / "units").iterdir()
    assert f"ExecStart={folders['agent_venv']}/bin/virtlab schedule " in unit.read_text()
    assert f"EnvironmentFile={folders['agent_config_folder']}/schedule.conf" in unit.read_text()

    gone = play("agent.yml", *variables(folders, agent_state="down"))
    assert changes(gone) == 2
    assert list((tmp_path / "units").iterdir()) == list((tmp_path / "flags").iterdir()) == []


@pytest.mark.parametrize("name", ["schedule", "coordinate"])
def test_a_unit_starts_a_command_that_there_is_and_ends_it_within_a_second_or_few(
    name: str,
) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their letters
    unit.read(UNITS / f"virtlab-{name}.service.j2")
    service = unit["Service"]

    started = service["ExecStart"].replace("{{ agent_venv }}", "{{agent_venv}}")
    program, command, *flags = started.split()
    assert program == "{{agent_venv}}/bin/virtlab"
    assert command in {one.name for one in app.registered_commands}
    assert flags == ["--log-format", "json", "$VIRTLAB_FLAGS"]
    assert service["EnvironmentFile"] == f"{{{{ agent_config_folder }}}}/{name}.conf"
    assert int(service["TimeoutStopSec"]) >= 1
    # Usage and bad input (exit codes 2 and 3) do not mend by another start.
    assert service["RestartPreventExitStatus"] == "2 3"
