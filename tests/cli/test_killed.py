"""A grading that is killed, at any moment, leaves nothing running and nothing in the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtlab.subjects.work_directory import make_work_directory

SUBMISSIONS = Path(__file__).parents[2] / "examples" / "submissions"
VIRTLAB = Path(sys.executable).with_name("virtlab")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def work() -> Iterator[Path]:
    """Give a folder that the programs' user can reach; pytest's own folders are private."""
    folder = make_work_directory()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def begin(folder: Path, *more: str) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir()
    (folder / "tmp").chmod(0o1777)
    return subprocess.Popen(
        [VIRTLAB, "grade", SUBMISSIONS / "reference-python", "--out", "out", *more],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # `nohup make test` has SIGHUP ignored by all that the tests start.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )


def processes_of(folder: Path) -> list[str]:
    """Return the processes that were started with a temporary folder, or that see one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ", "mountinfo"):
            try:
                text = (process / name).read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in text:
                found.append(f"{process.name} {text[:200]!r}")
                break
    return found


@pytest.mark.parametrize(
    ("moment", "jobs"),
    [("tmp/virtlab-*", "2"), ("out/.*/new/build/*.log", "2"), ("out/.*/new/runs/*/*.log", "1")],
)
def test_a_killed_grading_can_be_begun_again(
    virtlab: Run, work: Path, moment: str, jobs: str
) -> None:
    grading = begin(work, "--jobs", jobs, "--seeds", "200")
    while not list(work.glob(moment)):
        assert grading.poll() is None
    grading.kill()
    grading.communicate()
    while processes_of(work / "tmp"):  # until they are gone; for ever where they stay
        pass

    judged = virtlab("judge", work / "out" / "reference-python")
    again = virtlab(
        *("grade", SUBMISSIONS / "reference-python", "--only", "vcpu_scheduler"),
        *("--out", work / "out"),
        env={"TMPDIR": str(work / "tmp")},
    )

    assert judged.returncode == 3
    assert "reference-python is no folder of results" in judged.stderr
    assert again.returncode == 0, again.stderr
    assert [path.name for path in (work / "out").iterdir()] == ["reference-python"]
    assert list((work / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_grading_that_is_asked_to_end_keeps_what_is_done(
    work: Path, number: signal.Signals
) -> None:
    grading = begin(work, "--jobs", "2", "--seeds", "200")
    while len(list(work.glob("out/.*/new/runs/*/stderr.log"))) < 2:  # so one is taken in
        assert grading.poll() is None
    grading.send_signal(number)
    grading.communicate()

    assert grading.returncode == 130
    verdict = json.loads((work / "out" / "reference-python" / "verdict.json").read_text())
    assert verdict["partial"]
    assert list((work / "tmp").iterdir()) == []


def test_what_was_graded_before_is_kept_where_nothing_could_be_done(
    virtlab: Run, work: Path
) -> None:
    first = virtlab(
        *("grade", SUBMISSIONS / "reference-python", "--only", "vcpu_scheduler"),
        *("--out", work / "out"),
    )
    before = (work / "out" / "reference-python" / "verdict.json").read_bytes()
    grading = begin(work, "--overwrite", "--seeds", "200")
    while not list(work.glob("tmp/virtlab-*")):
        assert grading.poll() is None
    grading.send_signal(signal.SIGINT)
    grading.communicate()

    assert first.returncode == 0
    assert grading.returncode == 130
    assert (work / "out" / "reference-python" / "verdict.json").read_bytes() == before
    assert [path.name for path in (work / "out").iterdir()] == ["reference-python"]
