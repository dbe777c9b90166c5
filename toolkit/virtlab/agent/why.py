"""Why a vCPU was moved, or a guest resized, or not: what the journal tells of one moment.

An account is one paragraph: what was seen, what was done and why, what was predicted and what came
of it, and what else was considered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from virtlab.agent.journal import RecordedTick
from virtlab.agent.moments import shown
from virtlab.agent.plain import Json
from virtlab.errors import InputError
from virtlab.model.units import KIB_PER_MIB
from virtlab.naming import known_or_nearest

__all__ = ["Account", "account_of", "kind_of"]

_FIGURES_TOLD = 6
_REJECTED_TOLD = 3


@dataclass(frozen=True, slots=True)
class Account:
    """What a journal tells of one vCPU or guest at one moment."""

    target: str
    wall_s: float  # of the tick that decided
    moved: bool  # an action of the plan was about it
    seen: Mapping[str, Json]  # its figures
    reason: str  # of the action itself
    because: str  # of the whole plan
    before: str
    after: str
    result: str  # done, or why not; empty where nothing was to be done
    expected: Mapping[str, float]
    came: Mapping[str, float]  # the same figures at the next tick; empty where there is none
    seen_after: Mapping[str, Json]
    rejected: tuple[tuple[str, str], ...]
    alone: str  # why it was left alone whatever the policy says
    failure: str  # of the policy
    last_moved_s: float | None  # before this tick, as far as the journal goes back

    def paragraph(self) -> str:
        """Return all of it in prose."""
        return " ".join(sentence for sentence in self._sentences() if sentence)

    def _sentences(self) -> Iterable[str]:
        when = f"At {shown(self.wall_s)}"
        if self.failure:
            yield f"{when} nothing was decided, as the policy {self.failure}."
        elif self.moved:
            what = "was moved" if ":" in self.target else "was resized"
            if self.result not in ("done", ""):
                what = "was to be " + what[4:]
            yield f"{when} {self.target} {what} from {self.before} to {self.after}."
        else:
            yield f"{when} {self.target} was left as it was, at {self.before}."
        yield _seen(self.seen)
        if self.reason:
            yield f"Why: {self.reason}."
        if self.because:
            yield f"The plan: {self.because}."
        if self.alone:
            yield f"It is left alone: {self.alone}."
        if self.result and self.result != "done":
            yield f"It was not done: {self.result}."
        yield self._prediction()
        if self.moved and self.seen_after:
            yield f"One tick later: {_seen(self.seen_after)}"
        if self.rejected:
            others = "; ".join(f"{what} ({why})" for what, why in self.rejected[:_REJECTED_TOLD])
            yield f"Also considered: {others}."
        if self.last_moved_s is not None and not self.moved:
            yield f"It was last changed at {shown(self.last_moved_s)}."

    def _prediction(self) -> str:
        if not self.expected:
            return ""
        predicted = ", ".join(
            f"{name} {value:.4g}" for name, value in list(self.expected.items())[:_FIGURES_TOLD]
        )
        if not self.came:
            return f"Predicted was {predicted}; the journal ends before it shows what came."
        came = ", ".join(f"{value:.4g}" for value in list(self.came.values())[:_FIGURES_TOLD])
        return f"Predicted was {predicted}; a tick later it was {came}."


def kind_of(target: str) -> str:
    """Return the daemon that decides about `web:0`, or about `web`."""
    return "schedule" if target.rpartition(":")[2].isdigit() and ":" in target else "coordinate"


def account_of(
    ticks: Iterable[RecordedTick], target: str, from_s: float, until_s: float
) -> Account:
    """Return what a journal tells of a vCPU or guest.

    The first tick of the span in which something was to be done to it is told of; where there is
    none, the last tick before its end.

    Args:
        ticks: of the journal, oldest first.
        target: a vCPU such as `web:0`, or a guest.
        from_s: begin of the span, in seconds since 1970.
        until_s: its end.

    Raises:
        InputError: the journal does not reach so far, or knows no such vCPU or guest.
    """
    names: set[str] = set()
    chosen: RecordedTick | None = None
    after: RecordedTick | None = None
    first_s: float | None = None
    last_moved_s: float | None = None
    for tick in ticks:
        first_s = tick.wall_s if first_s is None else first_s
        acted = chosen is not None and _action(chosen, target) is not None
        if tick.wall_s > until_s or (acted and chosen is not None and chosen.wall_s >= from_s):
            after = tick
            break
        if acted and chosen is not None:
            last_moved_s = chosen.wall_s
        names.update(_names(tick))
        if target in _names(tick):
            chosen = tick
    if chosen is None:
        _refuse(target, names, first_s, until_s)
    return _account(chosen, after, target, last_moved_s)


def _refuse(target: str, names: set[str], first_s: float | None, until_s: float) -> NoReturn:
    """Say why there is nothing to tell."""
    if names:
        raise InputError(
            f"the journal knows no {target} by {shown(until_s)}",
            fix=known_or_nearest(target, sorted(names), "vCPU or guest"),
        )
    raise InputError(
        f"the journal does not reach back to {shown(until_s)}"
        + ("" if first_s is None else f"; it begins at {shown(first_s)}"),
        fix="name a later moment, or another journal.",
    )


def _account(
    tick: RecordedTick, after: RecordedTick | None, target: str, last_moved_s: float | None
) -> Account:
    action = _action(tick, target)
    plan = tick.parts.get("plan", {})
    seen = _view(tick, target)
    expected = _relevant(plan.get("expected", {}), target)
    figures = {} if after is None else after.parts["figures"]
    result = tick.parts.get("held", {}).get(target, "")
    if action is not None and not result and after is not None:
        result = after.parts["came"].get(target, "no answer had come a tick later")
    return Account(
        target=target,
        wall_s=tick.wall_s,
        moved=action is not None,
        seen=seen,
        reason="" if action is None else action["reason"],
        because=plan.get("because", ""),
        before=_place(seen),
        after="" if action is None else _place(action),
        result=result,
        expected=expected,
        came={name: figures[name] for name in expected if name in figures},
        seen_after={} if after is None else _view(after, target),
        rejected=tuple((one["what"], one["why"]) for one in plan.get("rejected", ())),
        alone=tick.parts["alone"].get(target.partition(":")[0], ""),
        failure=tick.parts.get("failure", ""),
        last_moved_s=last_moved_s,
    )


def _relevant(expected: Mapping[str, float], target: str) -> dict[str, float]:
    """Return the figures of the target and of the host: others' are not what was asked for."""
    own = {name: value for name, value in expected.items() if name.startswith(f"{target} ")}
    return own | {name: value for name, value in expected.items() if " " not in name}


def _action(tick: RecordedTick, target: str) -> Mapping[str, Json] | None:
    for action in tick.parts.get("plan", {}).get("actions", ()):
        if target in (action.get("vcpu"), action.get("guest")):
            found: Mapping[str, Json] = action
            return found
    return None


def _names(tick: RecordedTick) -> list[str]:
    return [str(one.get("key", one.get("guest"))) for one in _views(tick)]


def _views(tick: RecordedTick) -> list[dict[str, Any]]:
    snapshot = tick.parts["snapshot"]
    views: list[dict[str, Any]] = snapshot["vcpus"] if "vcpus" in snapshot else snapshot["guests"]
    return views


def _view(tick: RecordedTick, target: str) -> Mapping[str, Json]:
    return next((one for one in _views(tick) if target in (one.get("key"), one.get("guest"))), {})


def _place(of: Mapping[str, Json]) -> str:
    if "pcpus" in of:
        pcpus = of["pcpus"]
        if len(pcpus) == 1:
            return f"pCPU {pcpus[0]}"
        return f"pCPUs {', '.join(map(str, pcpus))}"
    kib = of.get("memory_kib", of.get("actual_kib"))
    return "nowhere" if kib is None else f"{kib // KIB_PER_MIB} MiB"


def _seen(view: Mapping[str, Json]) -> str:
    if not view:
        return "It is not there any more."
    if "pcpus" in view:
        ran, waited = view["run_share"], view["delay_share"]
        if ran is None or waited is None:
            return "It had just come, so that nothing was known of what it wants."
        wants = min(ran / (1 - waited), 1.0) if waited < 1 else 1.0
        return (
            f"It ran {100 * ran:.0f} % and waited {100 * waited:.0f} % of the interval, "
            f"so that it wants {wants:.2f} of a pCPU."
        )
    if view["unused_kib"] is None:
        return "It reported nothing of its memory."
    age = "" if view["report_age_ns"] is None else f" {view['report_age_ns'] / 1e9:.0f} s before"
    return (
        f"It had {view['unused_kib'] // KIB_PER_MIB} of {view['actual_kib'] // KIB_PER_MIB} MiB "
        f"unused, as it reported{age}."
    )
