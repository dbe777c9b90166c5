"""One catalogue of hints: where to look next, never the answer.

A criterion's own hint stands in `virtlab.model.criteria`; here are those for one way of failing
it. A scenario's hint comes before all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from virtlab.model.criteria import CRITERIA

__all__ = ["HINTS", "hint_for"]

_REFUSED = "libvirt refused its pins; look at what each call returns, and at the mask that it sends"

_LIFE = (
    "a scheduler sets affinities and a coordinator sizes; a guest's life, and how much it may "
    "compute, are not theirs to change"
)

# Keys are "criterion" or "criterion:way of failing".
HINTS: Mapping[str, str] = MappingProxyType(
    {
        "balanced:idle-pcpu": "look at every pCPU of the host, also at those on which no guest "
        "sits now",
        "balanced:late": "it was balanced in the end, so look at how many intervals the way "
        "there takes, and what each of them moves",
        "balanced:never-pinned": "no affinity was changed at all; check that the figures it "
        "decides on are those of the last interval",
        "balanced:pins-refused": _REFUSED,
        "bound:pins-refused": _REFUSED,
        "balanced:unbound": CRITERIA["bound"].hint,
        "stable:back-and-forth": "a vCPU went away and came back; ask, before a move, how much "
        "better the host would be after it",
        "takes-gradually:short": "watch unused memory rather than its size, and act before it "
        "reaches the floor; a consumer takes a full interval's growth until the next look",
        "takes-gradually:no-period": "no statistics period was set, so the guest's report may be "
        "that of its boot; look at how old the figures are",
        "takes-gradually:jump": "a balloon is moved in steps; give what the next intervals need",
        "takes-gradually:early-end": "the consumer wanted more and did not get it; look at what "
        "was decided in the intervals before its end",
        "releases-gradually:nothing-grew": "memory can only come back from a guest that got some",
        "releases-gradually:step": "take in small steps, and less from a small guest",
        "releases-gradually:kept": "a guest whose unused memory stays large for several "
        "intervals can give some back",
        "releases-gradually:idle-grew": "look at whether the guest uses what it has, before "
        "giving it more",
        "releases-gradually:idle-drained": "leave each guest a reserve of unused memory when "
        "taking from it",
        "guest-alive:not-given": "nothing was taken from this guest before; look at what its "
        "unused memory told in the intervals before its end",
        "guest-alive:size": "give every target a lower bound; mind that sizes are in KiB",
        "guest-alive:gone": _LIFE,
        "guest-alive:interference": _LIFE,
        "balanced:interference": _LIFE,
        "bound:interference": _LIFE,
        "host-alive:swap": "the host lends memory that it does not have; add up the targets",
        "no-crash:crashed": "run it under a debugger or a sanitiser; the last libvirt calls "
        "below show how far it came",
        "no-crash:exited": "the loop ends only at SIGINT; look at what makes it leave early",
        "no-crash:hung": "look for a loop inside the loop that never sleeps or returns",
        "no-crash:silent": "it made no libvirt call; check the connection and the arguments",
        "no-crash:flooded": "print one short block an interval, not one for each call",
        "no-crash:overfilled": "keep no files, or write over the old ones",
        "no-crash:timeout": "look for work that grows with time, and for loops without sleep",
    }
)


def hint_for(name: str, way: str | None, scenario_hint: str | None) -> str:
    """Return the hint for a failed criterion: the scenario's, that of the way, or its own."""
    if scenario_hint is not None:
        return scenario_hint
    return HINTS.get(f"{name}:{way}", CRITERIA[name].hint)
