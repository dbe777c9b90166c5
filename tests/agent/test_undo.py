"""Putting back what daemons changed, with a real connection to a served host."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from virtlab.agent.change_log import Change, ChangeLog, first_changes, read_changes
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


def test_the_first_value_and_the_last_one_count() -> None:
    entries = [
        change(),
        change(wall_s=20, before=(1,), after=(2,)),
        change(wall_s=30, before=(2,), after=(3,)),
    ]

    assert [(one.before, one.after) for one in first_changes(entries)] == [((0,), (3,))]
    assert [(one.before, one.after) for one in first_changes(entries, 15)] == [((1,), (3,))]


def test_what_was_undone_begins_anew() -> None:
    entries = [change(), change(undone=True), change(before=(5,), after=(6,))]

    assert [one.before for one in first_changes(entries)] == [(5,)]


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


def test_a_long_log_is_shortened_to_what_undoing_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtlab.agent.change_log._BYTES_MAX", 1000)
    day_s = 24 * 3600
    log = ChangeLog(tmp_path / "log")
    log.write(change(wall_s=n, before=(n,), after=(n + 1,)) for n in range(50))
    log.write([change(wall_s=2 * day_s, before=(50,), after=(51,))])
    log.close()

    ChangeLog(tmp_path / "log").close()

    kept = list(read_changes(tmp_path / "log"))
    assert [one.before for one in kept] == [(0,), (50,)]
