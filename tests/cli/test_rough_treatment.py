"""The command line where the surroundings are not as they should be: a message, never a traceback.

Each case was tried by hand in more forms; one of a kind is kept here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

VIRTLAB = Path(sys.executable).with_name("virtlab")
SUBMISSIONS = Path(__file__).parents[2] / "examples" / "submissions"
SCENARIO = "cpu-1-all-on-one"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def by_shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which `virtlab` is this one."""
    return subprocess.run(
        ["bash", "-c", f'virtlab() {{ "{VIRTLAB}" "$@"; }}\n{line}'],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1"},
        {"COLUMNS": "20", "TERM": "dumb", "NO_COLOR": "1"},
        {"COLUMNS": "-5", "TERM": "", "FORCE_COLOR": "1"},
        {"TZ": "nonsense", "HOME": "/dev/null", "TMPDIR": "/dev/null"},
    ],
    ids=["ASCII", "Latin-1", "narrow", "odd terminal", "odd places"],
)
def test_whatever_the_surroundings_a_scenario_is_shown(
    virtlab: Run, environment: dict[str, str]
) -> None:
    done = virtlab("scenarios", "show", SCENARIO, env=environment)

    assert done.returncode == 0, done.stderr
    assert SCENARIO in done.stdout


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("virtlab scenarios list >&-", 0, ""),
        ("virtlab scenarios list 2>&- <&-", 0, ""),
        ("virtlab scenarios show nowhere 2>/dev/full", 2, ""),
        ("virtlab scenarios list | head -1", 0, ""),
        (
            "virtlab scenarios list >/dev/full",
            4,
            "virtlab: No space left on device\n"
            "  fix: free some space where results, output and temporary files go.\n",
        ),
        (
            "mkdir gone; cd gone; rmdir ../gone; virtlab grade x.c",
            4,
            "virtlab: the folder that you are in is gone.\n  fix: cd to one that exists.\n",
        ),
        ("ln -s a a; virtlab run cpu-1-all-on-one a", 3, "virtlab: a: cannot be read: Too many"),
        ("mkfifo a; virtlab run cpu-1-all-on-one a", 3, "virtlab: a: is neither a file nor a"),
        ("virtlab run cpu-1-all-on-one $'a\\xff'", 3, "virtlab: a\\udcff: does not exist\n"),
        ("virtlab run cpu-1-all-on-one -a", 2, "Usage: virtlab run"),
        ("virtlab run $(printf 'a%.0s' {1..300}) a", 3, "does not exist\n  fix: check the path"),
        ("virtlab scenarios show $(printf 'a%.0s' {1..300})", 2, "virtlab: There is no scenario a"),
        ("virtlab judge /etc/passwd", 3, "virtlab: /etc/passwd is no folder of results."),
        (
            "virtlab serve cpu-1-all-on-one --socket /etc/passwd",
            2,
            "virtlab: /etc/passwd can be no folder for sockets: File exists.\n"
            "  fix: name a folder that you may write to.\n",
        ),
        (
            "virtlab serve cpu-1-all-on-one --socket /tmp/$(printf 'a%.0s' {1..99})",
            2,
            "is too long: a socket's path has at most 107 bytes.\n"
            "  fix: name a folder with a shorter path.\n",
        ),
    ],
)
def test_what_goes_wrong_outside_is_told_in_a_sentence(
    tmp_path: Path, line: str, code: int, said: str
) -> None:
    done = by_shell(line, tmp_path)

    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert (said == "") == (done.stderr == "")
    assert "Traceback" not in done.stderr


def test_a_cache_that_cannot_be_written_is_told_with_the_variable_that_moves_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    reference = SUBMISSIONS / "reference-c"

    done = by_shell(
        f"virtlab run {SCENARIO} {reference}", tmp_path, VIRTLAB_CACHE_DIR=f"{tmp_path}/file/x"
    )

    assert done.returncode == 4
    assert "the clock library cannot be kept in" in done.stderr
    assert "fix: set VIRTLAB_CACHE_DIR to a folder that you may write to" in done.stderr


def test_names_of_any_bytes_are_graded_and_the_json_is_sound(virtlab: Run, tmp_path: Path) -> None:
    names = ["sp ace.c", "new\nline.c", "😀.c", os.fsdecode(b"\xff.c"), "$(id)'\".c"]
    for name in names:
        (tmp_path / name).write_text("no C\n")

    done = virtlab("grade", "--only", "vcpu_scheduler", "--json", "--", *names)

    told = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert [len(told["verdicts"]), told["failed"]] == [len(names), []]
    assert "Traceback" not in done.stderr
    assert len(list((tmp_path / "virtlab-results").glob("*/build/*.log"))) == len(names)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", SCENARIO, "nowhere", "--json"),
        ("run", "nowhere", "nowhere", "--json"),
        ("judge", "nowhere", "--json"),
        ("scenarios", "show", "nowhere", "--json"),
    ],
)
def test_a_failure_leaves_stdout_empty_where_json_was_asked_for(
    virtlab: Run, arguments: tuple[str, ...]
) -> None:
    done = virtlab(*arguments)

    assert done.stdout == ""
    assert done.returncode in (2, 3)
    assert done.stderr.startswith("virtlab: ")


def test_an_empty_argument_is_refused_and_not_taken_for_the_folder_one_stands_in(
    tmp_path: Path,
) -> None:
    told = by_shell('virtlab grade "$NOT_SET"', tmp_path, NOT_SET="")

    assert told.returncode == 2
    assert told.stderr == (
        "virtlab: argument 2 is empty.\n  fix: give it a value; is a shell variable unset?\n"
    )
    assert list(tmp_path.iterdir()) == []
