"""Accounts from journals of served hosts: what was seen, predicted, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from virtlab.agent.why import account_of, kind_of
from virtlab.errors import InputError
from virtlab.model.units import EPOCH_S
from virtlab.policies.scheduling.leave_alone import LeaveAlone

MakeRig = Callable[..., Any]


@pytest.fixture
def settled(rig: MakeRig) -> Any:
    one = rig("cpu-1-all-on-one")
    one.run(12.5)
    return one


def test_a_move_is_told_with_its_figures(settled: Any) -> None:
    (first, *_) = settled.changes()

    account = account_of(settled.ticks(), f"{first.guest}:0", EPOCH_S, EPOCH_S + 10)

    assert account.moved and account.result == "done"
    assert (account.before, account.after) == ("pCPU 0", f"pCPU {first.after[0]}")
    predicted, came = account.expected["busiest_share"], account.came["busiest_share"]
    assert came == pytest.approx(predicted, abs=0.05)
    text = account.paragraph()
    assert text.startswith("At ") and "so that it wants 0.2" in text
    assert "Also considered: leave all as it is" in text
    assert "\n" not in text


def test_a_quiet_moment_is_told_with_the_last_change(settled: Any) -> None:
    (first, *_) = settled.changes()

    account = account_of(settled.ticks(), f"{first.guest}:0", EPOCH_S + 8, EPOCH_S + 9)

    assert not account.moved
    assert account.last_moved_s == pytest.approx(EPOCH_S + 1, abs=0.5)
    assert "was left as it was" in account.paragraph()
    assert "It was last changed at" in account.paragraph()


def test_what_was_held_back_is_told_as_that(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one", dry_run=True)
    one.run(5)
    moved = one.ticks()[1].parts["plan"]["actions"][0]["vcpu"]

    account = account_of(one.ticks(), moved, EPOCH_S, EPOCH_S + 5)

    assert f"{moved} was to be moved from pCPU 0 to pCPU" in account.paragraph()
    assert "It was not done: dry run." in account.paragraph()


def test_a_guests_size_is_told(rig: MakeRig) -> None:
    one = rig("memory-1-one-consumes")
    one.run(60)
    grown = next(change for change in one.changes() if change.what == "size")

    account = account_of(one.ticks(), grown.guest, EPOCH_S, EPOCH_S + 60)

    assert kind_of(grown.guest) == "coordinate" and kind_of("web:0") == "schedule"
    assert account.moved
    assert "MiB unused, as it reported" in account.paragraph()
    assert f"{grown.guest} unused_mib" in account.expected


def test_an_unknown_vcpu_is_named_with_the_nearest(settled: Any) -> None:
    with pytest.raises(InputError, match=r"knows no aos_vm33:0 .*\n.*did you mean aos_vm3:0"):
        account_of(settled.ticks(), "aos_vm33:0", EPOCH_S, EPOCH_S + 10)


def test_a_moment_before_the_journal_is_refused(settled: Any) -> None:
    with pytest.raises(InputError, match=r"does not reach back to .*; it begins at "):
        account_of(settled.ticks(), "aos_vm3:0", EPOCH_S - 100, EPOCH_S - 90)


def test_a_policy_that_does_nothing_says_so(rig: MakeRig) -> None:
    one = rig("cpu-1-all-on-one", policy=LeaveAlone)
    one.run(4)

    account = account_of(one.ticks(), "aos_vm3:0", EPOCH_S, EPOCH_S + 4)

    assert "The plan: Linux is left alone." in account.paragraph()
