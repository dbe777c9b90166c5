"""What all groups of handlers share: the host, its domains, and their stored configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.config import (
    Disk,
    DomainConfig,
    config_of_definition,
    config_of_guest,
)
from virtlab.hosts.simulated.driver.definition import Definition
from virtlab.hosts.simulated.driver.storage import RUN, Storage, size_of_definition
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.scenario import GuestSpec
from virtlab.model.units import mib
from virtlab.simulator.host import SimulatedGuest, SimulatedHost

__all__ = [
    "CONFIG",
    "LIVE",
    "STORED_NOTES",
    "STRING_OKAY",
    "DomainConfig",
    "DriverState",
    "Observer",
    "SilentObserver",
    "handle_of",
]

# virDomainModificationImpact
LIVE = 1
CONFIG = 2
# virTypedParameterFlags: the client takes texts among parameters.
STRING_OKAY = 4

# Parts of what is stored of a domain; those of a run begin with RUN.
_DESCRIPTION = "description"
STORED_NOTES = "note"

# What a guest that a client defines holds, unless it is too small for that: a scenario's defaults.
_KERNEL_KIB = mib(64)
_PROCESSES_KIB = mib(88)
_CACHE_KIB = mib(170)


class Observer(Protocol):
    """Learns what clients changed on the host."""

    def pinned(self, guest: str, vcpu: int, pcpus: frozenset[int], effective: bool) -> None:
        """Note an affinity that was set."""

    def memory_set(self, guest: str, target_kib: int) -> None:
        """Note a balloon target that was set."""

    def started(self, guest: str, masks: Sequence[frozenset[int]]) -> None:
        """Note the affinities with which a guest started."""


class SilentObserver:
    """An observer that keeps nothing."""

    def pinned(self, guest: str, vcpu: int, pcpus: frozenset[int], effective: bool) -> None:
        """Do nothing."""

    def memory_set(self, guest: str, target_kib: int) -> None:
        """Do nothing."""

    def started(self, guest: str, masks: Sequence[frozenset[int]]) -> None:
        """Do nothing."""


class DriverState:
    """The host behind the handlers, with its domains by uuid.

    A client's handle carries name, uuid and id as they were when it was looked up; only the
    uuid is trusted, since the id goes stale when the domain restarts.
    """

    def __init__(self, host: SimulatedHost, observer: Observer) -> None:
        self.host = host
        self.observer = observer
        self.all_pcpus = frozenset(range(host.spec.pcpus))
        self.calls = 0  # that may have changed something
        self.by_uuid = {guest.uuid: guest for guest in host.guests.values()}
        self.by_id: dict[int, SimulatedGuest] = {}
        self._vnets = 0
        self.storage = Storage()
        self.configs = {
            guest.uuid: config_of_guest(guest.spec, self.all_pcpus)
            for guest in host.guests.values()
        }
        for guest in sorted(host.guests.values(), key=lambda guest: guest.id):
            if guest.id >= 0:
                self._note_start(guest)

    # Domains behind handles.

    def guest(self, dom: DomainHandle) -> SimulatedGuest:
        """Return the guest behind a handle.

        Raises:
            LibvirtError: there is none with its uuid.
        """
        guest = self.by_uuid.get(dom.uuid)
        if guest is None:
            raise errors.no_domain_with_uuid(dom.uuid, dom.name)
        return guest

    def running(self, dom: DomainHandle) -> SimulatedGuest:
        """Return the running guest behind a handle.

        Raises:
            LibvirtError: there is none with its uuid, or it is not running.
        """
        guest = self.guest(dom)
        if guest.id < 0:
            raise errors.not_running()
        return guest

    @property
    def changes(self) -> tuple[int, int, int]:
        """Return what is the same as long as nothing happened but that vCPUs ran on."""
        return (self.calls, self.host.changes, self.host.host_memory.changes)

    def config(self, guest: SimulatedGuest) -> DomainConfig:
        """Return what holds from the guest's next start on."""
        return self.configs[guest.uuid]

    def max_kib(self, guest: SimulatedGuest) -> int:
        """Return the largest size of a guest as it is now."""
        config = self.configs[guest.uuid]
        return config.live_max_memory_kib if guest.id >= 0 else config.max_memory_kib

    def disks(self, guest: SimulatedGuest) -> Sequence[Disk]:
        """Return the guest's disks."""
        return self.configs[guest.uuid].now.disks

    def vnets(self, guest: SimulatedGuest) -> Sequence[str]:
        """Return the host's ends of a running guest's interfaces."""
        return self.configs[guest.uuid].vnets

    def permitted(self, mask: frozenset[int] | None) -> frozenset[int]:
        """Return the pCPUs of a stored mask that the host has; all where there are none.

        No client starts a domain that names others, but a scenario's event may.
        """
        return (self.all_pcpus if mask is None else mask & self.all_pcpus) or self.all_pcpus

    def impact(self, guest: SimulatedGuest, flags: int) -> tuple[bool, bool]:
        """Return whether flags of current, live and config mean the running guest, the stored one.

        Raises:
            LibvirtError: the running one is meant and the guest does not run, or the stored one
                of a guest that is forgotten when it stops.
        """
        live, config = bool(flags & LIVE), bool(flags & CONFIG)
        if not live and not config:
            live = guest.id >= 0
            config = not live
        if live and guest.id < 0:
            raise errors.not_running()
        if config and not self.configs[guest.uuid].persistent:
            raise refusals.transient()
        return live, config

    # Domains that come and go.

    def define(self, definition: Definition, *, persistent: bool) -> SimulatedGuest:
        """Take a new domain in, stopped.

        The caller has made sure that neither its name nor its uuid is taken.

        Raises:
            LibvirtError: there is no room to keep it.
        """
        size = size_of_definition(definition)
        self.storage.keep(definition.uuid, definition.name, {_DESCRIPTION: size})
        config = config_of_definition(definition, self.all_pcpus)
        config.persistent = persistent
        spec = self._spec_of(_ordinary_system(definition.name), config)
        guest = self.host.define(spec, definition.uuid)
        self.by_uuid[guest.uuid] = guest
        self.configs[guest.uuid] = config
        return guest

    def redefine(self, guest: SimulatedGuest, definition: Definition) -> None:
        """Give a domain another description, from its next start on.

        Raises:
            LibvirtError: there is no room to keep it.
        """
        parts = {_DESCRIPTION: size_of_definition(definition)}
        if guest.id >= 0 and not self.storage.size(guest.uuid, RUN):
            # Until it stops it has the description with which it was started.
            parts[RUN] = self.storage.size(guest.uuid, _DESCRIPTION)
        self.storage.keep(guest.uuid, guest.name, parts)
        self.storage.drop(guest.uuid, STORED_NOTES)
        config = self.configs[guest.uuid]
        fresh = config_of_definition(definition, self.all_pcpus)
        fresh.autostart = config.autostart
        if guest.id >= 0:
            fresh.live, fresh.live_id, fresh.vnets = config.live, config.live_id, config.vnets
            fresh.live_max_memory_kib = config.live_max_memory_kib
            fresh.live_vcpus_max = config.live_vcpus_max
            self.configs[guest.uuid] = fresh
            return
        self.configs[guest.uuid] = fresh
        guest.redefine(self._spec_of(guest.spec, fresh))

    def forget(self, guest: SimulatedGuest) -> None:
        """Let a stopped domain go for ever."""
        self.storage.drop(guest.uuid)
        del self.by_uuid[guest.uuid]
        del self.configs[guest.uuid]
        self.host.forget(guest)

    # What the simulator tells.

    def defined(self, guest: SimulatedGuest) -> None:
        """Take in a guest that the host's administrator defined."""
        self.by_uuid[guest.uuid] = guest
        self.configs[guest.uuid] = config_of_guest(guest.spec, self.all_pcpus)

    def undefined(self, guest: SimulatedGuest) -> None:
        """Let go of a guest that the administrator undefined, now or when it stops."""
        if guest.id >= 0:
            config = self.configs[guest.uuid]
            config.persistent = config.autostart = False
            return
        self.storage.drop(guest.uuid)
        del self.by_uuid[guest.uuid]
        del self.configs[guest.uuid]

    def stopped(self, guest: SimulatedGuest) -> None:
        """Let a stopped guest take over what is stored for its next start, or forget it."""
        config = self.config(guest)
        self.by_id.pop(config.live_id, None)
        config.live, config.live_id, config.vnets = None, -1, ()
        self.storage.drop(guest.uuid, RUN)
        config.live_vcpus_max = config.vcpus_max
        if not config.persistent:
            self.forget(guest)
            return
        for number, mask in enumerate(config.masks[: len(guest.vcpus)]):
            guest.pin(number, self.permitted(mask))  # what was set live ends with the run
        self.apply(guest)

    def apply(self, guest: SimulatedGuest) -> None:
        """Give a stopped guest the size and the vCPUs that are stored for it."""
        config = self.config(guest)
        if config.stored.template is not None:
            guest.redefine(self._spec_of(guest.spec, config))
        elif config.vcpus != guest.spec.vcpus:  # the scenario's guest, otherwise as it was
            affinity = tuple(self._affinity(mask) for mask in config.masks[: config.vcpus])
            guest.redefine(replace(guest.spec, vcpus=config.vcpus, affinity=affinity))
        guest.set_max_memory(config.max_memory_kib)

    def started(self, guest: SimulatedGuest) -> None:
        """Let a started guest take over what was stored for its next start."""
        config = self.config(guest)
        self._note_start(guest)
        numa = config.now.numa
        nodes = (numa.nodes or frozenset()).intersection(range(len(self.host.spec.layout.cells)))
        if nodes:
            guest.place_memory(nodes, evenly=numa.evenly)
        config.live_max_memory_kib = config.max_memory_kib
        config.live_vcpus_max = config.vcpus_max
        for number in sorted(config.bound):
            if number < len(guest.vcpus):
                guest.pin(number, config.masks[number])
        self.observer.started(guest.name, [vcpu.mask for vcpu in guest.vcpus])
        if config.memory_kib != guest.spec.memory_kib:
            guest.set_memory(config.memory_kib)
        if config.stored.stats_period_s:
            guest.set_stats_period(config.stored.stats_period_s)

    def _note_start(self, guest: SimulatedGuest) -> None:
        config = self.config(guest)
        self.by_id[guest.id] = guest
        config.live_id = guest.id
        config.live = config.stored.copy()
        first, self._vnets = self._vnets, self._vnets + config.stored.interfaces
        config.vnets = tuple(f"vnet{number}" for number in range(first, self._vnets))

    def _spec_of(self, system: GuestSpec, config: DomainConfig) -> GuestSpec:
        """Return the guest that a description asks for, with the system that is given."""
        size = config.memory_kib
        parts = (system.kernel_kib, system.processes_kib, system.cache_kib)
        if sum(parts) > size:  # a smaller one, then
            parts = (min(parts[0], size // 4), min(parts[1], size // 4), min(parts[2], size // 4))
        kernel_kib, processes_kib, cache_kib = parts
        return replace(
            system,
            vcpus=config.vcpus,
            memory_kib=size,
            max_memory_kib=config.max_memory_kib,
            affinity=tuple(self._affinity(mask) for mask in config.masks[: config.vcpus]),
            kernel_kib=kernel_kib,
            processes_kib=processes_kib,
            cache_kib=cache_kib,
            deflate_on_oom=config.deflate_on_oom,
            memory_cell=None,  # its settings say where
        )

    def _affinity(self, mask: frozenset[int]) -> tuple[int, ...] | None:
        permitted = self.permitted(mask)
        return None if permitted == self.all_pcpus else tuple(sorted(permitted))


def handle_of(guest: SimulatedGuest) -> DomainHandle:
    """Return the handle of a guest as it is now."""
    return DomainHandle(guest.name, guest.uuid, guest.id)


def _ordinary_system(name: str) -> GuestSpec:
    """Return a guest with an ordinary system in it; its description says the rest."""
    return GuestSpec(
        name=name,
        vcpus=1,
        memory_kib=0,
        max_memory_kib=0,
        affinity=(None,),
        kernel_kib=_KERNEL_KIB,
        processes_kib=_PROCESSES_KIB,
        cache_kib=_CACHE_KIB,
    )
