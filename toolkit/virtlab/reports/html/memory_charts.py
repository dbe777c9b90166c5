"""Charts of a coordinator's run: each guest's balloon, and what the host has left."""

from __future__ import annotations

from collections.abc import Iterator

from virtlab.model.timeline import GuestTrack, Timeline
from virtlab.model.units import KIB_PER_MIB
from virtlab.model.verdict import RunVerdict
from virtlab.reports.html.parts import (
    Chart,
    Spec,
    criterion,
    folded,
    ghost_layer,
    limit_of,
    line_layer,
    rule,
    shading,
    spans_of,
    specification,
    time,
    tips,
)
from virtlab.reports.html.series import guest_memory, host_memory, least_size, targets

__all__ = ["memory_charts"]

_GUESTS_MAX = 16
_COLOURS = {
    "balloon": "#0072B2",
    "unused": "#009E73",
    "workload": "#E69F00",
    "free": "#009E73",
    "swap in use": "#D55E00",
}


def memory_charts(timeline: Timeline, run: RunVerdict) -> Iterator[Chart]:
    """Yield the charts of a coordinator's run."""
    for guest in _shown(timeline, run):
        yield _guest(timeline, run, guest)
    yield _host(timeline, run)


def _guest(timeline: Timeline, run: RunVerdict, guest: GuestTrack) -> Chart:
    lines = guest_memory(timeline, guest)
    names = [line.name for line in lines.lines]
    floor = limit_of(criterion(run, "takes-gradually"), "unused_mib_min")
    marks: Spec = {
        "data": {"name": "targets"},
        "mark": {"type": "tick", "thickness": 2, "size": 7, "color": "var(--ink)", "clip": True},
        "encoding": {
            "x": time(timeline),
            "y": {"field": "mib", "type": "quantitative"},
            "tooltip": tips(("what", ""), ("t", "s"), ("mib", "MiB")),
        },
    }
    asked = targets(timeline, guest)
    limits = [rule(guest.max_memory_kib / KIB_PER_MIB, "maximum")]
    limits += [] if floor is None else [rule(floor, "least unused")]
    ghosts, least, told = [], {}, ""
    if floor is not None:
        ghosts = [ghost_layer(timeline, "least", "MiB")]
        least = {"least": folded(least_size(timeline, guest, round(floor * KIB_PER_MIB)))}
        told = (
            f" and the {floor:g} MiB that are to stay unused. Dashed: the least size that leaves "
            "it so much, up to its maximum"
        )
    layer = line_layer(timeline, names, "MiB", colours=_COLOURS)
    return Chart(
        title=guest.name,
        note="The balloon's size, what is unused in the guest, and what its workload holds. A tick "
        f"is a size that was asked for. Dotted: the guest's maximum{told}. Shaded: a criterion was "
        "not met.",
        spec=specification(
            [shading(), layer, *ghosts, *([marks] if asked else []), *limits],
            height=140,
            choices=names,
        ),
        data={
            "lines": folded(lines),
            **least,
            "targets": {"rows": asked},
            "spans": spans_of(run.criteria, guest.name),
        },
        lines=lines,
        choices=tuple(names),
    )


def _host(timeline: Timeline, run: RunVerdict) -> Chart:
    lines = host_memory(timeline)
    names = [line.name for line in lines.lines]
    least = limit_of(criterion(run, "host-alive"), "free_mib_min")
    limits = [] if least is None else [rule(least, "least free")]
    told = "" if least is None else f" Dotted: the {least:g} MiB that are to stay free."
    left = len(timeline.guests) - _GUESTS_MAX
    left_out = f" {left} guests that changed less are not drawn." if left > 0 else ""
    layer = line_layer(timeline, names, "MiB", colours=_COLOURS)
    return Chart(
        title="Host",
        note=f"What the host has free, and how much it swapped out.{told}{left_out}",
        spec=specification([shading(), layer, *limits], height=110, choices=names),
        data={"lines": folded(lines), "spans": spans_of(run.criteria, "host")},
        lines=lines,
        choices=tuple(names),
    )


def _shown(timeline: Timeline, run: RunVerdict) -> list[GuestTrack]:
    """Return the guests to draw: all, or those at fault and those that changed the most."""
    if len(timeline.guests) <= _GUESTS_MAX:
        return list(timeline.guests)
    blamed = {span.where for result in run.criteria for span in result.spans}
    by_interest = sorted(
        timeline.guests,
        key=lambda guest: (guest.name not in blamed, min(guest.actual_kib) - max(guest.actual_kib)),
    )
    chosen = {guest.name for guest in by_interest[:_GUESTS_MAX]}
    return [guest for guest in timeline.guests if guest.name in chosen]
