import pytest
from memory_hosts import grows, scenario, snapshot, spec, touches_all, view

from virtlab.league.memory_run import run_coordinator
from virtlab.league.memory_sensor import MemoryLimits
from virtlab.model.timeline import Timeline
from virtlab.model.units import mib, seconds
from virtlab.policies.coordination.esx import Esx

# Ten times the set-up of the paper: 3580 MiB for two guests of equal shares.
TOTAL_MIB = (3580 + 1024) / 0.94
LIMITS = MemoryLimits(reserve_kib=0, floor_kib=mib(200))


def two_guests(tax: float, *, used_mib: int = 380, max_mib: int = 4096) -> Timeline:
    """Run one that is idle, with so much in use, beside one that uses all that it gets."""
    guests = [
        spec("idle", size_mib=1700, max_mib=max_mib, used_mib=used_mib, cache_mib=20),
        spec("busy", size_mib=1700, max_mib=max_mib, cache_mib=0, swap_mib=4096),
    ]
    loads = [
        touches_all("idle", until_s=900),
        grows("busy", 0, rate_mib_s=1024, until_mib=4000, keep=True),
    ]
    return run_coordinator(
        scenario(guests, loads, host_mib=round(TOTAL_MIB), duration_s=900),
        Esx(tax),
        limits=LIMITS,
    )


@pytest.mark.parametrize(("tax", "idle_mib"), [(0.0, 1790), (0.75, 956)])
def test_the_tax_moves_idle_memory_to_the_guest_that_uses_it(tax: float, idle_mib: float) -> None:
    timeline = two_guests(tax)

    sizes_mib = [guest.actual_kib[-1] / 1024 for guest in timeline.guests]
    # Two steps of 16 MiB: one in which the swap stops, one that does not fit into what is free.
    assert sizes_mib == pytest.approx([idle_mib, 3580 - idle_mib], abs=34)
    assert max(call.time_ns for call in timeline.memory_calls) < seconds(600)


def test_a_guest_at_its_maximum_takes_no_more() -> None:
    timeline = two_guests(0.75, max_mib=2560)

    assert [guest.actual_kib[-1] / 1024 for guest in timeline.guests] == pytest.approx(
        [1020, 2560], abs=34
    )


def test_memory_is_taken_back_below_soft_until_high_is_free() -> None:
    calm = Esx().decide(snapshot(view("a", 2000, 1000), free_mib=8192 * 0.05))
    short = Esx().decide(snapshot(view("a", 2000, 1000), free_mib=8192 * 0.039))

    assert calm.actions == ()
    # 0.021 x 8192 = 172 MiB in steps of 16
    assert [resize.memory_kib for resize in short.actions] == [mib(2000 - 176)]


def test_what_was_active_is_forgotten_slowly() -> None:
    """Freed memory goes a quarter at a time; the other guest would take all at once."""
    policy = Esx()
    sizes = []
    a, b = mib(1000), mib(1000)
    for tick, unused_mib in enumerate([0, 900, 900, 900]):
        plan = policy.decide(
            snapshot(
                view("a", a / 1024, unused_mib - (1000 - a / 1024), target_kib=a),
                view("b", b / 1024, 0, max_mib=4096, target_kib=b),
                free_mib=8192 * 0.06,
                time_s=30 * tick,
            )
        )
        by_name = {resize.guest: resize.memory_kib for resize in plan.actions}
        moved = a - by_name.get("a", a)
        a, b = a - moved, b + moved
        sizes.append(a // 1024)

    assert sizes[0] == 1000
    assert sizes == sorted(sizes, reverse=True)
    assert 0 < sizes[0] - sizes[1] < sizes[0] - sizes[3]


def test_guests_of_which_nothing_is_known_are_left_alone_and_named() -> None:
    plan = Esx().decide(snapshot(view("a", 500, None), view("b", 500, 100)))

    assert [resize.guest for resize in plan.actions] == ["b"]
    assert [one.what for one in plan.rejected] == ["resize a"]


def test_a_guest_that_starts_anew_is_counted_anew() -> None:
    """What an idle guest of its name was to have is not what a full one needs."""
    policy = Esx()
    hungry = view("b", 2000, 0, max_mib=4096)
    before = policy.decide(snapshot(view("a", 2000, 1900), hungry, free_mib=100, time_s=0))
    full = view("a", 2000, 0, fresh=True)
    anew = policy.decide(snapshot(full, hungry, free_mib=100, time_s=2))

    sizes = {resize.guest: resize.memory_kib for resize in before.actions}
    assert sizes["a"] < mib(1500)
    again = {resize.guest: resize.memory_kib for resize in anew.actions}
    assert again.get("a", mib(2000)) > mib(1500)
