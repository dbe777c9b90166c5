"""`virtlab lesson`: what it prints and how it exits."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from virtlab.cli.lesson import app
from virtlab.errors import InputError, UsageError
from virtlab.lessons.catalogue import LESSONS, copied

_RUN = CliRunner()
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_list_names_the_lessons_in_their_order() -> None:
    listed = json.loads(_RUN.invoke(app, ["list", "--json"]).stdout)

    assert listed["version"] == 1
    assert tuple(one["name"] for one in listed["lessons"]) == LESSONS
    assert all(len(one["set"]) == 1 for one in listed["lessons"])


@pytest.mark.parametrize("name", [one for one in LESSONS if one not in ("spin", "which-one")])
def test_text_and_run_of_each_lesson_fit_together(name: str) -> None:
    done = _RUN.invoke(app, ["run", name, "--plain"], catch_exceptions=False)

    assert done.exit_code == 0
    assert done.stdout.startswith("# ")
    assert done.stdout.isascii()


def test_json_has_what_was_shown_and_what_was_set() -> None:
    done = _RUN.invoke(app, ["run", "balloon", "--json", "--set", "target_mib=900"])
    content = json.loads(done.stdout)

    assert content["settings"] == {"target_mib": 900}
    assert [one["kind"] for one in content["shown"]] == ["curves", "curves", "table", "said"]
    assert content["shown"][2]["rows"][0][0] == "idle"


def test_show_has_the_text_and_what_may_be_set() -> None:
    shown = _RUN.invoke(app, ["show", "balanced", "--plain"]).stdout

    assert "> The spread of three policies (shown by a run)" in shown
    assert "--set limit_points=5.0  (points; 0.01..50)" in shown


def test_a_setting_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="--set 'target_mib' sets nothing"):
        _RUN.invoke(app, ["run", "balloon", "--set", "target_mib"], catch_exceptions=False)


def test_a_copy_is_run_from_its_folder_and_a_misspelt_name_refused(
    virtlab: Run, tmp_path: Path
) -> None:
    copied = virtlab("lesson", "copy", "balloon", "mine")
    ran = virtlab("lesson", "run", "mine", env={"PYTHONUTF8": "1"})
    misspelt = virtlab("lesson", "run", "baloon")

    assert copied.stdout.splitlines()[-1] == "Change them, then: virtlab lesson run mine"
    assert sorted(path.name for path in (tmp_path / "mine").glob("*.*")) == [
        "balloon.md",
        "balloon.py",
    ]
    assert "Killed by 400 MiB: plain." in ran.stdout
    assert (misspelt.returncode, "did you mean balloon?" in misspelt.stderr) == (2, True)


def test_a_mistake_in_a_copy_is_the_copys_and_has_its_line(tmp_path: Path) -> None:
    text, code = copied("balloon", tmp_path)
    code.write_text(code.read_text().replace("swapped: dict[str, int] = {}", "swapped = 1 / 0"))

    with pytest.raises(InputError, match=r"balloon\.py:\d+: ZeroDivisionError") as refusal:
        _RUN.invoke(app, ["run", str(tmp_path)], catch_exceptions=False)
    line = int(str(refusal.value).split(":")[1])
    assert "1 / 0" in code.read_text().splitlines()[line - 1]

    text.write_text("# Another text\n")
    with pytest.raises(InputError, match="the text ends, and the run shows sizes"):
        code.write_text(code.read_text().replace("swapped = 1 / 0", "swapped = {}"))
        _RUN.invoke(app, ["run", str(tmp_path)], catch_exceptions=False)


def test_a_copy_in_a_folder_of_the_lessons_name_is_run_by_its_path(virtlab: Run) -> None:
    copied = virtlab("lesson", "copy", "balloon", "balloon")

    assert copied.stdout.endswith("virtlab lesson run ./balloon\n")


def test_names_are_completed_with_their_titles(virtlab: Run) -> None:
    done = virtlab(
        env={
            "_VIRTLAB_COMPLETE": "complete_bash",
            "COMP_WORDS": "virtlab lesson run ba",
            "COMP_CWORD": "3",
        }
    )

    assert done.stdout.split() == ["balloon", "balanced"]


def test_what_may_be_set_is_completed(virtlab: Run) -> None:
    done = virtlab(
        env={
            "_VIRTLAB_COMPLETE": "complete_bash",
            "COMP_WORDS": "virtlab lesson run balloon --set ta",
            "COMP_CWORD": "5",
        }
    )

    assert done.stdout.split() == ["target_mib="]
