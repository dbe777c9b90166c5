import pytest
from memory_hosts import grows, scenario, snapshot, spec, touches_all, view

from virtlab.league.memory_run import run_coordinator
from virtlab.model.units import mib
from virtlab.policies.coordination.selfballoon import Selfballoon, floor_kib, target_kib

RESERVE_MIB = 8


@pytest.mark.parametrize(
    ("most_mib", "floor_mib"),
    [(64, 44), (128, 58), (512, 106), (1024, 135.66), (2048, 167.66), (8192, 359.66), (20, 20)],
)
def test_the_floor_rises_with_the_size(most_mib: int, floor_mib: float) -> None:
    assert floor_kib(mib(most_mib), mib(RESERVE_MIB)) / 1024 == pytest.approx(floor_mib, abs=0.01)


def test_it_shrinks_by_an_eighth_of_the_way_and_grows_at_once() -> None:
    size, goal = mib(1024), mib(300 + RESERVE_MIB)
    sizes = []
    for _ in range(5):
        size = target_kib(size, goal)
        sizes.append(size / 1024)

    assert sizes == pytest.approx([934.5, 856.2, 787.7, 727.7, 675.2], abs=0.05)
    assert target_kib(size, mib(700 + RESERVE_MIB)) == mib(708)


def test_the_first_look_is_put_off_and_then_comes_each_five_seconds() -> None:
    policy = Selfballoon()

    acts = [
        bool(policy.decide(snapshot(view("a", 1024, 700), time_s=second)).actions)
        for second in range(12)
    ]

    assert [second for second, acted in enumerate(acts) if acted] == [5, 10]


def test_a_guest_follows_what_it_uses_and_no_other_guest() -> None:
    guests = [
        spec("a", size_mib=2048, max_mib=2048, cache_mib=0),
        spec("b", size_mib=512, max_mib=2048, cache_mib=0),
    ]
    loads = [touches_all("a", until_s=5), grows("b", 1, rate_mib_s=16, until_mib=600, keep=True)]

    run = run_coordinator(scenario(guests, loads, duration_s=240), Selfballoon())

    # Used, reserve, a tenth of the maximum, and the kernel's part that it does not count.
    idle, grown = run.guest("a").actual_kib[-1] / 1024, run.guest("b").actual_kib[-1] / 1024
    assert idle == pytest.approx(88 + 8 + 204.8 + 64, abs=12)
    assert grown == pytest.approx(688 + 8 + 204.8 + 64, abs=12)


def test_growth_takes_no_more_than_the_host_can_spare() -> None:
    policy = Selfballoon()
    policy.decide(snapshot(view("a", 512, 0)))

    plan = policy.decide(snapshot(view("a", 512, 0), time_s=6, free_mib=300, reserve_mib=200))

    assert [resize.memory_kib for resize in plan.actions] == [mib(612)]
