from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from deep_folders import deep_in

from virtlab.errors import EnvironmentLackError
from virtlab.subjects.trees import remove_tree
from virtlab.subjects.work_directory import work_directory

HOLD = """\
from virtlab.subjects.work_directory import work_directory
with work_directory() as folder:
    (folder / "program").mkdir()
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def holder(temporary: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that holds a work folder; return it once it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_any_user_may_enter_it_and_it_is_gone_afterwards(temporary: Path) -> None:
    with work_directory() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o711
        (folder / "closed" / "in").mkdir(parents=True)
        (folder / "closed").chmod(0)

    assert list(temporary.iterdir()) == []


def test_the_folder_of_a_killed_owner_is_removed_and_that_of_a_living_one_stays(
    temporary: Path,
) -> None:
    dead, left = holder(temporary)
    dead.send_signal(signal.SIGKILL)
    dead.communicate()
    living, held = holder(temporary)
    (temporary / "virtlab-of-somebody").mkdir()

    with work_directory() as folder:
        here = sorted(path for path in temporary.iterdir())

    assert not left.exists()
    assert here == sorted([held, folder, temporary / "virtlab-of-somebody"])
    living.communicate("\n")
    assert living.returncode == 0
    assert not held.exists()


KILLED = """\
import os, signal
import virtlab.subjects.work_directory as module
def killed(*_args, **_more):
    os.kill(os.getpid(), signal.SIGKILL)
if "{moment}" == "made":
    module.fcntl.flock = killed
with module.work_directory() as folder:
    (folder / "a" / "b").mkdir(parents=True)
    module.remove_tree = killed
"""


@pytest.mark.parametrize("moment", ["made", "removed"])
def test_what_a_kill_leaves_of_one_that_nobody_held_is_removed_once_it_is_old(
    temporary: Path, moment: str
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(moment=moment)],
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    (left,) = temporary.iterdir()
    work_directory_of_another_process(temporary)
    kept = left.exists()
    os.utime(left, (0, 0))

    work_directory_of_another_process(temporary)

    assert killed.returncode == -signal.SIGKILL
    assert kept  # it might be in the making
    assert list(temporary.iterdir()) == []


def work_directory_of_another_process(temporary: Path) -> None:
    process, _ = holder(temporary)
    process.communicate("\n")


def test_a_rest_of_thousands_of_folders_in_one_another_is_removed_and_stops_nobody(
    temporary: Path,
) -> None:
    left = temporary / ".virtlab-passing-deep"
    left.mkdir()
    deep_in(left, 1_200)
    os.utime(left, (0, 0))

    work_directory_of_another_process(temporary)
    remaining = list(temporary.iterdir())
    remove_tree(left)  # pytest could not

    assert remaining == []


def test_no_place_for_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    with (
        pytest.raises(EnvironmentLackError, match=r"could be made: No such file.*\n  fix: free"),
        work_directory(),
    ):
        pass


def test_a_path_too_long_for_sockets_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 20)))

    with (
        pytest.raises(
            EnvironmentLackError, match=r"too many for .*\n  fix: set TMPDIR to a shorter"
        ),
        work_directory(sockets=True),
    ):
        pass
