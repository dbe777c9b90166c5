"""Our coordinator: what it promises, on hosts of all kinds and on the simulated one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_hosts import grows, scenario, snapshot, spec, touches_all, view
from rubric_marks import lost

from virtlab.league.memory_run import run_coordinator
from virtlab.league.memory_sensor import MemoryLimits
from virtlab.model.faults import GuestFault
from virtlab.model.plan import MemoryPlan
from virtlab.model.scenario import Event, GuestSpec, StartGuest, StopGuest
from virtlab.model.snapshot import GuestMemory, MemorySnapshot
from virtlab.model.timeline import Timeline
from virtlab.model.units import KIB_PER_MIB, mib, seconds
from virtlab.policies.coordination.guest_need import GuestNeed
from virtlab.policies.coordination.steady import Steady

LIMITS = MemoryLimits(reserve_kib=mib(200), floor_kib=mib(200))
Looks = list[tuple[MemorySnapshot, MemoryPlan]]


def run(
    guests: Sequence[GuestSpec],
    events: Sequence[Event] = (),
    *,
    limits: MemoryLimits = LIMITS,
    **changes: object,
) -> tuple[Timeline, Looks]:
    looks: Looks = []
    timeline = run_coordinator(
        scenario(guests, events, **changes),  # type: ignore[arg-type]
        Steady(),
        limits=limits,
        on_tick=lambda look, plan: looks.append((look, plan)),
    )
    return timeline, looks


def kills(timeline: Timeline) -> list[str]:
    return [event.detail for event in timeline.events if event.kind == "oom_kill"]


# The course, and beyond.


def test_it_earns_full_marks_by_every_rubric() -> None:
    for rubric in ("fall-2026", "rubric-2023", "generality"):
        assert lost(Steady, rubric, [1]) == {}


def test_a_guest_gets_memory_before_it_lacks_it() -> None:
    timeline, _ = run([spec("a"), spec("b")], [grows("a", 6)], duration_s=90)

    least_kib = min(timeline.guest("a").unused_kib)
    assert least_kib > mib(80)
    assert timeline.guest("a").actual_kib[-1] > mib(1500)


def test_a_fast_guest_is_served_as_fast_as_steps_allow() -> None:
    timeline, _ = run([spec("a", max_mib=8192)], [grows("a", 6, rate_mib_s=120)], duration_s=60)

    assert kills(timeline) == []


def test_idle_memory_moves_to_a_guest_that_starves_at_proxmoxs_target() -> None:
    guests = [
        spec("vm0", size_mib=1024, max_mib=4096, swap_mib=1024, cache_mib=0),
        spec("vm1", size_mib=4506, max_mib=6144, used_mib=1000, cache_mib=0),
    ]
    loads = [
        touches_all("vm1", each_s=1000, until_s=1000),
        grows("vm0", 1, rate_mib_s=1024, until_mib=1500 - 152, keep=True),
    ]

    # The host has nothing to spare but its reserve.
    timeline, _ = run(guests, loads, host_mib=1024 + 1024 + 4506 + 200, duration_s=60)

    assert timeline.guest("vm0").actual_kib[-1] >= mib(1500)
    assert min(timeline.host_free_kib[2:]) >= mib(199)


def test_idle_guests_are_left_alone_once_settled() -> None:
    names = ["g0", "g1", "g2", "g3"]
    guests = [spec(name, size_mib=5120, max_mib=5120, used_mib=2048, cache_mib=0) for name in names]
    loads = [touches_all(name, until_s=1000) for name in names]

    timeline, _ = run(guests, loads, duration_s=1000, interval_s=5, swap_kib=mib(8192))

    # 3 GiB each in steps of 112 MiB, one in 5 s.
    assert max(call.time_ns for call in timeline.memory_calls) < seconds(150)
    assert all(guest.actual_kib[-1] < mib(2048 + 192) for guest in timeline.guests)


def test_a_guest_whose_page_cache_fills_is_not_given_more_for_it() -> None:
    reader = spec("a", size_mib=1024, max_mib=4096, cache_mib=3000, file_reads_kib_s=mib(50))

    timeline, _ = run([reader], duration_s=120)

    assert max(timeline.guest("a").actual_kib) <= mib(1024)
    assert kills(timeline) == []


def test_a_balloon_that_deflates_on_demand_does_not_make_its_guest_look_as_if_it_grew() -> None:
    guests = [spec(n, size_mib=1500, cache_mib=0, deflate_on_oom=True) for n in "ab"]

    _, looks = run(guests, duration_s=120)

    sizes = [look.guests[0].actual_kib for look, _ in looks]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < mib(400)


def test_a_guest_with_more_shares_gets_more_of_what_there_is() -> None:
    def lacks(name: str, shares: int, out_mib: int) -> GuestMemory:
        return view(name, 800, 0, shares=shares, swap_in_kib=0, swap_out_kib=mib(out_mib))

    policy = Steady()
    policy.decide(snapshot(lacks("a", 3000, 0), lacks("b", 1000, 0), free_mib=0))

    plan = policy.decide(
        snapshot(lacks("a", 3000, 900), lacks("b", 1000, 900), free_mib=400, time_s=2)
    )

    assert [one.memory_kib for one in plan.actions] == [mib(1100), mib(900)]


# What is wrong.


def test_nothing_is_taken_from_a_guest_whose_report_is_old() -> None:
    stale = GuestFault(seconds(1), "a", "statistics-stale")

    timeline, looks = run([spec("a", size_mib=2048, cache_mib=0)], [stale], duration_s=120)

    assert timeline.memory_calls == ()
    assert "the last is 99 s old" in looks[50][1].rejected[0].why


def test_a_guest_without_statistics_is_given_memory_as_it_touches_what_it_has() -> None:
    silent = GuestFault(0, "a", "statistics-missing")

    timeline, _ = run([spec("a"), spec("b")], [silent, grows("a", 6)], duration_s=100)

    assert kills(timeline) == []
    assert timeline.guest("a").actual_kib[-1] > mib(1500)


def test_a_stuck_balloon_with_memory_to_give_is_asked_once_and_moves_when_it_can() -> None:
    stuck = GuestFault(0, "a", "balloon-stuck", seconds(200))
    guests = [spec("a", size_mib=2048, cache_mib=0), spec("b", size_mib=2048, cache_mib=0)]

    timeline, looks = run(guests, [stuck, touches_all("a", each_s=1000)], duration_s=300)

    asked = [call.time_ns for call in timeline.memory_calls if call.guest == "a"]
    assert sum(at_ns < seconds(200) for at_ns in asked) == 1
    assert "still stands" in looks[50][1].rejected[0].why
    assert timeline.guest("a").actual_kib[200] == mib(2048)
    assert timeline.guest("a").actual_kib[-1] < mib(400)


def test_a_balloon_that_does_not_grow_is_asked_to_stay_and_tried_later_and_later() -> None:
    stuck = GuestFault(seconds(20), "a", "balloon-stuck")
    load = grows("a", 10, until_mib=700, keep=True)

    _, looks = run([spec("a", swap_mib=2048)], [stuck, load], duration_s=500)

    stays = [
        look.time_ns // 10**9
        for look, plan in looks
        for one in plan.actions
        if "stuck" in one.reason
    ]
    gaps = [after - before for before, after in pairwise(stays)]
    # 30 s, 60 s and so on, and the time in which it is seen not to move.
    assert all(0 < gap - 30 * 2**n <= 12 for n, gap in enumerate(gaps[:3]))
    assert len(gaps) >= 3
    # What it does not take is not kept for it meanwhile.
    spare_kib = {look.time_ns // 10**9: look.spare_kib for look, _ in looks}
    assert spare_kib[stays[0] + 4] > spare_kib[stays[0] - 2]


def test_memory_of_a_stuck_guest_is_not_counted_on() -> None:
    """One is stuck with 1.3 GiB idle; the other gives the pressed one what it can."""
    guests = [
        spec("a", size_mib=1536, cache_mib=0),
        spec("b", size_mib=1536, cache_mib=0),
        spec("c", size_mib=512, swap_mib=2048),
    ]
    events = [
        GuestFault(0, "a", "balloon-stuck"),
        touches_all("a"),
        touches_all("b", each_s=1000, until_s=1000),
        grows("c", 10, until_mib=1400, keep=True),
    ]

    timeline, _ = run(guests, events, host_mib=1024 + 1536 * 2 + 512 + 200, duration_s=240)

    assert timeline.guest("b").actual_kib[-1] < mib(500)
    assert timeline.guest("c").actual_kib[-1] > mib(1400)
    assert min(timeline.host_free_kib[2:]) >= mib(199)


def test_what_comes_and_goes_too_fast_to_follow_is_left_with_the_guest() -> None:
    """A guest that fills and frees 900 MiB again and again; taking them back each time harms."""
    saws = [
        grows("a", at_s, rate_mib_s=150, until_mib=900, hold_s=5) for at_s in range(10, 900, 40)
    ]

    _, looks = run([spec("a", swap_mib=2048)], saws, duration_s=900)

    shrinks = [
        look.time_ns
        for look, plan in looks
        for one in plan.actions
        if one.memory_kib < look.guests[0].actual_kib
    ]
    first, last = (
        sum(from_s <= at_ns / 10**9 < from_s + 300 for at_ns in shrinks) for from_s in (0, 600)
    )
    assert first > 0
    assert last < first


def test_a_guest_that_reads_pages_back_after_it_was_shrunk_is_left_alone_for_longer_each_time() -> (
    None
):
    policy = Steady()
    sizes = []
    size_mib, faults = 2048.0, 0
    for tick in range(400):
        if size_mib < 1300:  # it works with more files than its report lets one see
            faults += 1000
        look = view("a", size_mib, size_mib - 900, major_faults=faults, target_kib=mib(size_mib))
        for one in policy.decide(snapshot(look, time_s=2 * tick, free_mib=0)).actions:
            size_mib = one.memory_kib / 1024
        sizes.append(size_mib)

    shrinks = [n for n in range(1, 400) if sizes[n] < sizes[n - 1]]
    late = [n for n in shrinks if sizes[n] < 1300]
    gaps = [b - a for a, b in pairwise(late)]
    assert all(after >= before for before, after in pairwise(gaps))
    assert gaps[-1] > 30  # looks, of 2 s each


def test_guests_that_vanish_and_come_again_begin_anew() -> None:
    events = [
        StopGuest(seconds(60), "a"),
        StartGuest(seconds(100), "a"),
        grows("a", 120, until_mib=1000, keep=True),
    ]

    timeline, _ = run([spec("a", size_mib=1024), spec("b")], events, duration_s=240)

    assert kills(timeline) == []
    assert timeline.guest("a").actual_kib[-1] > mib(1200)


def test_a_host_below_its_reserve_gets_idle_memory_at_once() -> None:
    look = snapshot(view("a", 2000, 1000), free_mib=100, reserve_mib=300)

    plan = Steady().decide(look)

    assert [resize.memory_kib for resize in plan.actions] == [mib(2000) - mib(200)]
    assert "others are pressed" in plan.actions[0].reason


def test_reasons_and_expectations_have_figures() -> None:
    plan = Steady().decide(snapshot(view("a", 512, 60), view("b", 512, 20), free_mib=150))

    assert [one.reason for one in plan.actions] == ["only 60 MiB unused", "only 20 MiB unused"]
    assert plan.expected["spare_mib"] == 0.0
    assert plan.expected["a unused_mib"] > 100
    assert plan.rejected[0].what == "give a, b 42 MiB more"


# What is lent, and what lies in swap.


def lent(plan: MemoryPlan) -> list[str]:
    return [one.guest for one in plan.actions if "are lent" in one.reason]


def one_frees_and_another_lacks(*faults: GuestFault) -> tuple[Timeline, Looks]:
    """Two guests fill the host and swap; at 80 s one frees a GiB that the other lacks."""
    guests = [spec(name, size_mib=900, cache_mib=30, swap_mib=2048) for name in "ab"]
    loads: list[Event] = [
        grows("a", 10, rate_mib_s=60, until_mib=1100, hold_s=51.7),
        grows("b", 10, rate_mib_s=60, until_mib=1500, keep=True),
        *(touches_all(name, each_s=1000, until_s=1000) for name in "ab"),
    ]
    return run(guests, [*faults, *loads], host_mib=1024 + 200 + 1800, duration_s=120)


def test_what_one_guest_frees_is_lent_in_the_same_plan_to_one_that_lacks_it() -> None:
    timeline, looks = one_frees_and_another_lacks()

    (loan,) = [(look, plan) for look, plan in looks if lent(plan)]
    assert [one.guest for one in loan[1].actions] == ["a", "b"]
    assert "idle, and others are pressed" in loan[1].actions[0].reason
    assert loan[1].actions[1].memory_kib >= mib(1550)
    assert min(timeline.host_free_kib) >= mib(199)


def test_a_loan_is_called_back_where_the_balloon_does_not_give() -> None:
    stuck = GuestFault(seconds(80), "a", "balloon-stuck", seconds(30))

    timeline, looks = one_frees_and_another_lacks(stuck)

    when_ns, size_kib = next(
        (look.time_ns, look.guests[1].actual_kib) for look, plan in looks if lent(plan)
    )
    back = next(plan for look, plan in looks if look.time_ns > when_ns)
    assert back.actions[0].guest == "b"
    assert "lent on one that sticks" in back.actions[0].reason
    assert back.actions[0].memory_kib == pytest.approx(size_kib, abs=mib(8))
    assert min(timeline.host_free_kib) >= mib(150)
    # Once it moves again, what was asked of it comes, and is given.
    assert timeline.guest("b").actual_kib[-1] > mib(1500)


def test_nothing_is_lent_to_guests_that_touch_it_too_fast() -> None:
    policy, looks = Steady(), []
    for time_s, free in ((0, 100), (2, 130)):
        guest = view("b", 500, 0, swap_in_kib=0, swap_out_kib=mib(free))
        looks.append(policy.decide(snapshot(guest, free_mib=0, time_s=time_s)))
    rich = view("a", 2000, 1500)

    plan = policy.decide(
        snapshot(
            rich, view("b", 500, 0, swap_in_kib=0, swap_out_kib=mib(260)), free_mib=200, time_s=4,
            reserve_mib=200,
        )
    )  # fmt: skip

    assert [one.guest for one in plan.actions] == ["a"]
    assert lent(plan) == []


def test_nobody_borrows_on_a_balloon_that_has_not_given_yet() -> None:
    lacks = view("b", 500, 0, swap_in_kib=0, swap_out_kib=mib(300))
    policy = Steady()
    policy.decide(snapshot(replace(lacks, swap_out_kib=0), reserve_mib=200, free_mib=200))

    plan = policy.decide(
        snapshot(view("a", 2000, 1500), lacks, reserve_mib=200, free_mib=200, time_s=60)
    )

    assert [one.guest for one in plan.actions] == ["a"]


def test_a_guest_that_went_blind_is_kept_ahead_of_what_is_resident() -> None:
    blind = GuestFault(seconds(10), "a", "statistics-stale")
    load = grows("a", 60, until_mib=900, keep=True)

    timeline, _ = run([spec("a"), spec("b")], [blind, touches_all("a", until_s=20), load])

    assert min(timeline.guest("a").unused_kib[30:]) > 0
    assert timeline.guest("a").actual_kib[-1] > mib(1050)


def test_for_a_blind_guest_that_does_not_grow_nothing_is_taken_from_others() -> None:
    blind = view("b", 500, None, report_age_ns=None)
    policy = Steady()

    plans = [
        policy.decide(snapshot(view("a", 600, 130), blind, free_mib=0, time_s=2 * n))
        for n in range(20)
    ]

    assert all(plan.actions == () for plan in plans)


def test_what_lies_in_swap_is_in_doubt_once_its_process_ended_and_taken_where_others_lack() -> None:
    need = GuestNeed()
    looks = ((0, 0, 0), (2, 0, 300), (4, 700, 300))  # second, unused, swapped out
    for time_s, unused_mib, out_mib in looks:
        guest = view("a", 900, unused_mib, swap_in_kib=0, swap_out_kib=mib(out_mib))
        need.look(guest, seconds(time_s), stale_ns=seconds(10), asked_ns=None, faults_s_max=100)

    assert need.doubtful_kib == pytest.approx(mib(300 * 700 / 900), rel=0.01)
    assert need.firm_kib == pytest.approx(mib(200) + mib(300) - need.doubtful_kib, rel=0.01)


def test_a_stuck_balloon_is_asked_for_what_others_lack_so_that_it_comes_at_once() -> None:
    guests = [
        spec("a", size_mib=1536, cache_mib=0),
        spec("c", size_mib=512, cache_mib=0, swap_mib=2048),
    ]
    events: list[Event] = [
        GuestFault(0, "a", "balloon-stuck", seconds(100)),
        touches_all("a", each_s=1000, until_s=1000),
        grows("c", 10, until_mib=1300, keep=True),
    ]

    timeline, _ = run(guests, events, host_mib=1024 + 1536 + 512 + 300, duration_s=130)

    assert timeline.guest("c").actual_kib[95] < mib(700)
    assert timeline.guest("c").actual_kib[104] > mib(1300)
    assert min(timeline.host_free_kib) >= mib(199)


# What always holds.

sizes_mib = st.integers(0, 4096)


@st.composite
def guests_of_any_kind(draw: st.DrawFn, name: str) -> GuestMemory:
    most = draw(st.integers(64, 4096))
    actual = draw(st.integers(64, most))
    reported = draw(st.booleans())
    unused = draw(st.integers(0, actual))
    usable = draw(st.integers(unused, actual))
    optional = st.none() | st.integers(0, 1 << 22)
    return GuestMemory(
        guest=name,
        actual_kib=mib(actual),
        max_kib=mib(most),
        target_kib=draw(st.none() | st.integers(64, most).map(mib)),
        floor_kib=mib(draw(st.integers(0, most))),
        shares=draw(st.integers(0, 5000)),
        fresh=draw(st.booleans()),
        has_balloon=draw(st.sampled_from([True, True, True, False])),
        movable=draw(st.sampled_from([True, True, True, False])),
        rss_kib=draw(st.none() | st.integers(0, actual).map(mib)),
        report_age_ns=draw(st.none() | st.integers(0, 30 * 10**9)),
        unused_kib=mib(unused) if reported else None,
        usable_kib=mib(usable) if draw(st.booleans()) else None,
        available_kib=mib(actual),
        swap_in_kib=draw(optional),
        swap_out_kib=draw(optional),
        major_faults=draw(optional),
    )


@st.composite
def hosts_over_time(draw: st.DrawFn) -> list[MemorySnapshot]:
    looks, time_ns = [], 0
    for _ in range(draw(st.integers(1, 8))):
        names = draw(st.sets(st.sampled_from("abcd"), max_size=4))
        interval_ns = draw(st.sampled_from([1, 2, 5])) * 10**9
        time_ns += interval_ns
        looks.append(
            MemorySnapshot(
                time_ns=time_ns,
                interval_ns=interval_ns,
                host_total_kib=mib(16384),
                host_free_kib=mib(draw(sizes_mib)),
                guests=tuple(draw(guests_of_any_kind(name)) for name in sorted(names)),
                host_reserve_kib=mib(draw(st.integers(0, 500))),
            )
        )
    return looks


@settings(max_examples=50, deadline=None)
@given(hosts_over_time())
def test_on_any_host_memory_in_use_is_kept_floors_hold_and_calm_steps_are_small(
    looks: list[MemorySnapshot],
) -> None:
    policy = Steady()

    for look in looks:
        plan = policy.decide(look)

        seen = {guest.guest: guest for guest in look.guests}
        promised_kib = freed_kib = 0
        assert len({resize.guest for resize in plan.actions}) == len(plan.actions)
        for resize in plan.actions:
            guest = seen[resize.guest]
            by_kib = resize.memory_kib - guest.actual_kib
            assert guest.has_balloon and guest.movable
            assert 0 < resize.memory_kib <= guest.max_kib
            assert resize.reason
            assert by_kib >= 0 or resize.memory_kib >= guest.floor_kib
            if "lacking" not in plan.because:
                assert -by_kib <= mib(112)
                assert -by_kib <= guest.actual_kib // 4
            base_kib = max(guest.actual_kib, guest.asked_kib)
            assert resize.memory_kib - base_kib <= mib(256) + (guest.swap_out_kib or 0)
            promised_kib += max(resize.memory_kib - base_kib, 0)
            if by_kib < 0:
                freed_kib -= by_kib
                assert guest.report_age_ns is not None
                assert guest.report_age_ns <= 10 * 10**9
                assert guest.unused_kib is not None
                assert -by_kib <= max(guest.usable_kib or 0, guest.unused_kib)
        # What is lent is being given by others.
        assert promised_kib <= (look.spare_kib + freed_kib if look.spare_kib >= 0 else 0)


@settings(max_examples=20, deadline=None)
@given(hosts_over_time())
def test_the_same_snapshots_give_the_same_plans(looks: list[MemorySnapshot]) -> None:
    one, other = Steady(), Steady()

    assert [one.decide(look) for look in looks] == [other.decide(look) for look in looks]


guest_shapes = st.tuples(
    st.integers(200, 2000),  # size
    st.integers(0, 1500),  # in use beyond what every guest has
    st.integers(0, 800),  # page cache
)


@settings(max_examples=15, deadline=None)
@given(st.lists(guest_shapes, min_size=1, max_size=4), st.integers(0, 4000))
def test_a_host_on_which_nothing_happens_is_left_alone_within_minutes(
    shapes: list[tuple[int, int, int]], spare_mib: int
) -> None:
    guests = [
        spec(f"g{n}", size_mib=size, used_mib=150 + min(used, max(size - 180, 0)), cache_mib=cache)
        for n, (size, used, cache) in enumerate(shapes)
    ]
    host_mib = 1024 + 200 + spare_mib + sum(size for size, _, _ in shapes)

    timeline, looks = run(guests, host_mib=host_mib, duration_s=180)

    assert all(plan.actions == () for look, plan in looks if look.time_ns > seconds(120))
    assert kills(timeline) == []
    assert min(timeline.host_free_kib) >= mib(200) - KIB_PER_MIB
