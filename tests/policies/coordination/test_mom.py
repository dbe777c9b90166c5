import pytest
from memory_hosts import scenario, snapshot, spec, touches_all, view

from virtlab.league.memory_run import run_coordinator
from virtlab.league.memory_sensor import MemoryLimits
from virtlab.model.units import mib
from virtlab.policies.coordination.mom import Balloon, Mom

# MiB and shares: size, unused, host free, new size; each of 1024 to 4096 MiB.
VECTORS = [
    (4096, 3000, 0.15, 3891.2),
    (4096, 500, 0.15, None),  # what it uses and its part of free memory are more than it has
    (4096, 500, 0.05, 3891.2),  # at the critical point it is left what it uses, and no more
    (2048, 100, 0.30, 2357.6),
    (2048, 1500, 0.30, 2150.4),
    (4090, 1500, 0.30, None),  # less than a quarter of a per cent
]


@pytest.mark.parametrize(("size", "unused", "free", "new"), VECTORS)
def test_the_rules_give_what_they_are_known_to_give(
    size: float, unused: float, free: float, new: float | None
) -> None:
    resized = Mom().resized(Balloon(size, size - unused, 1024, 4096), free)

    assert resized == (None if new is None else pytest.approx(new))


def test_an_idle_guest_shrinks_to_its_minimum_in_27_rounds() -> None:
    size, rounds = 4096.0, 0
    while (new := Mom().resized(Balloon(size, 100, 1024, 4096), 0.10)) is not None:
        size, rounds = new, rounds + 1

    # The last step would be smaller than a quarter of a per cent, so it is not made.
    assert rounds == 27
    assert size == pytest.approx(4096 * 0.95**27)


def test_what_is_used_is_the_mean_of_ten_samples() -> None:
    policy = Mom(round_s=20)
    sizes = []
    for tick, unused_mib in enumerate([100, 100, 1500, 1500]):
        plan = policy.decide(
            snapshot(view("a", 2048, unused_mib, max_mib=4096), time_s=5 * tick, total_mib=8192)
        )
        sizes += [resize.memory_kib for resize in plan.actions]
    plan = policy.decide(snapshot(view("a", 2048, 1500, max_mib=4096), time_s=20))

    assert sizes == [int(mib(2048) - mib(100) + 0.2 * mib(2048))]
    # used = 2048 - (100 + 100 + 3 * 1500) / 5, so that five per cent are more
    assert [resize.memory_kib for resize in plan.actions] == [int(1.05 * mib(2048))]


def test_a_guest_that_reports_nothing_is_left_alone_and_named() -> None:
    plan = Mom().decide(snapshot(view("a", 2048, None, max_mib=4096)))

    assert not plan.actions
    assert plan.rejected[0].what == "resize a"


def test_idle_guests_that_touched_everything_make_it_swing_for_ever() -> None:
    """Four guests that use 2 of at most 5 GiB on a host of 16, of which it needs one itself."""
    names = ["g0", "g1", "g2", "g3"]
    guests = [spec(name, size_mib=5120, max_mib=5120, used_mib=2048, cache_mib=0) for name in names]
    loads = [touches_all(name, until_s=1000) for name in names]
    limits = MemoryLimits(reserve_kib=0, floor_kib=mib(1024))
    rounds: list[int] = []

    run = run_coordinator(
        scenario(guests, loads, duration_s=1000, interval_s=5, swap_kib=mib(8192)),
        Mom(),
        limits=limits,
        on_tick=lambda look, plan: (
            rounds.append(len(plan.actions)) if "not due" not in plan.because else None
        ),
    )

    totals = [sum(guest.actual_kib[n] for guest in run.guests) for n in range(400, 1000)]
    # Every guest, in every round once the first have freed a fifth of the host, to the end.
    assert rounds[10:] == [4] * len(rounds[10:])
    assert 9.9 < min(totals) / mib(1024) < 10.6
    assert 13.3 < max(totals) / mib(1024) < 14.1
