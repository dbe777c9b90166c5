"""Putting back what daemons changed, with a real connection to a served host."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from virtlab.agent.change_log import Change, ChangeLog, boot_id, owed, read_changes
from virtlab.agent.undo import PutBack, put_back
from virtlab.errors import InputError
from virtlab.model.units import EPOCH_S, mib, seconds

MakeRig = Callable[..., Any]


def masks(rig: Any) -> dict[str, set[int]]:
    return {name: set(guest.vcpus[0].mask) for name, guest in rig.host.guests.items()}


def targets(rig: Any) -> dict[str, tuple[int, int]]:
    return {
        name: (guest.memory.figures(rig.host.now_ns).target_kib, guest.memory.report.period_s)
        for name, guest in rig.host.guests.items()
    }


def put_back_in(rig: Any, since_s: float = 0.0, late_s: float = 0.0) -> list[PutBack]:
    rig.daemon.close()
    with rig.served():
        return put_back(
            rig.daemon.settings.socket,
            rig.log,
            since_s=since_s,
            timeout_s=5.0,
            settle_s=0.0,  # the host stands still
            wall_s=lambda: rig.daemon.clock.wall_s() + late_s,
        )


def undone(rig: Any, since_s: float = 0.0) -> dict[str, str]:
    return {one.change.guest: one.outcome for one in put_back_in(rig, since_s)}


def sizes_undone(rig: Any, late_s: float = 0.0) -> dict[str, PutBack]:
    found = put_back_in(rig, late_s=late_s)
    return {one.change.guest: one for one in found if one.change.what == "size"}


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
    one.run(6)
    assert targets(one) != before

    undone(one)

    assert targets(one) == before


def test_a_guest_keeps_what_it_uses_now(rig: MakeRig) -> None:
    one = rig("memory-1-one-consumes")
    one.run(60)
    guest = one.host.guests["aos_vm3"]
    figures = guest.memory.figures(one.host.now_ns)
    used_kib = figures.actual_kib - figures.usable_kib
    assert used_kib > mib(512)  # more than it had at the start

    found = sizes_undone(one)

    assert found.pop("aos_vm3").outcome == "left"
    assert {back.outcome for back in found.values()} == {"back"}
    target_kib, period_s = targets(one)["aos_vm3"]
    assert used_kib + mib(100) <= target_kib < figures.actual_kib
    assert period_s == 1  # or it would never tell that it uses less
    one.recorder.advance(one.host.now_ns + seconds(3))
    # It goes on to grow: the kernel has not ended it.
    assert guest.memory.figures(one.host.now_ns).consumer_kib > figures.consumer_kib


def test_what_was_left_can_be_put_back_later(rig: MakeRig) -> None:
    one = rig("memory-1-one-consumes")
    one.run(60)
    sizes_undone(one)
    target_kib, _ = targets(one)["aos_vm3"]

    (size,) = [each.change for each in owed(one.changes()) if each.change.what == "size"]

    assert (size.guest, size.before, size.after) == ("aos_vm3", (mib(512),), (target_kib,))


def test_a_guest_whose_report_is_old_keeps_its_size(rig: MakeRig) -> None:
    one = rig("memory-1-one-consumes")
    one.run(60)
    before = targets(one)["aos_vm3"]

    found = sizes_undone(one, late_s=60)

    assert found["aos_vm3"].outcome == "left"
    assert found["aos_vm3"].why == "the guest does not report what it uses"
    assert targets(one)["aos_vm3"] == before


def test_who_gives_goes_before_who_is_given(rig: MakeRig) -> None:
    one = rig("memory-1-one-consumes")
    one.run(60)
    first, *_ = [each.guest for each in one.changes() if each.what == "size"]
    assert first != "aos_vm3"

    assert next(iter(sizes_undone(one))) == "aos_vm3"


def test_no_more_is_given_than_the_host_has(rig: MakeRig, monkeypatch: pytest.MonkeyPatch) -> None:
    one = rig("memory-1-one-consumes")
    one.run(6)
    monkeypatch.setattr("virtlab.agent.balloon_room._HOST_KEEPS_KIB", one.scenario.host.memory_kib)
    before = targets(one)

    found = sizes_undone(one)

    assert {back.outcome for back in found.values()} == {"left"}
    assert found["aos_vm1"].why == "the host has not 66 MiB more for it"
    assert targets(one) == before


def test_a_size_that_somebody_else_set_is_theirs(rig: MakeRig) -> None:
    one = rig("memory-1-one-consumes")
    one.run(6)
    one.host.guests["aos_vm1"].memory.set_target(one.host.now_ns, mib(300))
    one.daemon.close()
    one.clock.now_ns = seconds(12)
    one.recorder.advance(one.clock.now_ns)

    assert sizes_undone(one)["aos_vm1"].outcome == "theirs"
    assert targets(one)["aos_vm1"][0] == mib(300)


def test_a_guest_that_migrates_is_not_touched(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one")
    one.run(20)
    (name, *_) = sorted({change.guest for change in one.changes()})
    uuid, before = one.host.guests[name].uuid, masks(one)[name]
    job = {"DOMAIN_GET_JOB_INFO": lambda dom: (2 if dom.uuid == uuid else 0, *(0,) * 11)}
    one.driver.handlers = {**one.driver.handlers, **job}

    outcomes = undone(one)

    assert outcomes.pop(name) == "failed"
    assert set(outcomes.values()) == {"back"}
    assert masks(one)[name] == before


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
