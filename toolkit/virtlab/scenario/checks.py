"""What two keys of a scenario file say together: every contradiction, as problems of the file.

Each check looks only at parts that are well formed in themselves; what is malformed has been
reported already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from virtlab.errors import Problem
from virtlab.model.scenario import HOST_RESERVE_KIB
from virtlab.model.units import KIB_PER_MIB
from virtlab.scenario.criteria_checks import criterion_problem, limit_problems
from virtlab.scenario.event_checks import event_problems
from virtlab.scenario.located_yaml import Document, KeyPath
from virtlab.scenario.parts import Parts
from virtlab.scenario.schema import GrowthFile, GuestFile, HostFile, TraceFile
from virtlab.scenario.shared_checks import growth_problems, pcpu_problems, tuning_problems
from virtlab.scenario.topology_checks import topology_problems

__all__ = ["contradictions"]


def contradictions(parts: Parts) -> list[Problem]:
    """Return every contradiction between the parts of a scenario file."""
    return list(
        chain(
            _guest_names(parts),
            chain.from_iterable(
                _guest(parts.document, ("guests", index), guest, parts.host)
                for index, guest in parts.guests
            ),
            _host_memory(parts),
            _sizes(parts),
            topology_problems(parts),
            _run(parts),
            event_problems(parts),
            _criteria(parts),
        )
    )


def _guest_names(parts: Parts) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, guest in parts.guests:
        path: KeyPath = ("guests", index)
        if (guest.name is None) == (guest.names is None):
            what = "a guest has either `name` or `names`."
            yield parts.document.problem(path, what, "write one of the two keys.")
            continue
        for position, name in enumerate(guest.all_names):
            where = (*path, "name") if guest.name is not None else (*path, "names", position)
            if name in seen:
                what = f"guest {name} is declared twice, first in line {seen[name]}."
                yield parts.document.problem(where, what, "give each guest a name of its own.")
            else:
                seen[name] = parts.document.line_of(where)


def _guest(
    document: Document, path: KeyPath, guest: GuestFile, host: HostFile | None
) -> Iterator[Problem]:
    yield from _guest_memory(document, path, guest)
    yield from _guest_swap(document, path, guest)
    yield from _placement(document, path, guest, host)
    if not guest.defined and guest.running:
        what = "a guest that is not defined cannot run."
        yield document.problem((*path, "defined"), what, "write `running: false` as well.")
    if guest.load is not None and not guest.running:
        what = "a load cannot run in a guest that is shut off."
        fix = "start it by an event after the guest's start, or remove `running: false`."
        yield document.problem((*path, "load"), what, fix)
    if isinstance(guest.load, GrowthFile):
        yield from growth_problems(document, (*path, "load"), guest.load, guest)
    if guest.cputune is not None:
        yield from tuning_problems(document, (*path, "cputune"), guest.cputune, host)


def _guest_memory(document: Document, path: KeyPath, guest: GuestFile) -> Iterator[Problem]:
    maximum = guest.max_memory_mib
    if maximum is not None and guest.memory_mib > maximum:
        what = f"the guest starts with {guest.memory_mib} MiB, above its maximum of {maximum}."
        fix = f"use at most {maximum}, or raise max_memory_mib to {guest.memory_mib}."
        yield document.problem((*path, "memory_mib"), what, fix)
    needed = guest.kernel_mib + guest.processes_mib
    if needed >= guest.memory_mib:
        what = (
            f"{guest.memory_mib} MiB do not hold the guest's kernel and processes, "
            f"which need {needed}."
        )
        fix = f"use more than {needed}, or lower kernel_mib and processes_mib."
        yield document.problem((*path, "memory_mib"), what, fix)
    elif needed + guest.cache_mib > guest.memory_mib:
        room = guest.memory_mib - needed
        what = f"a page cache of {guest.cache_mib} MiB does not fit: {room} MiB are left for it."
        yield document.problem((*path, "cache_mib"), what, f"set cache_mib to at most {room}.")


def _guest_swap(document: Document, path: KeyPath, guest: GuestFile) -> Iterator[Problem]:
    if "swap_mib_s" in guest.model_fields_set and not guest.swap_mib:
        what = "the guest has no swap whose speed could matter."
        yield document.problem((*path, "swap_mib_s"), what, "remove swap_mib_s, or give swap_mib.")


def _placement(
    document: Document, path: KeyPath, guest: GuestFile, host: HostFile | None
) -> Iterator[Problem]:
    if guest.start_on is not None and guest.start_in_turn is not None:
        what = "a guest has either `start_on` or `start_in_turn`."
        yield document.problem((*path, "start_in_turn"), what, "write one of the two keys.")
    if guest.start_on is not None and len(guest.start_on) != guest.vcpus:
        what = f"{len(guest.start_on)} places are given for {guest.vcpus} vCPUs."
        fix = f"list {guest.vcpus} (null for a vCPU that may run anywhere), or mend vcpus."
        yield document.problem((*path, "start_on"), what, fix)
    for position, pcpus in enumerate(guest.start_on or []):
        yield from pcpu_problems(document, (*path, "start_on", position), pcpus or [], host)
    for key in ("start_in_turn", "emulator_on"):
        for position, pcpu in enumerate(getattr(guest, key) or []):
            yield from pcpu_problems(document, (*path, key, position), [pcpu], host)


def _host_memory(parts: Parts) -> Iterator[Problem]:
    host = parts.host
    if host is None:
        return
    if host.swap_mib_s is not None and not host.swap_mib:
        what = "the host has no swap whose speed could matter."
        fix = "remove swap_mib_s, or give swap_mib."
        yield parts.document.problem(("host", "swap_mib_s"), what, fix)
    if host.used_mib >= host.memory_mib:
        what = f"the host uses {host.used_mib} of its {host.memory_mib} MiB itself."
        yield parts.document.problem(("host", "used_mib"), what, "leave memory for guests.")
        return
    needed = sum(
        guest.memory_mib * len(guest.all_names) for _, guest in parts.guests if guest.running
    )
    if host.used_mib + needed > host.memory_mib:
        what = (
            f"the guests start with {needed} MiB and the host uses {host.used_mib}, "
            f"which is more than the {host.memory_mib} MiB it has."
        )
        fix = f"raise host.memory_mib to {host.used_mib + needed} or more, or shrink the guests."
        yield parts.document.problem(("host", "memory_mib"), what, fix)
        return
    resident = sum(
        (guest.kernel_mib + guest.processes_mib + guest.cache_mib) * len(guest.all_names)
        for _, guest in parts.guests
        if guest.running
    )
    least = host.used_mib + resident + HOST_RESERVE_KIB // KIB_PER_MIB - host.swap_mib
    if resident and least > host.memory_mib:
        what = (
            f"the host freezes at once: it uses {host.used_mib} MiB, its guests hold {resident} "
            f"as soon as they run, and below {HOST_RESERVE_KIB // KIB_PER_MIB} it swaps."
        )
        fix = f"raise host.memory_mib to {least} or more, give it swap, or shrink the guests."
        yield parts.document.problem(("host", "memory_mib"), what, fix)


def _sizes(parts: Parts) -> Iterator[Problem]:
    """Refuse what would be accepted and then hardly move."""
    if parts.host is None:
        return
    total = sum(guest.vcpus * len(guest.all_names) for _, guest in parts.guests)
    if total > _VCPUS_MAX:
        what = f"the guests have {total} vCPUs together, and a host is simulated with {_VCPUS_MAX}."
        fix = f"take fewer guests or vCPUs: {_VCPUS_MAX} in all at most."
        yield parts.document.problem(("guests",), what, fix)
        return
    pcpu, most = _fullest(parts.host.pcpus, [guest for _, guest in parts.guests])
    if most > _VCPUS_A_PCPU_MAX:
        what = (
            f"{most} vCPUs share pCPU {pcpu}, and who waits for whom is worked out at a bearable "
            f"pace for {_VCPUS_A_PCPU_MAX}."
        )
        fix = "spread the guests over more pCPUs, or take fewer vCPUs."
        yield parts.document.problem(("guests",), what, fix)


# Measured with loads on all: 10,240 vCPUs on 1,024 pCPUs run at 13 virtual seconds a second without
# numpy, 40,800 at 1.4; 640 on each of 4 pCPUs at 2.6, 2,550 at 0.03.
_VCPUS_MAX = 16_384
_VCPUS_A_PCPU_MAX = 512


def _fullest(pcpus: int, guests: list[GuestFile]) -> tuple[int, int]:
    """Return the pCPU on which most vCPUs start, and how many; unbound ones spread evenly."""
    bound: Counter[int] = Counter()
    unbound = 0
    for guest in guests:
        if guest.start_in_turn is not None:
            count = guest.vcpus * len(guest.all_names)
            turns = len(guest.start_in_turn)
            for position, pcpu in enumerate(guest.start_in_turn):
                bound[pcpu] += (count - position + turns - 1) // turns
        elif guest.start_on is not None:
            for places in guest.start_on:
                if places is not None and len(places) == 1:
                    bound[places[0]] += len(guest.all_names)
                else:
                    unbound += len(guest.all_names)
        else:
            unbound += guest.vcpus * len(guest.all_names)
    pcpu, most = min(bound.items(), key=lambda item: (-item[1], item[0]), default=(0, 0))
    spread = -(-(unbound + bound.total()) // pcpus)
    return (pcpu, most) if most >= spread else (0, spread)


def _run(parts: Parts) -> Iterator[Problem]:
    run = parts.run
    if run is not None and run.interval_s > run.duration_s:
        what = f"an interval of {run.interval_s} s is longer than the run of {run.duration_s} s."
        fix = f"use at most {run.duration_s}, or raise duration_s."
        yield parts.document.problem(("run", "interval_s"), what, fix)


def _criteria(parts: Parts) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, criterion in parts.criteria:
        path: KeyPath = ("criteria", index)
        unknown = criterion_problem(parts.document, (*path, "name"), criterion.name)
        if unknown is not None:
            yield unknown
            continue
        if criterion.name in seen:
            what = (
                f"criterion {criterion.name} is asked twice, first in line {seen[criterion.name]}."
            )
            yield parts.document.problem((*path, "name"), what, "remove one of the two.")
        seen.setdefault(criterion.name, parts.document.line_of((*path, "name")))
        limits_path = (*path, "limits")
        yield from limit_problems(parts.document, limits_path, criterion.name, criterion.limits)
        if criterion.name in _OF_CONSUMERS and not _consumers(parts):
            what = f"no guest consumes memory, so {criterion.name} could never be met."
            fix = "start a load with rate_mib_s, or ask for guest-alive and host-alive only."
            yield parts.document.problem((*path, "name"), what, fix)


_OF_CONSUMERS = frozenset({"takes-gradually", "releases-gradually", "reaches-maximum"})


def _consumers(parts: Parts) -> bool:
    """Tell whether some load takes memory; what is malformed is given the benefit of the doubt."""
    if not parts.guests_known:
        return True
    loads = [guest.load for _, guest in parts.guests]
    loads += [event.start_load for _, event in parts.events]
    return any(isinstance(load, GrowthFile | TraceFile) for load in loads)
