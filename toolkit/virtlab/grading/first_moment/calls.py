"""The calls around a moment: what the program looked at last, and what it did then."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

from virtlab.model.timeline import CallRecord, Timeline

__all__ = ["calls_around"]

_SHOWN: Final = 3  # calls from the moment on
# What changes a guest or its place, by the name of libvirt's public function.
_ACTING: Final = re.compile(
    r"virDomain(Pin|SetMemory(?!Stats)|SetMaxMemory|SetVcpus|Suspend|Resume|Destroy|Shutdown|Create)"
)


def calls_around(timeline: Timeline, at_ns: int, guests: Collection[str]) -> tuple[str, ...]:
    """Return calls of the same turn of its loop, those that change the guests first of all.

    A turn is taken to lie within half an interval of the moment: what it looked at before it acted,
    and its acts. Where it acted on none of them there, its last act on one before the moment comes
    first, and then what it called instead.

    Args:
        timeline: of the run.
        at_ns: the moment.
        guests: whom it concerns; empty for all.
    """
    half_ns = timeline.interval_ns // 2
    start = next(
        (at for at, call in enumerate(timeline.calls) if call.time_ns >= at_ns - half_ns),
        len(timeline.calls),
    )
    turn = [call for call in timeline.calls[start:] if call.time_ns <= at_ns + half_ns]
    later = [call for call in turn if call.time_ns >= at_ns]
    acts = [call for call in later if _acts(call, guests)]
    if acts:
        before = turn[: next(at for at, call in enumerate(turn) if call is acts[0])]
        looks = [call for call in before if not _ACTING.match(call.procedure)]
        return _in_words([*looks[-1:], *acts[:_SHOWN]])
    earlier = timeline.calls[: start + len(turn) - len(later)]
    acted = next((call for call in reversed(earlier) if _acts(call, guests)), None)
    return _in_words([*([] if acted is None else [acted]), *later[:_SHOWN]])


def _acts(call: CallRecord, guests: Collection[str]) -> bool:
    return bool(_ACTING.match(call.procedure)) and (not guests or call.guest in guests)


def _in_words(calls: Sequence[CallRecord]) -> tuple[str, ...]:
    return tuple(call.in_words() for call in calls)
