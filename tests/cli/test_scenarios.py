"""`virtlab scenarios`: what it prints and how it exits."""

import json
from pathlib import Path

from typer.testing import CliRunner

from virtlab.cli.scenarios import app
from virtlab.grading.rubric import rubric_files
from virtlab.scenario import scenario_files

_RUN = CliRunner()


def test_list_names_every_scenario_and_rubric() -> None:
    listed = json.loads(_RUN.invoke(app, ["list", "--json"]).stdout)

    assert [each["id"] for each in listed["scenarios"]] == list(scenario_files())
    assert listed["rubrics"][0]["id"] == "fall-2026"


def test_show_tells_guests_events_and_criteria() -> None:
    shown = _RUN.invoke(app, ["show", "cpu-7-load-changes"]).stdout

    assert "  run       ./vcpu_scheduler 1, for 30 s, seed 7\n" in shown
    assert "  14 s      aos_vm3: load starts, 36 % of a pCPU in rounds of 0.5 ms\n" in shown


def test_show_prints_json_of_a_scenario_and_of_a_rubric() -> None:
    scenario = json.loads(_RUN.invoke(app, ["show", "memory-4-one-stops", "--json"]).stdout)
    rubric = json.loads(_RUN.invoke(app, ["show", "fall-2026", "--json"]).stdout)

    assert scenario["scenario"]["events"][-1]["event"] == "StopWorkload"
    assert rubric["rubric"]["points_max"] == 16


def test_show_tells_what_a_rubric_gives_for_nothing() -> None:
    shown = _RUN.invoke(app, ["show", "fall-2026"]).stdout
    rubric = json.loads(_RUN.invoke(app, ["show", "fall-2026", "--json"]).stdout)["rubric"]

    assert "  what programs get that know nothing\n" in shown
    assert "    5.5 of 8   a vcpu_scheduler that does nothing\n" in shown
    assert rubric["floor"][1] == {
        "does": "does nothing",
        "program": "memory_coordinator",
        "lowest": 1.0,
        "median": 1.0,
        "points_max": 8.0,
    }


def test_show_tells_nothing_of_a_floor_that_nobody_measured(tmp_path: Path) -> None:
    text = rubric_files()["fall-2026"].read_text()
    own = tmp_path / "own.yaml"
    own.write_text(text.replace('version: "1"', 'version: "1-mine"'))

    shown = _RUN.invoke(app, ["show", str(own)]).stdout

    assert "version 1-mine" in shown
    assert "know nothing" not in shown


def test_check_passes_what_is_shipped() -> None:
    result = _RUN.invoke(app, ["check"])

    files = len(scenario_files()) + len(rubric_files())
    assert (result.exit_code, result.stdout) == (0, f"{files} files checked: no mistakes.\n")


def test_check_reports_all_files_of_a_folder_and_exits_with_3(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("schema_version: 9\n")
    (tmp_path / "b.yml").write_text("tests: []\n")

    result = _RUN.invoke(app, ["check", str(tmp_path)])

    assert result.exit_code == 3
    assert "a.yaml:1: schema_version: form 9 is newer" in result.stdout
    assert "b.yml:1: tests: this is empty." in result.stdout
    assert "2 files checked: " in result.stdout
