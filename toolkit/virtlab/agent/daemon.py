"""A daemon: look, decide, write down, act; once an interval, whatever happens to the host.

One thread and one selector, as everywhere in the lab; nothing here waits. `turn` does what is due
and says when something is due next, so that the same daemon runs in a process of its own, under the
lockstep clock, and in tests on a clock that is moved by hand. Moments are of a clock that never
goes back; the calendar is only written down.

A tick: the host is looked at (`watch`), for half an interval at most; the policy makes its plan
(`deciding`); what may not be done is taken out of it; the values before go to the disk
(`change_log`), then the tick (`journal`); then the changes are made, one after the other (`actor`).
What came of them is written with the next tick.
"""

from __future__ import annotations

import logging
import selectors
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from virtlab.agent.actor import LOST, Actor, Call
from virtlab.agent.allowance import Allowance
from virtlab.agent.change_log import Change, ChangeLog, What, boot_id
from virtlab.agent.deciding import FAILURES_MAX, Decider
from virtlab.agent.journal import Journal
from virtlab.agent.known_guest import KnownGuest
from virtlab.agent.memory_limit import resident_kib
from virtlab.agent.outcome import figures_of
from virtlab.agent.plain import Json, plain
from virtlab.agent.together import belonging
from virtlab.agent.watch import Sense, Watch
from virtlab.errors import EnvironmentLackError, InputError, VirtlabError
from virtlab.libvirt_rpc.client import Answer
from virtlab.libvirt_rpc.errors import ErrorCode
from virtlab.model.plan import Pin, Plan, Resize
from virtlab.model.snapshot import CpuSnapshot, MemorySnapshot
from virtlab.model.units import KIB_PER_MIB

__all__ = ["Clock", "Craft", "Daemon", "DaemonSettings", "Meter", "NoMeter", "Step"]

_log = logging.getLogger(__name__)

# A little less than what its unit allows (`MemoryMax`), so that the policy is named.
_MEMORY_KIB_MAX: Final = 900 * KIB_PER_MIB
_LARGE_TICKS: Final = 3  # in a row; what one decision takes, it may give back

Act = TypeVar("Act", contravariant=True)  # Pin or Resize


class Clock(Protocol):
    """The two clocks that a daemon reads."""

    def now_ns(self) -> int:
        """Return the moment on a clock that never goes back."""

    def wall_s(self) -> float:
        """Return the moment on the calendar's clock, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change that is to be made, with how it was before."""

    name: str  # as the journal has it, such as `web:0`
    guest: KnownGuest
    what: What
    vcpu: int
    before: tuple[int, ...]
    after: tuple[int, ...]
    procedure: str
    args: tuple[Any, ...]
    reason: str

    @property
    def arrow(self) -> tuple[int, int] | None:
        """Return from which pCPU to which a vCPU goes; None where it is no such change."""
        if self.what != "pin" or len(self.before) != 1 or len(self.after) != 1:
            return None
        return self.before[0], self.after[0]


class Craft(Sense, Protocol[Act]):
    """What one kind of daemon knows of its trade."""

    def look(self, watch: Watch) -> CpuSnapshot | MemorySnapshot:
        """Return the snapshot of what was just seen."""

    def why_not(self, guest: KnownGuest) -> str | None:
        """Return why a guest is left alone, or None."""

    def guest_of(self, action: Act) -> str:
        """Return the name of an action's guest."""

    def step(self, action: Act, guest: KnownGuest, watch: Watch) -> Step | str | None:
        """Return the change, or why it is not made; None where it would change nothing."""

    def begun(self, step: Step) -> None:
        """Note that a change is on its way."""

    def made(self, step: Step) -> None:
        """Note that a change was made."""

    def housework(self, guests: Iterable[KnownGuest]) -> Iterable[Step]:
        """Yield changes that are needed to see anything, whatever the policy says."""


class Meter(Protocol):
    """Who is told how a daemon fares."""

    def tick(self, daemon: Daemon, figures: dict[str, float], changes: int) -> None:
        """Take in a tick that was decided."""

    def missed(self, why: str) -> None:
        """Take in a tick in which nothing was decided."""

    def result(self, done: bool) -> None:
        """Take in a change that was made, or was not."""


class NoMeter:
    """A meter that keeps nothing."""

    def tick(self, daemon: Daemon, figures: dict[str, float], changes: int) -> None:
        """Keep nothing."""

    def missed(self, why: str) -> None:
        """Keep nothing."""

    def result(self, done: bool) -> None:
        """Keep nothing."""


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """How a daemon goes about its work."""

    kind: str  # schedule or coordinate
    socket: Path  # libvirtd's
    policy: str
    interval_ns: int
    dry_run: bool = False
    changes_per_hour: int | None = None


@dataclass(slots=True)
class _Due:
    """When something is due next."""

    tick_ns: int
    look_ends_ns: int | None = None


@dataclass(slots=True)
class Daemon:
    """One daemon on one host."""

    settings: DaemonSettings
    selector: selectors.BaseSelector
    clock: Clock
    craft: Craft[Any]
    decider: Decider | None  # None: it records, and decides nothing
    journal: Journal | None
    changes: ChangeLog | None  # None: it never changes anything
    meter: Meter = field(default_factory=NoMeter)
    fatal: VirtlabError | None = None  # why it has to end
    ticks: int = 0
    missed: int = 0
    watch: Watch = field(init=False)
    actor: Actor = field(init=False)
    allowance: Allowance = field(init=False)
    held: dict[str, str] = field(default_factory=dict)  # of the last plan, and why
    _due: _Due = field(init=False)
    _start_ns: int = field(init=False)
    _came: dict[str, str] = field(default_factory=dict)  # what became of changes since the tick
    _said: dict[str, str] = field(default_factory=dict)  # what was logged last, by subject
    _large: int = 0  # ticks in a row at whose ends it was too large
    _boot: str = field(default_factory=boot_id)

    def __post_init__(self) -> None:
        """Prepare; `start` connects."""
        settings, now_ns = self.settings, self.clock.now_ns
        wall_s = self.clock.wall_s
        self.watch = Watch(self.selector, settings.socket, self.craft, now_ns, wall_s)
        self.actor = Actor(self.selector, settings.socket, now_ns)
        self.allowance = Allowance(settings.changes_per_hour)
        self._start_ns = now_ns()
        self._due = _Due(self._start_ns)

    def start(self) -> None:
        """Connect for the first time.

        Raises:
            OSError: nobody listens there.
        """
        self.watch.connect()

    def turn(self) -> int:
        """Do what is due; return when something is due next."""
        now_ns = self.clock.now_ns()
        due = [self.watch.turn(), self.actor.turn()]
        if self.watch.refusal is not None and self.ticks == 0:
            self._end(EnvironmentLackError(
                f"libvirtd at {self.settings.socket} lets nobody in: {self.watch.refusal}",
                fix="run as root, or as a user who may use this socket without being asked.",
            ))  # fmt: skip
        ends_ns = self._due.look_ends_ns
        if ends_ns is not None and (not self.watch.looking or now_ns >= ends_ns):
            self._due.look_ends_ns = None
            if self.watch.looking and self.watch.give_up():
                self._decide()
            else:
                self._miss("libvirtd does not answer")
        if now_ns >= self._due.tick_ns and self._due.look_ends_ns is None:
            self._begin(now_ns)
        due += [self._due.tick_ns, self._due.look_ends_ns]
        return min(one for one in due if one is not None)

    def close(self) -> None:
        """Hang up, and end the journal."""
        self.actor.close()
        self.watch.close()
        if self.journal is not None:
            self.journal.close()
        if self.changes is not None:
            self.changes.close()

    # --- a tick

    def _begin(self, now_ns: int) -> None:
        interval_ns = self.settings.interval_ns
        self._due.tick_ns = self._tick_after(now_ns)
        self.actor.drop()
        if not self.watch.connected:
            self._miss("libvirtd is away")
            return
        if self.watch.look(self._seen):
            self._due.look_ends_ns = now_ns + interval_ns // 2
        else:
            self._miss("libvirtd has not answered the last look")

    def _tick_after(self, now_ns: int) -> int:
        interval_ns = self.settings.interval_ns
        return self._start_ns + ((now_ns - self._start_ns) // interval_ns + 1) * interval_ns

    def _miss(self, why: str) -> None:
        self.missed += 1
        self.meter.missed(why)

    def _seen(self) -> None:
        self._due.look_ends_ns = None
        self._decide()

    def _decide(self) -> None:
        guests = self.watch.guests.values()
        snapshot = self.craft.look(self.watch)
        self.ticks += 1
        figures = dict(figures_of(snapshot))
        tick: dict[str, Json] = {
            "number": self.ticks,
            "wall_s": round(self.watch.seen_wall_s, 3),
            "snapshot": plain(snapshot),
            "figures": figures,
            "alone": {g.name: why for g in guests if (why := self.craft.why_not(g)) is not None},
        }
        came, self._came = self._came, {}
        tick["came"] = came
        self.held = {}
        steps: list[Step] = []
        if not self.settings.dry_run:
            busy = self.actor.busy
            steps = [s for s in self.craft.housework(guests) if s.guest.life not in busy]
        if self.decider is not None:
            answer = self.decider.decide(snapshot)
            self._look_at_own_memory()
            tick["memory"] = {} if isinstance(answer, str) else answer.memory
            if isinstance(answer, str):
                tick["failure"] = answer
                self._failed(answer)
            else:
                self._say("policy", "")
                tick["plan"] = answer.shown
                steps += self._steps(answer.plan)
        if steps and not self._written_down(steps):
            steps = []
        tick["held"] = dict(self.held)
        self._keep(tick)
        self.meter.tick(self, figures, len(steps))
        # A decision for which the machine had no time leaves the ticks out that it took.
        self._due.tick_ns = max(self._due.tick_ns, self._tick_after(self.clock.now_ns()))
        self._act(steps)

    def _failed(self, what: str) -> None:
        assert self.decider is not None
        self._say("policy", f"policy {self.settings.policy} {what}; nothing is done in this tick")
        if self.decider.failures >= FAILURES_MAX:
            self._end(InputError(
                f"policy {self.settings.policy} failed {FAILURES_MAX} times in a row; the last "
                f"time it {what}",
                fix="mend the policy, or name another with --policy.",
            ))  # fmt: skip

    def _look_at_own_memory(self) -> None:
        """End where the policy keeps growing; nothing else here does.

        To begin anew helps for a time, so this is none of the errors that it does not mend.
        """
        self._large = self._large + 1 if resident_kib() > _MEMORY_KIB_MAX else 0
        if self._large >= _LARGE_TICKS:
            self._end(EnvironmentLackError(
                f"policy {self.settings.policy} keeps growing: the daemon takes more than "
                f"{_MEMORY_KIB_MAX // KIB_PER_MIB} MiB",
                fix="begin it anew; have the policy forget what is gone, or name another.",
            ))  # fmt: skip

    def _steps(self, plan: Plan[Any]) -> list[Step]:
        """Return what of a plan is to be done; `held` tells of the rest."""
        by_name = {guest.name: guest for guest in self.watch.guests.values()}
        found: list[Step] = []
        for action in plan.actions:
            guest = by_name[self.craft.guest_of(action)]
            step = self.craft.step(action, guest, self.watch)
            if isinstance(step, Step):
                found.append(step)
            else:
                self.held[_name_of(action)] = step or "it is so already"
        held = {one.name: why for one in found if (why := self._why_held(one)) is not None}
        left = self.allowance.left(self.clock.now_ns())
        if not held and (left is None or left >= len(found)):
            return found
        return list(self._whole_groups(found, held, left))

    def _whole_groups(
        self, found: Sequence[Step], held: Mapping[str, str], left: int | None
    ) -> Iterator[Step]:
        """Yield what may be done, so that of changes that belong together all are done or none."""
        for numbers in belonging([one.arrow for one in found]):
            group = [found[number] for number in numbers]
            others = [one.name for one in group if one.name in held]
            if others:
                for one in group:
                    why = f"it belongs together with {others[0]}, which is held"
                    self.held[one.name] = held.get(one.name, why)
            elif left is not None and len(group) > left:
                left = 0  # what comes later in the plan may count on these
                why = f"{self.settings.changes_per_hour} changes may be made in an hour"
                if len(group) > 1:
                    why += f", and {len(group)} belong together"
                self.held |= dict.fromkeys((one.name for one in group), why)
            else:
                left = None if left is None else left - len(group)
                yield from group

    def _why_held(self, step: Step) -> str | None:
        if (why := self.craft.why_not(step.guest)) is not None:
            return why
        if step.guest.life in self.actor.busy:
            return "its last change has not been answered"
        if self.settings.dry_run or self.changes is None:
            return "dry run"
        return None

    def _written_down(self, steps: Sequence[Step]) -> bool:
        """Have how things were on the disk; where that fails nothing is changed."""
        assert self.changes is not None
        wall_s = self.clock.wall_s()
        try:
            self.changes.write(self._change(step, wall_s) for step in steps)
        except OSError as error:
            why = f"how it was could not be written down: {error.strerror or error}"
            self.held |= {step.name: why for step in steps}
            self._say("changes", f"nothing is changed, since {why}")
            return False
        self._say("changes", "")
        self.allowance.take(self.clock.now_ns(), len(steps))
        return True

    def _change(self, step: Step, wall_s: float) -> Change:
        dom = step.guest.dom
        return Change(
            wall_s=round(wall_s, 3),
            host=str(self.settings.socket),
            boot=self._boot,
            guest=dom.name,
            uuid=dom.uuid.hex(),
            run=dom.id,
            what=step.what,
            vcpu=step.vcpu,
            before=step.before,
            after=step.after,
        )

    def _keep(self, tick: dict[str, Json]) -> None:
        if self.journal is None:
            return
        self.journal.write(tick, self.clock.now_ns())
        problem = self.journal.problem
        self._say("journal", "" if problem is None else f"ticks are not journalled: {problem}")

    # --- acting

    def _act(self, steps: Sequence[Step]) -> None:
        """Make changes; each guest is asked first whether a job runs on it."""
        by_guest: dict[str, list[Step]] = {}
        for step in steps:
            by_guest.setdefault(step.guest.life, []).append(step)
        self.actor.make(self._asking_first(theirs) for theirs in by_guest.values())

    def _asking_first(self, steps: Sequence[Step]) -> Call:
        guest = steps[0].guest
        what, args, took = self.watch.job_question(guest)
        void_ns = self._due.tick_ns  # a plan is of its tick, and of no later one

        def asked(answer: Answer | str) -> None:
            if isinstance(answer, Answer):
                took(answer)
            if isinstance(answer, str):
                why: str | None = answer
            elif self.clock.now_ns() >= void_ns:
                why = "libvirtd answered too late whether a job runs on it"
            elif answer.error is not None and answer.error.code != ErrorCode.NO_SUPPORT:
                why = f"it is not known whether a job runs on it: {answer.error.message}"
            else:
                why = self.craft.why_not(guest)
            if why is None:
                self.actor.make_next([self._call(step) for step in steps])
                return
            for step in steps:
                self._result(step, why)

        return Call(guest.life, what, args, asked)

    def _call(self, step: Step) -> Call:
        self.craft.begun(step)

        def done(answer: Answer | str) -> None:
            if isinstance(answer, Answer) and answer.error is None:
                self.craft.made(step)
                self._result(step, None)
                return
            if isinstance(answer, str):
                self._result(step, answer)
                return
            assert answer.error is not None
            if answer.error.code == ErrorCode.OPERATION_DENIED:
                self._end(EnvironmentLackError(
                    f"{self.settings.socket} is for reading only: {answer.error.message}",
                    fix="name the socket that may be written to, or look on with --dry-run.",
                ))  # fmt: skip
            self._result(step, answer.error.message)

        return Call(step.guest.life, step.procedure, step.args, done)

    def _result(self, step: Step, why_not: str | None) -> None:
        self._came[step.name] = why_not or "done"
        self.meter.result(why_not is None)
        facts = {"facts": {"what": step.what, "of": step.name, "after": list(step.after)}}
        if why_not is None:
            _log.info("%s: %s", step.name, step.reason, extra=facts)
        elif why_not != LOST:
            _log.warning("%s was not changed: %s", step.name, why_not, extra=facts)

    # --- telling

    def _end(self, error: VirtlabError) -> None:
        self.fatal = self.fatal or error

    def _say(self, subject: str, what: str) -> None:
        """Log what is wrong with a subject once, until it is well again or something else."""
        if what and self._said.get(subject) != what:
            _log.warning("%s", what)
        self._said[subject] = what


def _name_of(action: Pin | Resize) -> str:
    return str(action.vcpu) if isinstance(action, Pin) else action.guest
