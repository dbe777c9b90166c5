"""The criteria of doing no harm: guest-alive, host-alive, no-crash."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from virtlab.grading.criteria.check import Check, Limits, conclude, figure, scenario_s
from virtlab.grading.criteria.interference import interferences
from virtlab.grading.criteria.memory_record import could_give_mib
from virtlab.model.timeline import EventRecord, GuestTrack, Timeline
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.model.verdict import CriterionResult

__all__ = ["judge_guest_alive", "judge_host_alive", "judge_no_crash"]


def judge_guest_alive(
    timeline: Timeline, limits: Limits, hint: str | None = None
) -> CriterionResult:
    """Judge whether some guest was drained to death, stopped, or made too small."""
    checks = list(interferences(timeline, timeline.duration_ns, "MiB"))
    checks += _kills(timeline, limits)
    checks += _gone(timeline)
    checks += [
        _smallest(timeline, guest, limits) for guest in timeline.guests if any(guest.running)
    ]
    if not checks:
        checks = [Check(True, None, None, "MiB", "at_least", "no guest ran")]
    return conclude("guest-alive", checks, hint)


def judge_host_alive(
    timeline: Timeline, limits: Limits, hint: str | None = None
) -> CriterionResult:
    """Judge the host's free memory and its swap."""
    times = timeline.times_ns
    checks = [
        Check(
            False,
            None,
            None,
            "MiB",
            "at_least",
            f"the host froze at {scenario_s(event.time_ns)}: {event.detail}",
            event.time_ns / NS_PER_S,
            "host",
            "swap",
        )
        for event in timeline.events
        if event.kind == "host_frozen"
    ]
    swap_max = limits["swap_mib_max"] or 0.0
    most = max(range(len(times)), key=timeline.host_swap_kib.__getitem__)
    swap = timeline.host_swap_kib[most] / KIB_PER_MIB
    free_min = limits["free_mib_min"] or 0.0
    least = min(range(len(times)), key=timeline.host_free_kib.__getitem__)
    free = timeline.host_free_kib[least] / KIB_PER_MIB
    checks.append(
        Check(
            met=free >= free_min,
            measured=free,
            limit=free_min,
            unit="MiB",
            sense="at_least",
            reason=f"the host keeps at least {figure(free, free_min)} MiB free, at "
            f"{scenario_s(times[least])} (limit {figure(free_min)})",
            at_s=times[least] / NS_PER_S,
            where="host",
        )
    )
    checks.append(
        Check(
            met=swap <= swap_max,
            measured=swap,
            limit=swap_max,
            unit="MiB",
            sense="at_most",
            reason=f"the host swaps at most {figure(swap, swap_max)} MiB, at "
            f"{scenario_s(times[most])} (limit {figure(swap_max)})",
            at_s=times[most] / NS_PER_S,
            where="host",
            way="swap",
        )
    )
    return conclude("host-alive", checks, hint)


def judge_no_crash(timeline: Timeline, limits: Limits, hint: str | None = None) -> CriterionResult:
    """Judge whether the program ran to the end; what happens after it is only a note."""
    outcome = timeline.outcome
    ran_s = min(outcome.at_ns, timeline.duration_ns) / NS_PER_S
    whole_s = timeline.duration_ns / NS_PER_S
    to_the_end = outcome.at_ns >= timeline.duration_ns and outcome.kind != "silent"
    if outcome.status == "ok" or to_the_end:
        reason = f"the program ran to the end at {figure(whole_s)} s"
        if outcome.status != "ok":
            reason += f"; after it: {outcome.reason}"
        return conclude("no-crash", [Check(True, whole_s, None, "s", "at_least", reason)], hint)
    check = Check(
        met=False,
        measured=ran_s,
        limit=whole_s,
        unit="s",
        sense="at_least",
        reason=f"the program {_lasted(outcome.kind, ran_s, whole_s)}: {outcome.reason}",
        at_s=ran_s,
        where="program",
        way="timeout" if outcome.status == "timeout" else outcome.kind,
    )
    return conclude("no-crash", [check], hint)


def _lasted(kind: str, ran_s: float, whole_s: float) -> str:
    if kind == "silent":
        return f"ran for {figure(whole_s)} s in vain"
    return f"ended at {figure(ran_s, whole_s)} of {figure(whole_s)} s"


def _kills(timeline: Timeline, limits: Limits) -> Iterator[Check]:
    """Yield a check for each process that a guest's own OOM killer ended."""
    margin = limits["margin_mib"] or 0.0
    spare = limits["host_spare_mib_min"] or 0.0
    for event in timeline.events:
        if event.kind != "oom_kill" or event.guest is None:
            continue
        guest = timeline.guest(event.guest)
        index = max(bisect_left(timeline.times_ns, event.time_ns) - 1, 0)
        could_give = could_give_mib(timeline, index, guest, limits)
        if could_give < spare:
            continue
        actual = _size_at(timeline, guest, event, index) / KIB_PER_MIB
        below = max(guest.max_memory_kib / KIB_PER_MIB - actual, 0.0)
        yield Check(
            met=below <= margin,
            measured=below,
            limit=margin,
            unit="MiB",
            sense="at_most",
            reason=f"{guest.name} runs out of memory at {scenario_s(event.time_ns)}, "
            f"{figure(below, margin)} MiB below its maximum (limit {figure(margin)}), at a size of "
            f"{figure(actual)} MiB; the host had {figure(could_give)} MiB to give",
            at_s=event.time_ns / NS_PER_S,
            where=guest.name,
            way=_way_of_dying(timeline, guest, event, limits),
        )


def _way_of_dying(
    timeline: Timeline, guest: GuestTrack, event: EventRecord, limits: Limits
) -> str | None:
    """Tell a guest that was drained from one that was not given what it asked for."""
    targets = [guest.memory_kib] + [
        call.target_kib
        for call in timeline.memory_calls
        if call.guest == guest.name and call.by == "program" and call.time_ns <= event.time_ns
    ]
    if targets[-1] < (limits["actual_mib_min"] or 0.0) * KIB_PER_MIB:
        return "size"
    drained = len(targets) > 1 and targets[-1] < targets[-2]
    return None if drained else "not-given"


def _size_at(timeline: Timeline, guest: GuestTrack, event: EventRecord, index: int) -> int:
    """Return a guest's size at an event: as the event says, or the larger of its neighbours."""
    if "actual_kib" in event.values:
        return event.values["actual_kib"]
    after = min(index + 1, len(timeline.times_ns) - 1)
    return max(guest.actual_kib[index], guest.actual_kib[after])


def _gone(timeline: Timeline) -> Iterator[Check]:
    """Yield a failed check for each guest that went down by no act of the scenario."""
    for event in timeline.events:
        if event.kind not in ("guest_stop", "guest_lost") or event.guest is None:
            continue
        if event.time_ns >= timeline.duration_ns or event.values.get("by_scenario"):
            continue
        yield Check(
            met=False,
            measured=None,
            limit=None,
            unit="MiB",
            sense="at_least",
            reason=f"{event.guest} went down at {scenario_s(event.time_ns)}"
            + (f": {event.detail}" if event.detail else ""),
            at_s=event.time_ns / NS_PER_S,
            where=event.guest,
            way="gone",
        )


def _smallest(timeline: Timeline, guest: GuestTrack, limits: Limits) -> Check:
    running = [index for index, runs in enumerate(guest.running) if runs]
    index = min(running, key=guest.actual_kib.__getitem__)
    actual = guest.actual_kib[index] / KIB_PER_MIB
    limit = limits["actual_mib_min"] or 0.0
    return Check(
        met=actual >= limit,
        measured=actual,
        limit=limit,
        unit="MiB",
        sense="at_least",
        reason=f"{guest.name} has at least {figure(actual, limit)} MiB, at "
        f"{scenario_s(timeline.times_ns[index])} (limit {figure(limit)})",
        at_s=timeline.times_ns[index] / NS_PER_S,
        where=guest.name,
        way="size",
    )
