"""`virtlab new`, `try` and `pack`: the way of a program from its start to its zip."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
VIRTLAB = Path(sys.executable).with_name("virtlab")
NAME = "Ada_Lovelace_p1"
ALL_ON_ONE = """
import libvirt, time
while True:
    for domain in libvirt.open("qemu:///system").listAllDomains():
        domain.pinVcpu(0, (True, False, False, False))
    time.sleep(1)
"""


@pytest.mark.parametrize("lang", ["c", "python"])
@pytest.mark.parametrize("kind", ["vcpu-scheduler", "memory-coordinator"])
def test_a_new_program_builds_runs_and_gets_some_points_but_not_all(
    virtlab: Run, kind: str, lang: str
) -> None:
    made = virtlab("new", kind, NAME, "--lang", lang)
    tried = virtlab("try", NAME)

    assert made.returncode == 0, made.stderr
    assert f"edit {NAME}/" in made.stdout
    assert tried.returncode == 1, tried.stderr
    program = kind.replace("-", "_")
    assert f"{program} compiles" in tried.stdout
    marks = [line for line in tried.stdout.splitlines() if line.endswith(" points")]
    points = float(marks[-1].split()[0])
    # Every test of it fails for what was not decided, and none for a mistake of ours.
    assert (points == 5.5) if program == "vcpu_scheduler" else (points == 1)
    assert "no-crash" not in tried.stdout


def test_two_programs_fit_into_one_submission_and_neither_is_overwritten(
    virtlab: Run, tmp_path: Path
) -> None:
    virtlab("new", "vcpu-scheduler", NAME)
    virtlab("new", "memory-coordinator", NAME)
    source = tmp_path / NAME / "cpu" / "vcpu_scheduler.c"
    source.write_text("mine")

    again = virtlab("new", "vcpu-scheduler", NAME, "--lang", "python")

    assert again.returncode == 2
    assert f"{NAME}/cpu is there already." in again.stderr
    assert source.read_text() == "mine"
    assert sorted(path.name for path in (tmp_path / NAME).iterdir()) == ["cpu", "memory"]


def test_one_test_can_be_tried_alone(virtlab: Run) -> None:
    virtlab("new", "vcpu-scheduler", NAME)

    done = virtlab("try", NAME, "cpu-3-balanced")
    wrong = virtlab("try", NAME, "cpu-3-balance")

    assert done.returncode == 0, done.stderr
    assert "1 of 1 points" in done.stdout
    assert wrong.returncode == 2
    assert "did you mean cpu-3-balanced?" in wrong.stderr


def test_a_save_is_graded_at_once_and_a_mistake_does_not_end_the_watch(
    virtlab: Run, tmp_path: Path
) -> None:
    virtlab("new", "vcpu-scheduler", NAME, "--lang", "python")
    source = tmp_path / NAME / "cpu" / "vcpu_scheduler.py"
    good = source.read_text()
    (tmp_path / NAME / ".#lock").symlink_to("nowhere")  # as an editor leaves it
    command = [VIRTLAB, "try", NAME, "cpu-3-balanced", "--watch"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as watch:
        assert watch.stdout is not None
        rounds = _rounds(watch.stdout)

        first = next(rounds)
        source.write_text(ALL_ON_ONE)
        second = next(rounds)
        source.unlink()
        third = next(rounds)
        source.write_text(good)
        fourth = next(rounds)
        watch.send_signal(signal.SIGINT)

        assert watch.wait(30) == 130
    assert "1 of 1 points" in first
    assert "0 of 1 points" in second
    assert "fix:" in third
    assert "1 of 1 points" in fourth


def _rounds(output: Iterator[str]) -> Iterator[str]:
    """Yield what is printed up to each time of waiting."""
    text = ""
    for line in output:
        text += line
        if "waiting for a save" in line:
            yield text
            text = ""


def test_a_submission_is_packed_as_the_course_wants_it(virtlab: Run, tmp_path: Path) -> None:
    virtlab("new", "vcpu-scheduler", NAME)
    virtlab("new", "memory-coordinator", NAME, "--lang", "python")
    subprocess.run(["make", "-C", tmp_path / NAME / "cpu"], check=True, capture_output=True)
    (tmp_path / NAME / "cpu" / "util.o").write_bytes(b"\x7fELF")
    (tmp_path / NAME / ".git").mkdir()

    done = virtlab("pack", NAME)
    first = (tmp_path / f"{NAME}.zip").read_bytes()
    os.utime(tmp_path / NAME / "cpu" / "Makefile", (0, 0))
    virtlab("pack", NAME)

    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / f"{NAME}.zip") as packed:
        names = packed.namelist()
    assert names == [
        f"{NAME}/cpu/Makefile",
        f"{NAME}/cpu/Readme.md",
        f"{NAME}/cpu/vcpu_scheduler.c",
        f"{NAME}/memory/Readme.md",
        f"{NAME}/memory/memory_coordinator.py",
    ]
    assert done.stderr.splitlines() == [
        "virtlab: left out: .git",
        "virtlab: left out: cpu/util.o",
        "virtlab: left out: cpu/vcpu_scheduler",
    ]
    assert (tmp_path / f"{NAME}.zip").read_bytes() == first
    assert virtlab("try", f"{NAME}.zip", "cpu-3-balanced").returncode == 0


def test_what_is_missing_is_told_and_what_does_not_build_is_not_packed(
    virtlab: Run, tmp_path: Path
) -> None:
    virtlab("new", "vcpu-scheduler", "mine")
    (tmp_path / "mine" / "cpu" / "Readme.md").unlink()
    warned = virtlab("pack", "mine")
    (tmp_path / "mine" / "cpu" / "vcpu_scheduler.c").write_text("int main(void) { return }\n")
    (tmp_path / "mine.zip").write_text("older")
    refused = virtlab("pack", "mine")

    assert warned.stderr.splitlines() == [
        "virtlab: vcpu_scheduler has no Readme.md beside it, which gives a point",
        "virtlab: there is no memory_coordinator in it",
        "virtlab: the course wants First_Last_p1, and this is mine",
    ]
    assert refused.returncode == 3
    assert "mine: vcpu_scheduler does not build: vcpu_scheduler.c:1:" in refused.stderr
    assert (tmp_path / "mine.zip").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "mine.zip"]
