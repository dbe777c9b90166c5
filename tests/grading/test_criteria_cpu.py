from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from marked_runs import ANYWHERE, DEALT, IN_TURN
from timeline_builder import CpuLab

from virtlab.grading.criteria import JUDGES, judge, judge_all
from virtlab.grading.hints import HINTS
from virtlab.model.criteria import CRITERIA, limits_of
from virtlab.model.timeline import CallRecord, ProgramOutcome
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult, FailedSpan, FirstMoment


def _judged(name: str, lab: CpuLab, **limits: float) -> CriterionResult:
    return judge(lab.timeline(), name, limits)


def test_every_declared_criterion_has_a_judge_and_every_hint_a_criterion() -> None:
    assert list(JUDGES) == list(CRITERIA)
    assert {key.split(":")[0] for key in HINTS} <= set(CRITERIA)


def test_two_guests_on_each_pcpu_and_no_change_after_meets_all() -> None:
    for name in ("bound", "balanced", "stable"):
        assert _judged(name, CpuLab(pins=DEALT)).status == "passed"


def test_a_host_that_is_left_alone_all_on_one_pcpu_is_not_balanced() -> None:
    result = _judged("balanced", CpuLab())

    assert result == CriterionResult(
        name="balanced",
        status="failed",
        measured=43.301,
        limit=5,
        unit="points",
        at_s=10,
        where="pCPU 0",
        reason="standard deviation 43.3 points in 10-12 s (limit 5); pCPUs in %: 100 0 0 0; "
        "19 of 19 windows miss",
        hint=HINTS["balanced:never-pinned"],
        spans=(FailedSpan(10, 30, "pCPU 0"),),
        limits=limits_of("balanced"),
        moment=FirstMoment(10, "it had changed no affinity until then, nor did it later", ()),
    )


def test_pins_that_libvirt_refused_get_their_own_hint() -> None:
    call = CallRecord(NS_PER_S, "virDomainPinVcpu", "aos_vm1", "aos_vm1 vcpu=0 map=0x80", "invalid")
    timeline = replace(CpuLab().timeline(), calls=(call,))

    assert judge(timeline, "balanced").hint == HINTS["balanced:pins-refused"]


# With 30 points on one pCPU and 20 on three, the deviation is 10 * sqrt(3) / 4 = 4.33.
@pytest.mark.parametrize(
    ("extra", "status", "borderline"),
    [(9, "passed", False), (11.5, "passed", True), (11.6, "failed", False)],
)
def test_the_limit_is_five_points_and_a_tenth_below_it_is_borderline(
    extra: float, status: str, borderline: bool
) -> None:
    lab = CpuLab(loads=(20 + extra, 20, 20, 20), start=IN_TURN[:4])

    result = _judged("balanced", lab)

    assert (result.status, result.borderline) == (status, borderline)


def test_a_figure_over_its_limit_never_reads_like_the_limit() -> None:
    lab = CpuLab(loads=(20 + 11.548, 20, 20, 20), start=IN_TURN[:4])

    assert "standard deviation 5.0004" in _judged("balanced", lab).reason


@pytest.mark.parametrize(("at_s", "status"), [(9.999, "passed"), (11.0, "failed")])
def test_the_last_pin_has_to_come_before_the_tenth_interval(at_s: float, status: str) -> None:
    lab = CpuLab(pins=[(at_s, guest, mask) for _, guest, mask in DEALT])

    assert _judged("balanced", lab).status == status
    if status == "failed":
        assert _judged("balanced", lab).hint == HINTS["balanced:late"]


def test_the_deadline_is_in_intervals() -> None:
    lab = CpuLab(
        pins=[(18.0, guest, mask) for _, guest, mask in DEALT], interval_s=2, duration_s=60
    )

    assert _judged("balanced", lab).status == "passed"


def test_windows_lie_whole_inside_a_phase() -> None:
    def load(guest: int, second: int) -> float:
        return 20 if second < 14 or guest not in (0, 4) else 40

    late = [(17.5, 0, (1,)), (17.5, 1, (0,))]
    lab = CpuLab(start=IN_TURN, load_at=load, phases_s=(0, 14), pins=late)

    # 80 + 40 + 40 + 40 before the swap, 60 + 60 + 40 + 40 after it.
    assert _judged("balanced", lab, sd_points_max=12).status == "passed"
    assert _judged("balanced", lab, sd_points_max=9).at_s == 24


@pytest.mark.parametrize("name", ["bound", "balanced", "stable"])
def test_a_phase_in_which_nothing_could_be_judged_is_not_passed(name: str) -> None:
    # Masks that bind nothing, so that the second phase never settles.
    lab = CpuLab(start=IN_TURN, phases_s=(0, 25), pins=[(25.5, 0, (0, 1))])

    result = _judged(name, lab)

    assert (result.status, result.at_s, result.measured) == ("failed", 25, None)
    assert result.reason == ("nothing could be judged in the phase 25-30 s: the phase is too short")


def test_a_record_that_ends_early_is_not_passed() -> None:
    result = _judged("balanced", CpuLab(start=IN_TURN, recorded_s=13))

    assert result.status == "failed"
    assert result.reason == ("nothing could be judged in the phase 0-30 s: the record ends at 13 s")


def test_one_window_in_ten_may_miss_where_a_real_host_is_judged() -> None:
    def load(guest: int, second: int) -> float:
        return 60 if guest == 0 and second == 20 else 20

    lab = CpuLab(start=IN_TURN, load_at=load)

    assert _judged("balanced", lab).status == "failed"
    assert _judged("balanced", lab).reason.endswith("2 of 19 windows miss")
    assert _judged("balanced", lab, windows_missed_share_max=0.1).status == "failed"
    assert _judged("balanced", lab, windows_missed_share_max=0.11).status == "passed"


def test_the_relative_rule_leaves_an_idle_host_alone() -> None:
    noise = CpuLab(loads=(2, 0, 1, 0), start=IN_TURN[:4], loaded=False)
    busy = CpuLab(loads=(44, 40, 40, 40), start=IN_TURN[:4])

    assert _judged("balanced", noise, relative_sd_max=0.05).status == "passed"
    assert _judged("balanced", busy, relative_sd_max=0.05).status == "passed"
    result = _judged("balanced", busy, relative_sd_max=0.04)
    assert (result.status, result.unit, result.measured) == ("failed", "of the mean", 0.042)
    assert "standard deviation 4.2 % of the mean in 10-12 s (limit 4 %)" in result.reason


# --- what masks permit


def test_a_balance_by_luck_is_not_bound() -> None:
    # Each sits alone on its pCPU, but may go anywhere.
    lucky = CpuLab(loads=(20,) * 4, start=((0, 1), (1, 0), (2, 3), (3, 2)))

    result = _judged("balanced", lucky)

    assert result.status == "failed"
    assert result.reason == (
        "aos_vm1 vCPU 0 (and 3 more) may still run on pCPUs 0-1 at 10 s; the masks permit a "
        "placement that spreads the pCPUs by 13.6 points (limit 5)"
    )
    assert result.where == "aos_vm1 vCPU 0"
    assert _judged("balanced", lucky, bound_needed=0).status == "passed"
    assert _judged("bound", lucky).measured == 4


@pytest.mark.parametrize(
    ("loads", "start", "pcpus", "status"),
    [
        ((3, 3, 3), ((0, 1, 2, 3),) * 3, 4, "passed"),  # so light that any placement is even
        ((40,), ((0,),), 1, "passed"),
        ((40, 40), ((0, 1), (0, 1)), 2, "failed"),  # both may meet on one pCPU
        ((20,) * 16, (tuple(range(8)),) * 16, 8, "failed"),
        ((1,) * 16, (tuple(range(8)),) * 16, 8, "failed"),  # too many placements: the safe side
        ((8, 8, 8, 8), ((0,), (1,), (2,), (3, 2)), 4, "failed"),
        ((5, 5, 5, 5), ((0,), (1,), (2,), (3, 2)), 4, "passed"),
    ],
)
def test_a_wide_mask_is_as_good_where_every_placement_is_balanced(
    loads: Sequence[float], start: Sequence[tuple[int, ...]], pcpus: int, status: str
) -> None:
    assert _judged("bound", CpuLab(pcpus=pcpus, loads=loads, start=start)).status == status


def test_idle_vcpus_need_no_binding() -> None:
    assert _judged("bound", CpuLab(loads=(1,) * 8, start=ANYWHERE, loaded=False)).status == (
        "passed"
    )


# --- stable


def test_a_change_after_the_host_is_settled_counts_even_before_the_deadline() -> None:
    swap = CpuLab(pins=[*DEALT, (8.0, 0, (1,)), (8.0, 1, (0,)), (9.0, 0, (0,)), (9.0, 1, (1,))])

    result = _judged("stable", swap)

    assert (result.status, result.measured, result.at_s) == ("failed", 4, 8)
    assert [(span.start_s, span.end_s) for span in result.spans] == [(8, 8), (9, 9)]
    assert result.reason == (
        "4 changes of affinity after the host was settled at 6 s (limit 0); the first moves "
        "aos_vm1 vCPU 0 to pCPU 1 at 8 s"
    )


def test_a_vcpu_that_goes_to_and_fro_gets_its_own_hint() -> None:
    pins = [(15.0 + n, 0, (1 - n % 2,)) for n in range(4)]

    assert (
        _judged("stable", CpuLab(start=IN_TURN, pins=pins)).hint == HINTS["stable:back-and-forth"]
    )


def test_setting_the_same_mask_again_is_free() -> None:
    pins = [*DEALT, *((15.0 + n, n, (n % 4,)) for n in range(8))]

    assert _judged("stable", CpuLab(pins=pins)).status == "passed"


def test_what_the_scenario_pins_is_no_change_by_the_program() -> None:
    lab = CpuLab(start=IN_TURN, pins=[(15.0, 0, (1,))], by="scenario")

    assert _judged("stable", lab).status == "passed"
    assert _judged("balanced", lab).status == "failed"


@pytest.mark.parametrize(
    ("limits", "status"), [({}, "passed"), ({"settle_intervals": 0}, "failed")]
)
def test_where_a_host_starts_balanced_time_zero_counts(
    limits: Mapping[str, float], status: str
) -> None:
    # Everything is pinned where it sits already, but the masks were wide.
    lab = CpuLab(start=ANYWHERE, pins=[(0.0, guest, (guest % 4,)) for guest in range(8)])

    assert _judged("stable", lab, **limits).status == status


def test_each_phase_settles_anew() -> None:
    def load(guest: int, second: int) -> float:
        return 20 if second < 14 or guest not in (0, 4) else 40

    swap = [(15.0, 0, (1,)), (15.0, 1, (0,))]
    lab = CpuLab(start=IN_TURN, load_at=load, phases_s=(0, 14), pins=swap)

    assert _judged("stable", lab).status == "passed"
    late = replace(lab, pins=[(24.0, guest, mask) for _, guest, mask in swap])
    assert _judged("stable", late).reason.startswith(
        "2 changes of affinity after the host was settled at 24 s"
    )


# --- what could not be judged at all


@pytest.mark.parametrize(
    "outcome",
    [
        ProgramOutcome("lab_fault", "lab_error", "the sandbox did not start", 0),
        ProgramOutcome("program_fault", "not_built", "make failed", 0),
    ],
)
def test_what_did_not_run_is_not_run_and_never_passed(outcome: ProgramOutcome) -> None:
    result = _judged("balanced", CpuLab(start=IN_TURN, outcome=outcome))

    assert result.status == "not_run"
    assert result.reason == f"not run: {outcome.reason}"


def test_limits_and_hints_come_in_layers() -> None:
    asked = [{"name": "balanced", "limits": {"sd_points_max": 50}, "hint": "look again"}]
    timeline = CpuLab(criteria=asked).timeline()

    (by_scenario,) = judge_all(timeline)
    (by_rubric,) = judge_all(timeline, {"balanced": {"sd_points_max": 5, "bound_needed": 0}})

    assert by_scenario.status == "passed"
    assert (by_rubric.status, by_rubric.hint) == ("failed", "look again")
