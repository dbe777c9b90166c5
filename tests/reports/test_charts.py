"""What charts draw beside what happened: what could be had."""

from __future__ import annotations

from marked_runs import good_memory, marked
from timeline_builder import CpuLab

from virtlab.model.units import mib
from virtlab.reports.html.charts import charts_of
from virtlab.reports.html.series import least_size


def test_a_scheduler_is_held_against_what_each_pcpu_would_have() -> None:
    timeline = CpuLab().timeline()  # eight times 20 points on one of four pCPUs, which has but 100
    charts = list(charts_of(timeline, marked("cpu-1-all-on-one", timeline)))

    assert set(charts[0].data["even"]["lines"]["even"]) == {25.0}


def test_a_coordinator_is_held_against_the_least_size_that_leaves_enough_unused() -> None:
    timeline = good_memory().timeline()
    first = timeline.guests[0]
    (line,) = least_size(timeline, first, mib(100)).lines
    in_use = [first.actual_kib[at] - first.unused_kib[at] for at in range(len(line.values))]

    assert list(line.values) == [
        round(min(used + mib(100), first.max_memory_kib) / 1024, 1) for used in in_use
    ]
    assert max(line.values) == first.max_memory_kib / 1024  # its consumer wanted more


def test_a_guests_chart_draws_it() -> None:
    timeline = good_memory().timeline()
    charts = list(charts_of(timeline, marked("memory-1-one-consumes", timeline)))
    drawn = [layer["data"].get("name") for layer in charts[0].spec["layer"]]

    assert "least" in charts[0].data
    assert "least" in drawn
