"""Result folders that two gradings want, that a killed grading left, or that are read meanwhile."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from marked_runs import submission

from virtlab.errors import InputError, UsageError
from virtlab.grading.results_folder import is_written_by_us, prepared
from virtlab.grading.store import read_results, write_results


def write(path: Path, program: str = "first", *, overwrite: bool = False) -> None:
    with write_results(path, overwrite=overwrite) as results:
        results.verdict(replace(submission(), program=program))
        results.run_info({"program": program})


def in_a_child_that_is_killed(do: Callable[[], None]) -> None:
    """Run a function in a process of its own, which is then killed as by `kill -9`."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    _pid, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def killed_while_writing(path: Path, *, overwrite: bool = False) -> None:
    def begin() -> None:
        with prepared(path, overwrite=overwrite) as folder:
            (folder / "run.json").write_text("half of i")
            os.kill(os.getpid(), signal.SIGKILL)

    in_a_child_that_is_killed(begin)


def test_a_second_grading_into_the_same_folder_is_refused_and_the_first_is_kept(
    tmp_path: Path,
) -> None:
    with write_results(tmp_path / "out") as results:
        with pytest.raises(UsageError, match="out is being written by another grading"):
            write(tmp_path / "out", "second")
        write(tmp_path / "beside")
        results.verdict(submission())
        results.run_info({})

    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside", "out"]


def test_results_that_came_in_between_are_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="another grading"), prepared(tmp_path / "out"):
        write(tmp_path / "out")
    write(tmp_path / "out")

    with pytest.raises(UsageError, match="holds results already"):
        write(tmp_path / "out", "second")

    assert read_results(tmp_path / "out").verdict.program == "first"


@pytest.mark.parametrize("older", [False, True])
def test_what_a_killed_grading_leaves_blocks_nobody(tmp_path: Path, older: bool) -> None:
    if older:
        write(tmp_path / "out", "older")

    killed_while_writing(tmp_path / "out", overwrite=True)

    assert is_written_by_us(tmp_path / ".out.partial")
    if older:
        assert read_results(tmp_path / "out").verdict.program == "older"
    else:
        with pytest.raises(InputError, match=r"was killed before its end\.\n  fix: wait for its"):
            read_results(tmp_path / "out")
    write(tmp_path / "out", "again", overwrite=True)
    assert read_results(tmp_path / "out").verdict.program == "again"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_results_whose_replacement_was_killed_halfway_are_put_back(tmp_path: Path) -> None:
    write(tmp_path / "out", "older")
    killed_while_writing(tmp_path / "out", overwrite=True)
    (tmp_path / "out").rename(tmp_path / ".out.partial" / "old")  # the step before the last

    with pytest.raises(UsageError, match="holds results already"):
        write(tmp_path / "out", "again")

    assert read_results(tmp_path / "out").verdict.program == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_reader_never_sees_two_gradings_mixed(tmp_path: Path) -> None:
    write(tmp_path / "out", "0")
    seen: set[str] = set()
    done = threading.Event()

    def read_all_the_time() -> None:
        while not done.is_set():
            results = read_results(tmp_path / "out")
            assert results.info["program"] == results.verdict.program
            seen.add(results.verdict.program)

    reader = threading.Thread(target=read_all_the_time)
    reader.start()
    for number in range(1, 12):
        write(tmp_path / "out", str(number), overwrite=True)
    done.set()
    reader.join()

    assert seen <= {str(number) for number in range(12)}
    assert read_results(tmp_path / "out").verdict.program == "11"


def test_folders_that_were_made_for_results_go_with_them(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), prepared(tmp_path / "a" / "b" / "out"):
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []
