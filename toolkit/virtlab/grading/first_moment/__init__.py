"""The first moment at which things went wrong: what the program did there, and its calls.

A criterion says what was not met; this leads into the run: who was moved back and forth and how
often, who sat where, what a guest was told and had. All of it is read from the record, and none of
it is advice: that is what hints are for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from virtlab.grading.first_moment.calls import calls_around
from virtlab.grading.first_moment.pins import tell_moves, tell_places
from virtlab.grading.first_moment.sizes import tell_host, tell_size
from virtlab.grading.first_moment.told import Told
from virtlab.model.timeline import Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult, FirstMoment

__all__ = ["first_moment"]

# From a record and a failed criterion; None where there is nothing to tell.
Teller = Callable[[Timeline, CriterionResult], Told | None]

_TELLERS: Mapping[str, Teller] = MappingProxyType(
    {
        "stable": tell_moves,
        "balanced": tell_places,
        "bound": tell_places,
        "takes-gradually": tell_size,
        "releases-gradually": tell_size,
        "reaches-maximum": tell_size,
        "guest-alive": tell_size,
        "host-alive": tell_host,
    }
)


def first_moment(timeline: Timeline, result: CriterionResult) -> FirstMoment | None:
    """Return where a failed criterion began to fail; None where the record does not tell."""
    tell = _TELLERS.get(result.name)
    if tell is None or result.status != "failed" or result.at_s is None:
        return None
    told = tell(timeline, result)
    if told is None:
        return None
    calls = calls_around(timeline, told.at_ns, told.guests)
    return FirstMoment(round(told.at_ns / NS_PER_S, 3), told.story, calls)
