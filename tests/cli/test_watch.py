"""`virtlab watch`: which run is meant, the lines without a terminal, the view with one."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
VIRTLAB = Path(sys.executable).with_name("virtlab")
PROGRAM = Path(__file__).parents[2] / "examples" / "submissions" / "flawed" / "all-on-pcpu-0"


def test_without_a_terminal_a_run_is_the_courses_monitor_lines(
    virtlab: Run, tmp_path: Path
) -> None:
    ran = virtlab("run", "cpu-1-all-on-one", PROGRAM, "--out", "one")
    lines = next((tmp_path / "one").glob("runs/*/monitor.txt")).read_text()

    assert ran.returncode == 1
    assert virtlab("watch", "cpu-1-all-on-one", PROGRAM).stdout == lines
    assert virtlab("watch", "one").stdout == lines
    assert virtlab("watch", next((tmp_path / "one").glob("runs/*"))).stdout == lines


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 3, "nowhere: there is no run in it."),
        (["marks"], 2, "marks holds 2 runs: cpu-3-balanced-seed-1, cpu-3-balanced-seed-2."),
        (["marks", "--test", "cpu-1"], 2, "marks has no run of cpu-1."),
        (["marks", "--seed", "2"], 2, "--seed needs --test, or a PROGRAM."),
        (["cpu-1-all-on-one", "x.py", "--test", "y"], 2, "--test chooses from a grading"),
        ([], 2, "there is nothing to watch."),
        (["nowhere", "--connect", "qemu:///system"], 2, "--connect watches a host, and no run."),
        (["--connect", "test:///default"], 2, "the lab needs the socket of a libvirtd"),
        (["--connect", "qemu:///system?socket=/no/sock"], 4, "does not answer at /no/sock"),
    ],
)
def test_what_is_not_one_run_is_told(
    virtlab: Run, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    for seed in (1, 2):
        folder = tmp_path / "marks" / "runs" / f"cpu-3-balanced-seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "timeline.json").write_text("{}")

    told = virtlab("watch", *arguments)

    assert told.returncode == code
    assert said in told.stderr


def test_a_run_is_watched_in_a_terminal_and_left_by_a_key() -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    command = [VIRTLAB, "watch", "cpu-1-all-on-one", PROGRAM]
    with subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=environment
    ) as watching:
        os.close(follower)
        seen = _read_until(leader, b"all-on-pcpu-0")
        assert b"of 30 s" in seen
        os.write(leader, b"q")
        _read_until(leader, b"\x1b[?1049l")  # the terminal is as it was
        assert watching.wait(30) == 0
    os.close(leader)


def _read_until(terminal: int, wanted: bytes) -> bytes:
    """Return what a terminal got up to some bytes, or all that it got in a minute."""
    seen = b""
    deadline = time.monotonic() + 60
    while wanted not in seen and select.select([terminal], [], [], deadline - time.monotonic())[0]:
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # the other side was closed
            break
    assert wanted in seen
    return seen
