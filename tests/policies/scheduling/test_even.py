"""Our scheduler: what it sees, what it does about it, and that it keeps still."""

import re
from collections import Counter
from dataclasses import replace
from math import floor
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hosts import host, places, vcpu
from virtlab.grading.marks import mark_run
from virtlab.grading.rubric import find_rubric
from virtlab.league.cpu_run import run_scheduler
from virtlab.model.plan import CpuPlan
from virtlab.model.scenario import TuneCpu
from virtlab.model.snapshot import CpuSnapshot, VcpuView
from virtlab.model.topology import Cell, Topology
from virtlab.policies.scheduling.even import Even
from virtlab.scenario import find_scenario

EVERYWHERE = range(4)


def ticks(name: str, seed: int = 1) -> list[CpuPlan]:
    """Run it on a scenario; return its plans."""
    plans: list[CpuPlan] = []
    run_scheduler(
        find_scenario(name), Even(), seed=seed, on_tick=lambda _, plan: plans.append(plan)
    )
    return plans


# --- the course's tests, and ours


@pytest.mark.parametrize("rubric", ["fall-2026", "rubric-2023", "generality"])
def test_it_gets_full_marks(rubric: str) -> None:
    for test in find_rubric(rubric).tests:
        if test.scenario.program == "vcpu_scheduler":
            for seed in (0, 1) if test.scenario.host.pcpus < 64 else (0,):
                timeline = run_scheduler(test.scenario, Even(), seed=seed)
                marks = mark_run(test, timeline, program="even", replay="")
                assert (test.scenario.id, marks.points) == (test.scenario.id, test.points_max)


@pytest.mark.parametrize(
    ("scenario", "moves"),
    [
        ("cpu-1-all-on-one", 6),
        ("cpu-2-half-and-half", 4),
        ("cpu-3-balanced", 0),
        ("cpu-6-idle", 0),
        ("general-1-sixteen-on-eight", 14),
        ("general-2-three-on-four", 2),
        ("general-5-one-guest", 0),
    ],
)
def test_one_plan_of_the_fewest_moves_does_it(scenario: str, moves: int) -> None:
    acting = [len(plan.actions) for plan in ticks(scenario)]

    assert sum(acting) == moves
    assert acting[1] == moves  # at the first look that has figures


def test_a_change_of_load_is_answered_at_the_first_look_after_it() -> None:
    acting = [tick for tick, plan in enumerate(ticks("cpu-7-load-changes", seed=3)) if plan.actions]

    assert acting[0] == 1
    assert acting[1] == 15
    assert set(acting[2:]) <= {16, 17, 18}


def test_guests_end_up_near_their_memory() -> None:
    timeline = run_scheduler(find_scenario("topology-1-near-memory"), Even())

    cells = dict.fromkeys([guest.name for guest in timeline.guests], 0)  # all begin on pCPU 0
    cells |= {pin.guest: pin.pcpus[0] // 4 for pin in timeline.pins}
    assert {name for name, cell in cells.items() if cell == 1} == {
        *("aos_vm2", "aos_vm4"),
        *("aos_vm5", "aos_vm7"),
    }


def test_what_a_plan_expects_is_what_comes() -> None:
    seen: list[tuple[CpuSnapshot, CpuPlan]] = []
    scenario = find_scenario("general-10-eight-sizes")

    run_scheduler(scenario, Even(), on_tick=lambda host, plan: seen.append((host, plan)))

    promised = seen[1][1].expected
    for _, later in seen[3:]:
        assert later.expected["busiest_share"] == pytest.approx(promised["busiest_share"], abs=0.05)
        assert later.expected["spread_points"] < promised["spread_points"] + 3


# --- noise and swings


def test_ten_minutes_of_noise_on_an_even_host_move_nothing() -> None:
    scenario = replace(find_scenario("cpu-3-balanced"), duration_s=600)

    assert run_scheduler(scenario, Even(), seed=5).pins == ()


def _share(start: float, period: float, phase: float, low: float, high: float) -> float:
    """Return the mean over one interval of a load that is high for half of each period."""

    def high_until(moment: float) -> float:
        turns = moment / period + phase
        return period * (floor(turns) * 0.5 + min(turns - floor(turns), 0.5))

    return low + (high - low) * (high_until(start + 1) - high_until(start))


WAVE = st.tuples(
    st.one_of(st.floats(0.3, 3.0), st.floats(3.0, 30.0), st.floats(30.0, 200.0)),
    st.floats(0.0, 1.0),
    st.floats(0.05, 0.3),
    st.floats(0.3, 0.9),
)


def _moves(waves: list[tuple[float, float, float, float]], until: int) -> list[tuple[int, str]]:
    """Run it over square waves on four pCPUs; return who is moved when."""
    policy, random, moves = Even(), Random(1), []
    seats = [number % 4 for number in range(len(waves))]
    for at in range(1, until + 1):
        vcpus = []
        for number, wave in enumerate(waves):
            wanted = _share(at - 1, *wave) + random.gauss(0, 0.01)
            ran = floor(100 * min(max(wanted, 0.0), 1.0) + random.random()) / 100
            vcpus.append(vcpu(f"vm{number:02}", seats[number], ran))
        for key, pcpus in places(policy.decide(host(vcpus, at_s=at))).items():
            seats[int(key[2:4])] = min(pcpus)
            moves.append((at, key))
    return moves


@given(waves=st.lists(WAVE, min_size=2, max_size=10))
@settings(max_examples=4, deadline=None)
@example(waves=[(192.0, n / 7, 0.1, 0.6) for n in range(7)])
@example(waves=[(1.01, 0.0, 0.1, 0.9)] * 3 + [(2.02, 0.5, 0.1, 0.9)] * 4)
def test_whatever_swings_nobody_is_moved_at_more_than_its_first_changes(
    waves: list[tuple[float, float, float, float]],
) -> None:
    moves = _moves(waves, 400)

    # A swing is known after a dozen changes at most, and each change moves some twice.
    assert max(Counter(key for _, key in moves).values(), default=0) <= 24


@given(period=st.floats(0.3, 24.0), phases=st.lists(st.floats(0, 1), min_size=2, max_size=9))
@settings(max_examples=8, deadline=None)
@example(period=2.0, phases=[0.0, 0.5] * 4)
def test_a_period_of_some_ticks_is_learnt_and_then_left_alone(
    period: float, phases: list[float]
) -> None:
    moves = _moves([(period, phase, 0.1, 0.5) for phase in phases], 400)

    assert [at for at, _ in moves if at > 200] == []


# --- who is moved, and where to


def test_the_administrators_affinity_is_kept() -> None:
    only = frozenset({0, 1})
    vcpus = [vcpu(f"vm{n}", 0, 0.2, 0.2, allowed=only) for n in range(4)]

    plan = Even().decide(host([*vcpus, *[vcpu(f"x{n}", 0, 0.2, 0.2) for n in range(4)]]))

    for key, pcpus in places(plan).items():
        assert key.startswith("x") or pcpus <= only
    assert {min(p) for k, p in places(plan).items() if k.startswith("x")} >= {2, 3}


def test_who_is_where_the_administrator_does_not_let_it_run_is_brought_back() -> None:
    plan = Even().decide(host([vcpu("vm", 3, 0.01, allowed=frozenset({0, 1}))]))

    assert places(plan)["vm:0"] <= {0, 1}


def test_who_may_not_be_moved_stays_and_counts() -> None:
    vcpus = [vcpu(f"stay{n}", 0, 0.45, 0.05, movable=False) for n in range(2)]

    plan = Even().decide(host([*vcpus, vcpu("go", 0, 0.2, 0.5)], 2))

    assert places(plan) == {"go:0": {1}}


def test_idle_vcpus_are_left_to_linux() -> None:
    idle = [vcpu(f"vm{n}", EVERYWHERE, 0.03, last_on=0) for n in range(20)]

    assert Even().decide(host(idle)).actions == ()


def test_a_loaded_vcpu_is_bound_to_where_it_ran_last_if_that_is_as_good() -> None:
    vcpus = [vcpu(f"vm{n}", EVERYWHERE, 0.5, last_on=3 - n) for n in range(4)]

    assert places(Even().decide(host(vcpus))) == {f"vm{n}:0": {3 - n} for n in range(4)}


def test_a_cap_is_counted_and_not_what_is_wanted_beyond_it() -> None:
    # Two busy ones that may run 30 % each are no reason to take the third one away.
    capped = [vcpu(f"vm{n}", 0, 0.3, 0.7, cap_share=0.3) for n in range(2)]

    plan = Even().decide(host([*capped, vcpu("x", 1, 0.6)], 2))

    assert plan.actions == ()


def test_a_heavy_weight_gets_a_pcpu_for_itself_where_there_is_not_enough_for_all() -> None:
    heavy = vcpu("heavy", 0, 0.75, 0.25, weight=3072)
    light = [vcpu("a", 0, 0.25, 0.75), vcpu("b", 1, 0.5, 0.5), vcpu("c", 1, 0.5, 0.5)]

    plan = Even().decide(host([heavy, *light], 2))

    assert places(plan) == {"a:0": {1}}


def test_a_slow_pcpu_is_given_half_as_much() -> None:
    slow = Topology((Cell((0, 1), 1, (10,)),), ((0,), (1,)), (1024, 512))

    plan = Even().decide(host([vcpu(f"vm{n}", 0, 0.2, 0.3) for n in range(6)], slow))

    assert len(plan.actions) == 2


def test_what_the_host_itself_uses_of_a_pcpu_is_not_there_for_guests() -> None:
    vcpus = [vcpu(f"vm{n}", n % 2, 0.3) for n in range(4)]

    plan = Even().decide(host(vcpus, 2, host_share={0: 0.6}))

    assert list(places(plan).values()) == [{1}]


def test_a_new_guest_of_an_old_name_is_not_held_for_what_the_old_one_did() -> None:
    policy = Even()
    crowd = [vcpu(f"vm{n}", 0, 0.2, 0.5) for n in range(4)]
    first = places(policy.decide(host(crowd, 2)))
    gone = next(iter(first))[:3]
    policy.decide(host([vcpu(gone, 0, None, None)], 2))

    again = policy.decide(host([vcpu(n, 0, 0.2, 0.5) for n in (gone, "x", "y", "z")], 2))

    assert len(again.actions) == 2


def test_who_has_just_come_is_taken_for_what_others_want_and_spread_at_once() -> None:
    policy = Even()
    policy.decide(host([vcpu(f"vm{n}", n, 0.2) for n in range(4)]))
    new = [vcpu(f"x{n}", 0, None, None) for n in range(4)]

    plan = policy.decide(host([*[vcpu(f"vm{n}", n, 0.2) for n in range(4)], *new]))

    assert sorted(min(pcpus) for pcpus in places(plan).values()) == [1, 2, 3]
    assert any(
        pin.reason.startswith("has just come, and is taken for 0.20; ") for pin in plan.actions
    )


def test_who_has_just_come_and_is_bound_to_nothing_is_left_to_linux() -> None:
    policy = Even()
    known = [vcpu(f"vm{n}", 0, 0.2) for n in range(2)]
    policy.decide(host(known, 1))

    assert policy.decide(host([*known, vcpu("x", {0}, None, None)], 1)).actions == ()
    assert "x:0" not in places(policy.decide(host([*known, vcpu("x", range(4), None, None)])))


# --- words


def test_a_plan_gives_its_reasons() -> None:
    plan = ticks("cpu-1-all-on-one")[1]

    assert re.fullmatch(
        r"busiest 1\.\d\d to 0\.4\d, spread \d\d\.\d points to \d\.\d points; "
        "bound vCPUs moved: 6, and no fewer than 6 would do",
        plan.because,
    )
    assert plan.rejected[0].what == "leave all as it is"
    for pin in plan.actions:
        assert re.match(r"wants 0\.(19|2\d) ± 0\.02; ", pin.reason)
        assert "; pCPU 0 goes from 1." in pin.reason


def test_it_says_that_nothing_better_was_to_be_had() -> None:
    three_on_four = [vcpu(f"vm{n}", n, 0.5) for n in range(3)]

    because = Even().decide(host(three_on_four)).because

    assert because == (
        "nothing better was to be had: the busiest pCPU is at 0.50, and wherever those go that may "
        "be moved, it is not below 0.50"
    )


def test_it_says_how_much_of_the_spread_is_noise() -> None:
    even = [vcpu(f"vm{n}", n % 4, 0.2 + n / 1000) for n in range(8)]

    assert "of which noise is 2.9 points" in Even().decide(host(even)).because


# --- what must never happen


NAMES = st.integers(0, 7).map(lambda n: f"vm{n}")
SHARES = st.one_of(st.none(), st.floats(0.0, 1.0))


@st.composite
def any_vcpu(draw: st.DrawFn) -> VcpuView:
    ran = draw(SHARES)
    return vcpu(
        draw(NAMES),
        draw(st.frozensets(st.integers(0, 5), min_size=1)),
        ran,
        None if ran is None else draw(st.floats(0.0, 1.0 - ran)),
        last_on=draw(st.one_of(st.none(), st.integers(0, 5))),
        allowed=draw(st.one_of(st.none(), st.frozensets(st.integers(0, 7)))),
        weight=draw(st.sampled_from([1024, 2, 8192])),
        cap_share=draw(st.one_of(st.none(), st.floats(0.1, 2.0))),
        movable=draw(st.booleans()),
        memory_cells=draw(st.sampled_from([None, frozenset({0}), frozenset({0, 1})])),
    )


@given(
    snapshots=st.lists(st.lists(any_vcpu(), max_size=8, unique_by=lambda v: v.key), max_size=4),
    cells=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_host_gets_a_plan_that_can_be_carried_out(
    snapshots: list[list[VcpuView]], cells: bool
) -> None:
    two = Topology(
        (Cell((0, 1), 1, (10, 20)), Cell((2, 3, 4, 5), 1, (20, 10))),
        ((0, 1), (2, 3), (4,), (5,)),
        (1024, 1024, 512, 512, 1024, 1024),
    )
    one, other = Even(), Even()
    for at, vcpus in enumerate(snapshots, start=1):
        seen = host(vcpus, two if cells else 6, at_s=at)

        plan = one.decide(seen)

        assert plan == other.decide(seen)
        by_key = {v.key: v for v in seen.vcpus}
        assert len({pin.vcpu for pin in plan.actions}) == len(plan.actions)
        for pin in plan.actions:
            assert by_key[pin.vcpu].movable
            assert len(pin.pcpus) == 1
            assert pin.pcpus <= frozenset(range(6))
            allowed = by_key[pin.vcpu].allowed
            assert allowed is None or not allowed & frozenset(range(6)) or pin.pcpus <= allowed


def test_masks_of_pcpus_that_are_not_there_are_no_trouble() -> None:
    gone = vcpu("vm", 7, 0.5, allowed=frozenset({7}))

    assert places(Even().decide(host([gone])))["vm:0"] <= set(EVERYWHERE)


def test_no_vcpu_and_no_pcpu_are_no_trouble() -> None:
    assert Even().decide(host([])).actions == ()
    assert Even().decide(host([vcpu("vm", 0, 0.5)], Topology((), (), ()))).actions == ()
    assert Even().decide(host([vcpu("vm", 0, 0.9)], 1)).actions == ()


def test_a_quota_that_comes_while_it_runs_moves_nobody() -> None:
    scenario = find_scenario("cpu-3-balanced")
    quota = TuneCpu(10_000_000_000, "aos_vm1", (("vcpu_quota", 15_000),))

    timeline = run_scheduler(replace(scenario, events=(*scenario.events, quota)), Even())

    assert sum(pin.time_ns > 12_000_000_000 for pin in timeline.pins) == 0
