"""Two results beside each other."""

from __future__ import annotations

from dataclasses import replace

from marked_runs import DEALT, as_test, find_test, marked, submission
from timeline_builder import CpuLab

from virtlab.model.timeline import CallRecord, Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import Verdict
from virtlab.reports.difference import Comparison, compare, comparison_text

TEST = "cpu-1-all-on-one"


def graded(lab: CpuLab, *calls: CallRecord) -> tuple[Verdict, dict[str, Timeline]]:
    timeline = as_test(find_test(TEST), replace(lab.timeline(), calls=calls))
    run = marked(TEST, timeline)
    return replace(submission(), runs=(run,), points=run.points), {TEST: timeline}


def compared(
    one: tuple[Verdict, dict[str, Timeline]], other: tuple[Verdict, dict[str, Timeline]]
) -> Comparison:
    return compare(one[0], other[0], one[1], other[1])


def test_equal_results_differ_in_nothing() -> None:
    found = compared(graded(CpuLab(pins=DEALT)), graded(CpuLab(pins=DEALT)))

    assert (found.changes, found.partings, found.same) == ((), (), (TEST,))


def test_lost_points_are_told_with_the_first_act_that_differs() -> None:
    later = [*DEALT, (15.0, 0, (1,))]

    found = compared(graded(CpuLab(pins=DEALT)), graded(CpuLab(pins=later)))

    changes = {change.name: change for change in found.changes}
    assert changes[f"{TEST}: stable"].points == -0.5
    assert (changes[f"{TEST}: stable"].before, changes[f"{TEST}: stable"].after) == (
        "0.5 of 0.5",
        "0 of 0.5",
    )
    (parting,) = found.partings
    assert (parting.at_s, parting.before) == (15.0, "nothing more")
    assert parting.after == "15.000 s: aos_vm1 vCPU 0 to pCPU 1"


def test_runs_that_act_alike_part_at_the_first_call_that_differs() -> None:
    first = CallRecord(NS_PER_S, "virNodeGetInfo", None, "", None)
    second = replace(first, time_ns=2 * NS_PER_S, error="refused")

    found = compared(graded(CpuLab(pins=DEALT), first), graded(CpuLab(pins=DEALT), first, second))

    (parting,) = found.partings
    assert (parting.at_s, parting.after) == (2.0, "2.000 s: virNodeGetInfo: refused")


def test_a_figure_that_moved_is_told_though_no_point_did() -> None:
    found = compared(graded(CpuLab(pins=DEALT)), graded(CpuLab(loads=(28, *(20,) * 7), pins=DEALT)))

    assert [(change.name, change.points) for change in found.changes] == [
        (f"{TEST}: balanced", 0.0)
    ]


def test_what_a_program_wrote_stays_one_line() -> None:
    call = CallRecord(NS_PER_S, "virDomainPinVcpu", "x", "evil\n\x1b[2J", None)

    text = list(comparison_text(compared(graded(CpuLab()), graded(CpuLab(), call))))

    assert all("\x1b" not in line and "\n" not in line for line in text)
