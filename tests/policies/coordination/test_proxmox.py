import pytest
from memory_hosts import grows, scenario, snapshot, spec, touches_all, view

from virtlab.league.memory_run import run_coordinator
from virtlab.league.memory_sensor import MemoryLimits
from virtlab.model.plan import MemoryPlan
from virtlab.model.snapshot import MemorySnapshot
from virtlab.model.timeline import Timeline
from virtlab.model.units import mib, seconds
from virtlab.policies.coordination.proxmox import Balloon, Proxmox, round_of

MB, GB = 10**6, 10**9


def pair(sizes: tuple[int, int]) -> list[Balloon]:
    """Return the two guests of balloontest.pl, of which each uses 1 GB."""
    return [
        Balloon(name, size, GB, 2 * GB, shares, size - GB)
        for name, size, shares in zip("ab", sizes, (2000, 1000), strict=True)
    ]


def iterated(goal: int, rounds: int) -> tuple[int, int]:
    sizes = (GB, GB)
    for _ in range(rounds):
        left = goal - (sum(sizes) - 2 * GB)
        new = round_of(pair(sizes), left, 100 * MB)
        sizes = (new.get("a", sizes[0]), new.get("b", sizes[1]))
    return sizes


@pytest.mark.parametrize(
    ("goal", "sizes"), [(90, (1060, 1030)), (150, (1100, 1050)), (270, (1100, 1090))]
)
def test_one_round_gives_what_the_published_test_gives(goal: int, sizes: tuple[int, int]) -> None:
    assert iterated(goal * MB, 1) == (sizes[0] * MB, sizes[1] * MB)


@pytest.mark.parametrize(
    ("goal", "sizes"),
    [(180, (1120, 1060)), (270, (1180, 1090)), (600, (1300, 1300)), (900, (1600, 1300))],
)
def test_rounds_that_see_what_the_last_gave_end_as_the_published_test_does(
    goal: int, sizes: tuple[int, int]
) -> None:
    # With 600 MB shares of 2:1 end equal: a guest with a quarter of its minimum unused is last.
    assert iterated(goal * MB, 20) == (sizes[0] * MB, sizes[1] * MB)


def test_a_host_above_its_target_takes_from_the_comfortable_first() -> None:
    plan = Proxmox().decide(
        snapshot(
            view("full", 2048, 20, least_mib=1024),
            view("idle", 2048, 1500, least_mib=1024),
            total_mib=8192,
            free_mib=8192 * 0.2 - 90,
        )
    )

    # Of the 90 MiB all come from the idle one.
    assert [resize.guest for resize in plan.actions] == ["idle"]
    assert mib(2048) - plan.actions[0].memory_kib == pytest.approx(mib(90), abs=2)


def test_guests_without_a_minimum_shares_or_a_report_take_no_part() -> None:
    plan = Proxmox().decide(
        snapshot(
            view("a", 512, 100, least_mib=0),
            view("b", 512, 100, shares=0),
            view("c", 512, None),
            view("d", 512, 100, movable=False),
        )
    )

    assert not plan.actions


class AfterTheStart:
    """Proxmox from the moment on at which the guests have touched what they touch."""

    def __init__(self) -> None:
        self.policy = Proxmox()

    def decide(self, host: MemorySnapshot) -> MemoryPlan:
        return self.policy.decide(host) if host.time_ns >= seconds(10) else MemoryPlan()


def starving() -> Timeline:
    """8 GiB at the target of 80 %; a guest short of 476 MiB beside one that leaves 3506 idle."""
    guests = [
        spec("vm0", size_mib=1024, max_mib=4096, swap_mib=1024, cache_mib=0),
        spec("vm1", size_mib=4506, max_mib=6144, used_mib=1000, cache_mib=0),
    ]
    loads = [
        touches_all("vm1", each_s=1000, until_s=1000),
        grows("vm0", 1, rate_mib_s=1024, until_mib=1500 - 152, keep=True),
    ]
    return run_coordinator(
        scenario(guests, loads, host_mib=8192, duration_s=3000, interval_s=10),
        AfterTheStart(),
        limits=MemoryLimits(
            reserve_kib=0, floor_kib=mib(200), floors_kib={"vm0": mib(1024), "vm1": mib(1024)}
        ),
    )


def test_at_its_target_a_guest_starves_beside_idle_memory_for_ever() -> None:
    run = starving()

    assert run.memory_calls == ()
    assert run.guest("vm0").consumer_kib[-1] == mib(1500 - 152)
    assert run.guest("vm0").actual_kib[-1] == mib(1024)  # so 476 MiB of it are in swap
    assert run.guest("vm1").unused_kib[-1] == mib(3506)


def test_idle_guests_that_touched_everything_settle_and_stay_still() -> None:
    names = ["g0", "g1", "g2", "g3"]
    guests = [spec(name, size_mib=5120, max_mib=5120, used_mib=2048, cache_mib=0) for name in names]
    loads = [touches_all(name, until_s=1000) for name in names]

    run = run_coordinator(
        scenario(guests, loads, duration_s=1000, interval_s=5, swap_kib=mib(8192)),
        Proxmox(),
        limits=MemoryLimits(reserve_kib=0, floor_kib=mib(1024)),
    )

    # Where MOM swings for ever, it is done after 22 rounds of 10 s.
    assert max(call.time_ns for call in run.memory_calls) < seconds(220)
