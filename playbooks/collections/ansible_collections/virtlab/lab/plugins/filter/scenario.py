# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""A scenario, as `virtlab scenarios show --json` prints it, in the words of the roles."""

from __future__ import annotations

_NS_PER_S = 1_000_000_000


def guests_of(scenario):
    """Return the guests that run at the start."""
    return [
        {
            "name": guest["name"],
            "memory_mib": guest["memory_kib"] // 1024,
            "max_memory_mib": guest["max_memory_kib"] // 1024,
            "vcpus": guest["vcpus"],
            "deflate_on_oom": guest["deflate_on_oom"],
            "pins": [pcpus or [] for pcpus in guest["affinity"]],
        }
        for guest in scenario["guests"]
        if guest["defined"] and guest["running"]
    ]


def loads_of(scenario):
    """Return the loads that run from time 0 on."""
    vcpus = {guest["name"]: guest["vcpus"] for guest in scenario["guests"]}
    return [
        {
            "guest": event["guest"],
            "load": _load(event["workload"]),
            "vcpus": event["vcpus"] or list(range(vcpus[event["guest"]])),
            "slot": "memory" if "rate_kib_s" in event["workload"] else "main",
        }
        for event in scenario["events"]
        if event["event"] == "StartWorkload" and event["time_ns"] == 0
    ]


def _load(workload):
    """Return a load in the keys of a scenario file."""
    if "duty" in workload:
        return {"duty": workload["duty"], "period_ms": workload["period_ns"] / 1e6}
    if "work_ns" in workload:
        return {"work_s": workload["work_ns"] / _NS_PER_S}
    if "rate_kib_s" in workload:
        until = workload["until_kib"]
        return {
            "rate_mib_s": workload["rate_kib_s"] / 1024,
            "until_mib": until // 1024 if until else None,
            "hold_s": workload["hold_ns"] / _NS_PER_S,
            "then": "release" if workload["then_release"] else "keep",
        }
    raise ValueError("a trace cannot be played in a guest yet")


class FilterModule:
    """The filters of the collection."""

    def filters(self):
        """Return them by name."""
        return {"guests_of": guests_of, "loads_of": loads_of}
