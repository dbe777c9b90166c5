import pytest
from memory_hosts import scenario, spec, touches_all

from virtlab.league.memory_run import run_coordinator
from virtlab.league.memory_sensor import MemoryLimits
from virtlab.model.faults import GuestFault
from virtlab.model.plan import MemoryPlan
from virtlab.model.scenario import GuestSpec
from virtlab.model.snapshot import MemorySnapshot
from virtlab.model.timeline import Timeline
from virtlab.model.units import mib, seconds
from virtlab.policies.coordination.squeezed import Squeezed

LIMITS = MemoryLimits(reserve_kib=mib(200), floor_kib=mib(300))
POOL_MIB = 72
# A host of 8 GiB that needs 1 itself, and keeps 200 MiB.
FREE_MIB = 8192 - 1024 - 200


class AskingAt:
    """Squeezed, of which something is asked at a moment."""

    def __init__(self, at_s: int, ask: str, *sizes_mib: int) -> None:
        self.policy = Squeezed()
        self.at_s, self.ask, self.sizes_kib = at_s, ask, [mib(size) for size in sizes_mib]
        self.release_s: int | None = None

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        if host.time_ns == seconds(self.at_s):
            assert getattr(self.policy, self.ask)(*self.sizes_kib) == 1
        if self.release_s is not None and host.time_ns >= seconds(self.release_s):
            self.policy.release(1)
        return self.policy.decide(host)


def guests() -> list[GuestSpec]:
    return [
        spec("a", size_mib=1024, max_mib=8000, cache_mib=0),
        spec("b", size_mib=1024, max_mib=4000, cache_mib=0),
    ]


def run(policy: object, *events: object, duration_s: int = 120) -> Timeline:
    loads = [touches_all(name, until_s=duration_s) for name in "ab"]
    return run_coordinator(
        scenario(guests(), [*loads, *events], host_mib=8192, duration_s=duration_s),  # type: ignore[list-item]
        policy,  # type: ignore[arg-type]
        limits=LIMITS,
    )


def parts(timeline: Timeline, index: int = -1) -> list[float]:
    """Return at which part of its range each guest is."""
    return [
        (guest.actual_kib[index] - mib(300)) / (guest.max_memory_kib - mib(300))
        for guest in timeline.guests
    ]


def test_all_guests_come_to_the_same_part_of_their_ranges_and_are_then_left_alone() -> None:
    timeline = run(Squeezed())

    one, other = parts(timeline)
    assert one == pytest.approx(other, abs=0.001)
    sizes = sum(guest.actual_kib[-1] for guest in timeline.guests)
    assert sizes == pytest.approx(mib(FREE_MIB - POOL_MIB), abs=600)
    assert max(call.time_ns for call in timeline.memory_calls) < seconds(60)


def test_what_is_asked_for_is_freed() -> None:
    policy = AskingAt(60, "free", 2000)

    timeline = run(policy, duration_s=66)

    result = policy.policy.results[1]
    assert (result.outcome, result.inactive) == ("met", ())
    assert result.kib == mib(2000)
    assert timeline.host_free_kib[-1] >= mib(2000 + 200 + POOL_MIB)


def test_what_was_reserved_stays_free_until_it_is_released() -> None:
    policy = AskingAt(60, "reserve", 2000)

    kept = run(policy, duration_s=100)
    policy = AskingAt(60, "free", 2000)
    given_back = run(policy, duration_s=100)

    assert kept.host_free_kib[-1] >= mib(2000 + 200)
    assert given_back.host_free_kib[-1] < mib(400)


def test_a_reservation_that_is_released_is_shared_out_again() -> None:
    policy = AskingAt(60, "reserve", 2000)
    policy.release_s = 80

    timeline = run(policy, duration_s=120)

    assert timeline.host_free_kib[80] >= mib(2000 + 200)
    assert timeline.host_free_kib[-1] < mib(400)


def test_a_range_gets_what_a_guest_of_it_would_be_given() -> None:
    policy = AskingAt(60, "free_range", 300, 4000)

    run(policy, duration_s=80)

    result = policy.policy.results[1]
    part = (FREE_MIB - POOL_MIB - 600) / (7700 + 3700 + 3700)
    assert result.outcome == "met"
    assert result.kib == pytest.approx(mib(300 + part * 3700), rel=0.01)


def test_what_cannot_be_freed_is_said() -> None:
    policy = AskingAt(60, "free", 7000)

    run(policy, duration_s=120)

    assert policy.policy.results[1].outcome == "cannot free"
    assert policy.policy.results[1].kib == 0


def test_a_stuck_guest_is_left_out_and_named_and_the_other_gives_all() -> None:
    policy = AskingAt(60, "free", 2000)
    stuck = GuestFault(seconds(50), "a", "balloon-stuck")

    timeline = run(policy, stuck, duration_s=120)

    assert policy.policy.results[1].outcome == "met"
    assert policy.policy.results[1].inactive == ("a",)
    given_kib = timeline.guest("b").actual_kib[55] - min(timeline.guest("b").actual_kib[60:])
    assert given_kib >= mib(1990)


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="2 to 1 KiB cannot be had"):
        Squeezed().free_range(2, 1)
