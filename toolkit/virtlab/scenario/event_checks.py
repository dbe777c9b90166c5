"""Events of a scenario file, held against the guests and against the events before them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from virtlab.errors import Problem
from virtlab.model.scenario import SHUTDOWN_S
from virtlab.naming import known_or_nearest
from virtlab.scenario.fault_checks import fault_problems
from virtlab.scenario.located_yaml import Document, KeyPath
from virtlab.scenario.parts import Parts
from virtlab.scenario.schema import HOST_FAULTS, EventFile, GrowthFile, GuestFile, TraceFile
from virtlab.scenario.shared_checks import growth_problems, pcpu_problems, tuning_problems

__all__ = ["event_problems"]

_ACTIONS = ("pin", "set_memory_mib", "set_cputune", "start_load", "stop_load", "power", "fault")


@dataclass(slots=True)
class _State:
    """What the events so far made of a guest."""

    guest: GuestFile
    running: bool
    defined: bool
    loads: set[str]  # "cpu", "memory": kinds that were started and not stopped
    down_s: float = 0.0  # until then it is still shutting down


def event_problems(parts: Parts) -> Iterator[Problem]:
    """Yield what is wrong with the events, which are followed in the order of time."""
    states = {
        name: _State(guest, guest.running, guest.defined, _kinds(guest.load))
        for _, guest in parts.guests
        for name in guest.all_names
    }
    for index, event in sorted(parts.events, key=lambda pair: pair[1].at_s):
        path: KeyPath = ("events", index)
        flawed = [*_form(parts, path, event), *_names(parts, path, event, states)]
        yield from flawed
        for name in dict.fromkeys(event.all_guests):
            if name in states:
                yield from _follow(parts, path, event, name, states[name])


def _form(parts: Parts, path: KeyPath, event: EventFile) -> Iterator[Problem]:
    document = parts.document
    given = [key for key in _ACTIONS if getattr(event, key) is not None]
    if len(given) != 1:
        what = f"an event does one thing, and this one does {len(given)}."
        yield document.problem(path, what, f"write one of: {', '.join(_ACTIONS)}.")
    yield from fault_problems(document, path, event)
    if event.fault not in HOST_FAULTS and (event.guest is None) == (event.guests is None):
        what = "an event has either `guest` or `guests`."
        yield document.problem(path, what, "write one of the two keys.")
    if parts.run is not None and event.at_s >= parts.run.duration_s:
        what = f"{event.at_s:g} s is not before the end of the run at {parts.run.duration_s} s."
        fix = "use an earlier moment, or raise run.duration_s."
        yield document.problem((*path, "at_s"), what, fix)
    if event.vcpus is not None and event.start_load is None:
        what = "vCPUs are named without a load."
        yield document.problem((*path, "vcpus"), what, "remove vcpus; a pin names its own vcpu.")
    if event.pin is not None:
        pcpus_path = (*path, "pin", "pcpus")
        yield from pcpu_problems(document, pcpus_path, event.pin.pcpus, parts.host)
    if event.set_cputune is not None:
        where = (*path, "set_cputune")
        yield from tuning_problems(document, where, event.set_cputune, parts.host)


def _names(
    parts: Parts, path: KeyPath, event: EventFile, states: dict[str, _State]
) -> Iterator[Problem]:
    known = [*states, *sorted(parts.malformed_guests - states.keys())]
    seen: set[str] = set()
    for position, name in enumerate(event.all_guests):
        where = (*path, "guest") if event.guest is not None else (*path, "guests", position)
        if name not in known and parts.guests_known:
            what = f"guest {name} is not declared."
            yield parts.document.problem(where, what, known_or_nearest(name, known, "guest"))
        if name in seen:
            yield parts.document.problem(where, f"guest {name} is listed twice.", "list it once.")
        seen.add(name)


def _follow(
    parts: Parts, path: KeyPath, event: EventFile, name: str, state: _State
) -> Iterator[Problem]:
    document = parts.document
    yield from _there(document, path, event, name, state)
    yield from _vcpus(document, path, event, name, state.guest)
    if event.set_memory_mib is not None:
        yield from _memory(document, path, event.set_memory_mib, name, state)
    if event.start_load is not None:
        yield from _start_load(document, path, event, name, state)
    if event.stop_load is not None:
        wanted = {"cpu", "memory"} if event.stop_load == "all" else {event.stop_load}
        if not wanted & state.loads:
            kind = "" if event.stop_load == "all" else f"{event.stop_load} "
            what = f"no {kind}load runs in guest {name} at {event.at_s:g} s."
            fix = "start one before, or remove this event."
            yield document.problem((*path, "stop_load"), what, fix)
        state.loads -= wanted
    if event.power in ("define", "undefine"):
        yield from _definition(document, path, event, name, state)
    elif event.power is not None:
        if event.power == "start" and not state.defined:
            what = f"guest {name} is not defined at {event.at_s:g} s."
            yield document.problem((*path, "power"), what, "define it before.")
        elif (event.power == "start") == state.running:
            now = "running" if state.running else "shut off"
            what = f"guest {name} is {now} at {event.at_s:g} s."
            fix = "remove this event, or mend what comes before it."
            yield document.problem((*path, "power"), what, fix)
        elif event.power == "start" and event.at_s < state.down_s:
            what = f"guest {name} is still shutting down at {event.at_s:g} s."
            fix = f"start it at {state.down_s:g} s or later, or let `lose` end it at once."
            yield document.problem((*path, "power"), what, fix)
        state.running = event.power == "start"
        state.down_s = event.at_s + SHUTDOWN_S if event.power == "stop" else 0.0
        state.loads.clear()


def _there(
    document: Document, path: KeyPath, event: EventFile, name: str, state: _State
) -> Iterator[Problem]:
    """Yield what would find nobody to act on; loads, balloons and power have words of their own."""
    if not state.defined and (event.pin is not None or event.fault is not None):
        key = "fault" if event.pin is None else "pin"
        what = f"guest {name} is not defined at {event.at_s:g} s."
        yield document.problem((*path, key), what, "define it before, or remove this event.")
    elif event.set_cputune is not None and not state.running:
        what = f"guest {name} is shut off at {event.at_s:g} s and is not weighed."
        fix = "start it before, or give the guest cputune for its start."
        yield document.problem((*path, "set_cputune"), what, fix)
    elif event.fault == "blocked" and not state.running:
        what = f"guest {name} is shut off at {event.at_s:g} s: no process holds its lock."
        yield document.problem((*path, "fault"), what, "start it before, or remove this event.")


def _definition(
    document: Document, path: KeyPath, event: EventFile, name: str, state: _State
) -> Iterator[Problem]:
    if (event.power == "define") == state.defined:
        now = "defined already" if state.defined else "not defined"
        what = f"guest {name} is {now} at {event.at_s:g} s."
        fix = "remove this event, or mend what comes before it."
        yield document.problem((*path, "power"), what, fix)
    state.defined = event.power == "define"
    if state.defined and state.running:
        what = f"guest {name} still runs at {event.at_s:g} s and keeps its name."
        yield document.problem((*path, "power"), what, "stop or lose it before.")
    elif state.defined and event.at_s < state.down_s:
        what = f"guest {name} is still shutting down at {event.at_s:g} s and keeps its name."
        fix = f"define it at {state.down_s:g} s or later, or let `lose` end it at once."
        yield document.problem((*path, "power"), what, fix)


def _vcpus(
    document: Document, path: KeyPath, event: EventFile, name: str, guest: GuestFile
) -> Iterator[Problem]:
    named: list[tuple[KeyPath, int]] = []
    if event.pin is not None:
        named.append(((*path, "pin", "vcpu"), event.pin.vcpu))
    for position, vcpu in enumerate(event.vcpus or []):
        named.append(((*path, "vcpus", position), vcpu))
    for where, vcpu in named:
        if vcpu >= guest.vcpus:
            has = "only 0" if guest.vcpus == 1 else f"0-{guest.vcpus - 1}"
            what = f"vCPU {vcpu} does not exist (guest {name} has {has})."
            fix = f"use one of its vCPUs, or raise vcpus of guest {name} to {vcpu + 1}."
            yield document.problem(where, what, fix)


def _memory(
    document: Document, path: KeyPath, memory_mib: int, name: str, state: _State
) -> Iterator[Problem]:
    where = (*path, "set_memory_mib")
    maximum = state.guest.max_memory_mib or state.guest.memory_mib
    if memory_mib > maximum:
        what = f"{memory_mib} MiB is above the maximum of guest {name}, {maximum}."
        fix = f"use at most {maximum}, or raise its max_memory_mib."
        yield document.problem(where, what, fix)
    if not state.running:
        what = f"guest {name} is shut off and has no balloon."
        yield document.problem(where, what, "start it before, or remove this event.")


def _start_load(
    document: Document, path: KeyPath, event: EventFile, name: str, state: _State
) -> Iterator[Problem]:
    where = (*path, "start_load")
    load = event.start_load
    if not state.running:
        what = f"guest {name} is shut off at {event.at_s:g} s and runs no load."
        yield document.problem(where, what, "start it before, or remove this event.")
    if isinstance(load, GrowthFile):
        yield from growth_problems(document, where, load, state.guest)
    state.loads |= _kinds(load)


def _kinds(load: object) -> set[str]:
    if load is None:
        return set()
    if isinstance(load, TraceFile):
        return {"cpu", "memory"}
    return {"memory"} if isinstance(load, GrowthFile) else {"cpu"}
