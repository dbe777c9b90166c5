"""What a scheduler wants to know of a host, and the snapshot that comes of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from virtlab.agent.cpu_sensing import CpuSensor, VcpuReading
from virtlab.agent.guest_notes import notes_of
from virtlab.agent.host_load import HostLoad
from virtlab.agent.host_topology import topology_of_capabilities
from virtlab.agent.known_guest import KnownGuest, masks_of
from virtlab.agent.watch import HostFacts, Question
from virtlab.libvirt_rpc.client import Answer
from virtlab.libvirt_rpc.errors import ErrorCode
from virtlab.model.snapshot import CpuSnapshot, VcpuKey

__all__ = ["CpuSense"]

_STATE, _VCPU = 1, 8  # virDomainStatsTypes
_LIVE, _CONFIG = 1, 2  # virDomainModificationImpact
_PARAMS: Final = 16  # room for all scheduler parameters

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class CpuSense:
    """Asks for what `CpuSnapshot` needs."""

    override_pins: bool  # affinities of descriptions may be changed
    # Affinities of vCPUs before a daemon first changed them, by life of the guest and number.
    first_pins: Mapping[tuple[str, int], frozenset[int]] = field(default_factory=dict)
    groups: int = _STATE | _VCPU
    wants_memory: bool = False
    _sensor: CpuSensor | None = None
    _load: HostLoad = field(default_factory=HostLoad)

    def questions(self, guest: KnownGuest, host: HostFacts) -> Iterable[Question]:
        """Return what to ask: once all that bulk statistics lack; of loose vCPUs where they are.

        A vCPU that is bound to one pCPU sits there, and nobody has to be asked.
        """
        length, vcpus = (host.pcpus + 7) // 8, max(guest.vcpus, default=-1) + 1
        if not guest.pins.keys() >= set(guest.vcpus):  # some were plugged in meanwhile
            guest.stale = True
        if guest.stale or any(len(mask) > 1 for mask in guest.pins.values()):
            took = partial(_took_vcpus, guest, host.pcpus)
            yield "DOMAIN_GET_VCPUS", (guest.dom, vcpus, length), took
        if not guest.stale:
            return
        yield "DOMAIN_GET_XML_DESC", (guest.dom, 0), partial(_took_description, guest)
        args = (guest.dom, _PARAMS, _LIVE)
        yield "DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS", args, partial(_took_parameters, guest)
        if not self.override_pins and len(guest.stored_pins or ()) < vcpus:
            took = partial(self._took_stored_pins, guest, host.pcpus)
            yield "DOMAIN_GET_VCPU_PIN_INFO", (guest.dom, vcpus, length, _CONFIG), took

    def host_questions(self, host: HostFacts) -> Iterable[Question]:
        """Return what to ask about the host: now and then, how busy its pCPUs are."""
        return self._load.questions(host)

    def snapshot(self, time_ns: int, guests: Iterable[KnownGuest], host: HostFacts) -> CpuSnapshot:
        """Return what is to be seen now; guests of which not enough is known are left out."""
        if self._sensor is None:
            topology = topology_of_capabilities(host.capabilities, host.pcpus, host.memory_kib)
            self._sensor = CpuSensor(topology)
        ordered = sorted(guests, key=lambda guest: guest.name)
        known: dict[frozenset[int], frozenset[int]] = {}  # equal masks of a snapshot are one object
        seen = self._sensor.look(
            time_ns, (one for guest in ordered for one in self._readings(guest, host, known))
        )
        return replace(seen, host_share=self._load.look(seen))

    def why_not(self, guest: KnownGuest) -> str | None:
        """Return why a guest's vCPUs are left alone, or None."""
        if not guest.notes.schedule:
            return "its metadata says so"
        if guest.migrating:
            return "a job such as a migration runs on it"
        if guest.open_questions:
            return "libvirtd has not answered what was asked about it"
        if guest.stale:
            return "what is noted of it has to be read again"
        if not guest.runs:
            return "it does not run"
        return guest.hands_off

    def _readings(
        self,
        guest: KnownGuest,
        host: HostFacts,
        known: dict[frozenset[int], frozenset[int]],
    ) -> Iterable[VcpuReading]:
        movable = self.why_not(guest) is None
        for number in guest.vcpus:
            if number not in guest.pins:
                continue
            yield VcpuReading(
                key=VcpuKey(guest.name, number),
                life=guest.life,
                run_ns=guest.figures[f"vcpu.{number}.time"],
                delay_ns=guest.figures.get(f"vcpu.{number}.delay", 0),
                pcpus=known.setdefault(guest.pins[number], guest.pins[number]),
                last_on=guest.last_on.get(number),
                allowed=self.allowed(guest, number, host),
                weight=guest.weight,
                cap_share=guest.cap_share,
                movable=movable,
                memory_cells=guest.notes.memory_cells,
            )

    def allowed(self, guest: KnownGuest, number: int, host: HostFacts) -> frozenset[int] | None:
        """Return where an administrator lets a vCPU run: by a note, or by its description."""
        bounds = [] if len(host.online) == host.pcpus else [host.online]
        if guest.notes.pcpus is not None:
            bounds.append(guest.notes.pcpus)
        if guest.stored_pins is not None and number < len(guest.stored_pins):
            bounds.append(guest.stored_pins[number])
        return frozenset.intersection(*bounds) if bounds else None

    def _took_stored_pins(self, guest: KnownGuest, pcpus: int, answer: Answer) -> None:
        if answer.error is None:
            guest.stored_pins = masks_of(answer.results.cpumaps, answer.results.num, pcpus)
            return
        read = guest.pins.keys() >= set(guest.vcpus)
        if answer.error.code != ErrorCode.OPERATION_INVALID or not read:
            guest.stale = True  # to be asked again, once its affinities have been told
            return
        # Without a stored description: how it was before a daemon changed anything.
        known, everywhere = guest.stored_pins or [], frozenset(range(pcpus))
        guest.stored_pins = known + [
            self.first_pins.get((guest.life, n), guest.pins.get(n, everywhere))
            for n in range(len(known), max(guest.vcpus, default=-1) + 1)
        ]


def _took_description(guest: KnownGuest, answer: Answer) -> None:
    if answer.error is None:
        guest.notes, guest.described = notes_of(answer.results.xml), True
    else:
        guest.stale = True  # to be asked again


def _took_parameters(guest: KnownGuest, answer: Answer) -> None:
    if answer.error is not None:
        return
    found = {param.field: param.value for param in answer.results.params}
    guest.weight = found.get("cpu_shares", 1024)
    vcpus = max(len(guest.vcpus), 1)
    caps = [
        found[f"{scope}_quota"] / found[f"{scope}_period"] / share
        for scope, share in (("vcpu", 1), ("global", vcpus))
        if found.get(f"{scope}_quota", -1) > 0 and found.get(f"{scope}_period", 0) > 0
    ]
    guest.cap_share = min(caps, default=None)


def _took_vcpus(guest: KnownGuest, pcpus: int, answer: Answer) -> None:
    if answer.error is not None:
        guest.stale = True  # to be asked again
        return
    info, cpumaps = answer.results
    masks = masks_of(cpumaps, len(info), pcpus)
    numbers = [one.number for one in info]
    guest.last_on = {one.number: one.cpu for one in info if one.cpu >= 0}
    alone = guest.hands_off
    guest.read_pins(dict(zip(numbers, masks, strict=True)))
    if guest.hands_off is not None and alone is None:
        _log.warning("%s is left alone from now on: %s", guest.name, guest.hands_off)
