"""Putting back what daemons changed, with a real connection to a served host."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from virtlab.agent.change_log import Change, ChangeLog, boot_id, owed, read_changes
from virtlab.agent.undo import put_back
from virtlab.errors import InputError
from virtlab.model.units import EPOCH_S

MakeRig = Callable[..., Any]


def masks(rig: Any) -> dict[str, set[int]]:
    return {name: set(guest.vcpus[0].mask) for name, guest in rig.host.guests.items()}


def targets(rig: Any) -> dict[str, tuple[int, int]]:
    return {
        name: (guest.memory.figures(rig.host.now_ns).target_kib, guest.memory.report.period_s)
        for name, guest in rig.host.guests.items()
    }


def undone(rig: Any, since_s: float = 0.0) -> dict[str, str]:
    rig.daemon.close()
    with rig.served():
        found = put_back(rig.daemon.settings.socket, rig.log, since_s=since_s, timeout_s=5.0)
    return {one.change.guest: one.outcome for one in found}


def test_affinities_are_as_they_were(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one")
    before = masks(one)
    one.run(20)
    assert masks(one) != before

    outcomes = undone(one)

    assert masks(one) == before
    assert set(outcomes.values()) == {"back"} and len(outcomes) == 6


def test_what_was_put_back_is_not_put_back_twice(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one")
    one.run(20)
    undone(one)

    assert undone(one) == {}


def test_sizes_and_periods_are_as_they_were(rig: MakeRig) -> None:
    one = rig("memory-1-one-consumes")
    before = targets(one)
    one.run(60)
    assert targets(one) != before

    undone(one)

    assert targets(one) == before


def test_since_a_moment_is_as_it_was_at_that_moment(rig: MakeRig) -> None:
    one = rig("cpu-7-load-changes")
    one.run(13)
    then = masks(one)
    one.run(30)
    assert masks(one) != then

    undone(one, since_s=EPOCH_S + 13)

    assert masks(one) == then


def test_undoing_what_came_since_a_moment_forgets_nothing_of_before(rig: MakeRig) -> None:
    one = rig("cpu-7-load-changes")
    before = masks(one)
    one.run(43)
    undone(one, since_s=EPOCH_S + 13)
    assert masks(one) != before

    undone(one)

    assert masks(one) == before
    assert undone(one) == {}


def test_what_was_written_down_and_not_made_is_no_one_elses(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one")
    before = masks(one)
    one.run(20)
    last = one.changes()[-1]
    log = ChangeLog(one.log)
    log.write([replace(last, before=last.after, after=(0, 3))])
    log.close()

    assert set(undone(one).values()) == {"back"}
    assert masks(one) == before


def test_what_is_theirs_is_told_each_time(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one")
    one.run(20)
    (name, *_) = sorted({change.guest for change in one.changes()})
    one.host.guests[name].pin(0, frozenset({0, 1, 2, 3}))

    undone(one)

    assert undone(one) == {name: "theirs"}


def test_one_host_is_one_by_whatever_path(rig: MakeRig, tmp_path: Path) -> None:
    one = rig("cpu-1-all-on-one")
    before = masks(one)
    one.run(20)
    (tmp_path / "run").symlink_to(one.folder)
    one.daemon.close()

    with one.served():
        put_back(tmp_path / "run" / "libvirt-sock", one.log, timeout_s=5.0)

    assert masks(one) == before


def test_what_somebody_else_changed_is_theirs(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one")
    one.run(20)
    (name, *_) = sorted({change.guest for change in one.changes()})
    one.host.guests[name].pin(0, frozenset({0, 1, 2, 3}))

    outcomes = undone(one)

    assert outcomes.pop(name) == "theirs"
    assert set(outcomes.values()) == {"back"}
    assert masks(one)[name] == {0, 1, 2, 3}


def test_another_run_of_a_guest_owes_nothing_to_the_last(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one")
    one.run(20)
    (name, *_) = sorted({change.guest for change in one.changes()})
    one.host.guests[name].lose()
    one.host.guests[name].start()

    assert undone(one)[name] == "gone"


def change(**values: Any) -> Change:
    usual: dict[str, Any] = {
        "wall_s": 10.0,
        "host": "/sock",
        "boot": "b",
        "guest": "web",
        "uuid": "00",
        "run": 1,
        "what": "pin",
        "vcpu": 0,
        "before": (0,),
        "after": (1,),
    }
    return Change(**(usual | values))


def to_be_undone(entries: list[Change], since_s: float = 0) -> list[tuple[Any, Any]]:
    return [(one.change.before, one.change.after) for one in owed(entries, since_s)]


def test_the_first_value_and_the_last_one_count() -> None:
    entries = [
        change(),
        change(wall_s=20, before=(1,), after=(2,)),
        change(wall_s=30, before=(2,), after=(3,)),
    ]

    assert to_be_undone(entries) == [((0,), (3,))]
    assert to_be_undone(entries, 15) == [((1,), (3,))]


def test_what_was_undone_begins_anew() -> None:
    entries = [change(), change(undone=True), change(before=(5,), after=(6,))]

    assert to_be_undone(entries) == [((5,), (6,))]


def test_what_was_undone_in_part_is_still_owed() -> None:
    entries = [
        change(),
        change(wall_s=20, before=(1,), after=(2,)),
        change(wall_s=30, before=(1,), after=(2,), undone=True),
    ]

    assert to_be_undone(entries) == [((0,), (1,))]
    assert to_be_undone(entries, 15) == []
    assert to_be_undone([*entries, change(wall_s=40, before=(1,), after=(7,))]) == [((0,), (7,))]


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    log = ChangeLog(tmp_path / "log")
    log.write([change(), change(vcpu=1)])
    log.close()
    text = (tmp_path / "log").read_text()
    (tmp_path / "log").write_text(text[:-9])

    assert [one.vcpu for one in read_changes(tmp_path / "log")] == [0]
    log = ChangeLog(tmp_path / "log")
    log.write([change(vcpu=2)])
    log.close()
    assert [one.vcpu for one in read_changes(tmp_path / "log")] == [0, 2]


def test_a_line_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(json.dumps({"what": "?"}) + "\nnext\n")

    with pytest.raises(InputError, match=r"log:1: this is no line of virtlab's changes"):
        list(read_changes(tmp_path / "log"))


def many(count: int, **values: Any) -> list[Change]:
    usual = {"boot": boot_id()} | values
    return [change(wall_s=n, before=(n,), after=(n + 1,), **usual) for n in range(count)]


@pytest.fixture
def short_logs(monkeypatch: pytest.MonkeyPatch) -> int:
    """Have logs shortened soon; return at how many bytes."""
    monkeypatch.setattr("virtlab.agent.change_log._BYTES_MAX", 4000)
    return 4000


def test_a_long_log_is_shortened_while_it_is_written(tmp_path: Path, short_logs: int) -> None:
    log = ChangeLog(tmp_path / "log")
    for entry in many(500):
        log.write([entry])
        assert log.path.stat().st_size < 2 * short_logs
    log.close()

    kept = list(read_changes(log.path))
    assert kept[0].before == (0,) and kept[-1].after == (500,)
    assert to_be_undone(kept) == [((0,), (500,))]
    assert to_be_undone(kept, since_s=495) == [((495,), (500,))]


def test_a_long_log_knows_where_things_are_that_have_not_moved_for_long(
    tmp_path: Path, short_logs: int
) -> None:
    log = ChangeLog(tmp_path / "log")
    log.write(many(3, vcpu=7))
    log.write(many(200))
    log.close()

    ChangeLog(log.path).close()

    found = {one.change.vcpu: one for one in owed(read_changes(log.path))}
    assert (found[7].change.before, found[7].change.after) == ((0,), (3,))
    assert log.path.stat().st_size < short_logs


def test_a_long_log_that_was_written_by_an_earlier_version_is_shortened_at_the_start(
    tmp_path: Path, short_logs: int
) -> None:
    text = "".join(json.dumps(asdict(one)) + "\n" for one in many(300))
    (tmp_path / "log").write_text(text)

    ChangeLog(tmp_path / "log").close()

    assert (tmp_path / "log").stat().st_size < short_logs
    assert to_be_undone(list(read_changes(tmp_path / "log"))) == [((0,), (300,))]


def test_what_cannot_come_back_is_left_out_of_a_long_log(tmp_path: Path, short_logs: int) -> None:
    log = ChangeLog(tmp_path / "log")
    log.write([*many(1, boot="before"), *many(1, run=3), *many(1, run=4), *many(1, uuid="11")])
    log.write(many(1, run=2, undone=True))  # as what is gone is marked
    log.write(many(100, uuid="22"))
    log.close()

    things = {(one.uuid, one.run) for one in read_changes(log.path)}
    assert things == {("00", 4), ("11", 1), ("22", 1)}
