"""The journal: what is written is read again, whatever happened to the file."""

from __future__ import annotations

import errno
import json
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtlab.agent.journal import Journal, files_around, journal_files, read_journal
from virtlab.agent.plain import applied, changes, plain
from virtlab.errors import InputError
from virtlab.model.snapshot import VcpuKey
from virtlab.model.units import NS_PER_S

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)  # no -0.0
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60)
@given(before=VALUES, now=VALUES)
def test_a_change_makes_the_later_value_of_the_earlier(before: Any, now: Any) -> None:
    change = json.loads(json.dumps(changes(before, now)))

    assert json.dumps(applied(before, change), sort_keys=True) == json.dumps(now, sort_keys=True)


def test_keys_are_texts_and_sets_are_in_order() -> None:
    assert plain({VcpuKey("web", 1): frozenset({2, 0})}) == {"web:1": [0, 2]}


def journal(folder: Path, **options: int) -> Journal:
    bounds = {"file_bytes_max": 1 << 20, "files_max": 3} | options
    return Journal(folder, "schedule", {"policy": "even"}, **bounds)  # type: ignore[arg-type]


def tick(number: int) -> dict[str, Any]:
    return {"number": number, "wall_s": 1000.0 + number, "same": {"a": [1, 2, 3]}}


def numbers(folder: Path) -> list[int]:
    return [one.parts["number"] for one in read_journal(folder)]


def test_ticks_are_read_as_they_were_written(tmp_path: Path) -> None:
    one = journal(tmp_path)
    for number in range(5):
        one.write(tick(number), 0)
    one.close()

    assert [dict(each.parts) for each in read_journal(tmp_path)] == [tick(n) for n in range(5)]
    assert next(read_journal(tmp_path)).about["policy"] == "even"


def test_what_does_not_change_is_not_written_again(tmp_path: Path) -> None:
    one = journal(tmp_path)
    one.write({"number": 0, "large": list(range(1000))}, 0)
    (path,) = journal_files(tmp_path)
    before = path.stat().st_size
    one.write({"number": 1, "large": list(range(1000))}, 0)

    assert path.stat().st_size - before < 60


@pytest.mark.parametrize("lost", range(1, 60, 7))
def test_a_tail_that_was_cut_off_costs_the_last_ticks_only(tmp_path: Path, lost: int) -> None:
    one = journal(tmp_path)
    for number in range(20):
        one.write(tick(number), 0)
    (path,) = journal_files(tmp_path)
    os.truncate(path, path.stat().st_size - lost)

    found = numbers(tmp_path)
    assert found == list(range(len(found)))
    assert len(found) >= 20 - lost


def test_a_daemon_that_was_killed_leaves_its_last_tick(tmp_path: Path) -> None:
    one = journal(tmp_path)
    one.write(tick(1), 0)  # and never closed

    assert numbers(tmp_path) == [1]


def test_old_files_go_and_each_file_can_be_read_alone(tmp_path: Path) -> None:
    one = journal(tmp_path, file_bytes_max=200)
    for number in range(40):
        one.write(tick(number), 0)
    one.close()

    files = journal_files(tmp_path)
    assert len(files) == 3
    assert numbers(tmp_path) == list(range(numbers(tmp_path)[0], 40))
    assert [n for path in files for n in numbers(path)] == numbers(tmp_path)


def test_a_moment_is_looked_for_in_the_files_around_it(tmp_path: Path) -> None:
    one = journal(tmp_path, file_bytes_max=100, files_max=100)
    for number in range(40):
        one.write(tick(number), 0)
    one.close()
    files = journal_files(tmp_path)

    around = files_around(tmp_path, "schedule", 1000.0 + 20)

    found = [n for path in around for n in numbers(path)]
    assert len(around) < len(files) - 5
    assert found[0] < 20 and found[-1] == 39
    assert files_around(tmp_path, "schedule", 0.0) == files


def test_another_start_begins_another_file(tmp_path: Path) -> None:
    for number in range(2):
        one = journal(tmp_path)
        one.write(tick(number), 0)
        one.close()

    assert [path.name for path in journal_files(tmp_path)] == [
        "schedule-000001.jsonl.gz",
        "schedule-000002.jsonl.gz",
    ]


def test_starts_without_a_tick_leave_nothing_and_erase_nothing(tmp_path: Path) -> None:
    one = journal(tmp_path)
    for number in range(5):
        one.write(tick(number), 0)
    one.close()

    for _ in range(10):
        journal(tmp_path).close()

    assert len(journal_files(tmp_path)) == 1
    assert numbers(tmp_path) == list(range(5))


def test_many_short_runs_do_not_erase_a_long_one(tmp_path: Path) -> None:
    one = journal(tmp_path)
    for number in range(100):
        one.write(tick(number), 0)
    one.close()

    for number in range(100, 120):
        short = journal(tmp_path)
        short.write(tick(number), 0)
        short.close()

    assert numbers(tmp_path) == list(range(120))


def test_short_runs_are_not_kept_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("virtlab.agent.journal._SMALLEST", 4)
    for number in range(20):
        short = journal(tmp_path)
        short.write(tick(number), 0)
        short.close()

    assert numbers(tmp_path) == list(range(11, 20))  # eight quarters of a file, and the last


def test_a_disk_that_was_full_for_a_moment_costs_no_tick_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = journal(tmp_path)
    one.write(tick(0), 0)
    write, full = os.write, [True]

    def no_room_once(descriptor: int, data: bytes) -> int:
        if full.pop() if full else False:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", no_room_once)
    one.write(tick(1), NS_PER_S)
    one.write(tick(2), 90 * NS_PER_S)
    one.close()

    assert numbers(tmp_path) == [0, 2]


def test_a_full_disk_costs_ticks_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = journal(tmp_path)
    one.write(tick(0), 0)
    write = os.write

    def no_room(descriptor: int, data: bytes) -> int:
        write(descriptor, data[: len(data) // 2])  # a disk takes what it can
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, "write", no_room)
        one.write(tick(1), NS_PER_S)
    assert one.problem == "No space left on device"
    one.write(tick(2), 2 * NS_PER_S)  # too soon to try again
    one.write(tick(3), 90 * NS_PER_S)

    assert one.problem is None
    assert numbers(tmp_path) == [0, 3]


def test_a_form_of_the_future_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "schedule-000001.jsonl.gz"
    path.write_bytes(zlib.compress(b'{"about":{"form":99}}\n', wbits=31))

    with pytest.raises(InputError, match="form 99 is newer than this virtlab"):
        numbers(path)


@pytest.mark.parametrize("content", [b"no gzip at all", zlib.compress(b"[]\n", wbits=31)])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "schedule-000001.jsonl.gz"
    path.write_bytes(content)

    with pytest.raises(InputError, match="this is no journal of virtlab's"):
        numbers(path)


def test_a_folder_without_a_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no journal of schedule"):
        list(read_journal(tmp_path, "schedule"))
