"""The charts of one run, by what its program is for."""

from __future__ import annotations

from collections.abc import Iterator

from virtlab.model.timeline import Timeline
from virtlab.model.verdict import RunVerdict
from virtlab.reports.html.cpu_charts import cpu_charts
from virtlab.reports.html.memory_charts import memory_charts
from virtlab.reports.html.parts import Chart

__all__ = ["Chart", "charts_of"]


def charts_of(timeline: Timeline, run: RunVerdict) -> Iterator[Chart]:
    """Return the charts of a run; none where nothing was recorded."""
    if len(timeline.times_ns) < 2:
        return iter(())
    draw = memory_charts if timeline.program_kind == "memory_coordinator" else cpu_charts
    return draw(timeline, run)
