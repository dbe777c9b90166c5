"""What all groups of handlers share: the host, its domains, and their stored configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.scenario import GuestSpec
from virtlab.simulator.host import SimulatedGuest, SimulatedHost

__all__ = [
    "CONFIG",
    "LIVE",
    "DomainConfig",
    "DriverState",
    "Observer",
    "SilentObserver",
    "handle_of",
]

# virDomainModificationImpact
LIVE = 1
CONFIG = 2


class Observer(Protocol):
    """Learns what clients changed on the host."""

    def pinned(self, guest: str, vcpu: int, pcpus: frozenset[int], effective: bool) -> None:
        """Note an affinity that was set."""

    def memory_set(self, guest: str, target_kib: int) -> None:
        """Note a balloon target that was set."""


class SilentObserver:
    """An observer that keeps nothing."""

    def pinned(self, guest: str, vcpu: int, pcpus: frozenset[int], effective: bool) -> None:
        """Do nothing."""

    def memory_set(self, guest: str, target_kib: int) -> None:
        """Do nothing."""


@dataclass(slots=True)
class DomainConfig:
    """What holds from a domain's next start on."""

    masks: list[frozenset[int]]
    memory_kib: int
    max_memory_kib: int
    live_max_memory_kib: int  # of the running domain, as it was at its start
    stats_period_s: int = 0  # of the running domain, or of the next start
    # vCPUs whose stored mask a client set; the others are left as the scenario has them.
    bound: set[int] = field(default_factory=set)


class DriverState:
    """The host behind the handlers, with its domains by uuid.

    A client's handle carries name, uuid and id as they were when it was looked up; only the
    uuid is trusted, since the id goes stale when the domain restarts.
    """

    def __init__(self, host: SimulatedHost, observer: Observer) -> None:
        self.host = host
        self.observer = observer
        self.all_pcpus = frozenset(range(host.spec.pcpus))
        self.by_uuid = {guest.uuid: guest for guest in host.guests.values()}
        self.configs = {
            guest.uuid: _config_of(guest.spec, self.all_pcpus) for guest in host.guests.values()
        }

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

    def config(self, guest: SimulatedGuest) -> DomainConfig:
        """Return what holds from the guest's next start on."""
        return self.configs[guest.uuid]

    def max_kib(self, guest: SimulatedGuest) -> int:
        """Return the largest size of a guest as it is now."""
        config = self.configs[guest.uuid]
        return config.live_max_memory_kib if guest.id >= 0 else config.max_memory_kib

    def impact(self, guest: SimulatedGuest, flags: int) -> tuple[bool, bool]:
        """Return whether flags of current, live and config mean the running guest, the stored one.

        Raises:
            LibvirtError: the running one is meant and the guest does not run.
        """
        live, config = bool(flags & LIVE), bool(flags & CONFIG)
        if not live and not config:
            live = guest.id >= 0
            config = not live
        if live and guest.id < 0:
            raise errors.not_running()
        return live, config

    def stopped(self, guest: SimulatedGuest) -> None:
        """Let a stopped guest take over the largest size stored for it."""
        config = self.config(guest)
        guest.set_max_memory(config.max_memory_kib)

    def started(self, guest: SimulatedGuest) -> None:
        """Let a started guest take over what was stored for its next start."""
        config = self.config(guest)
        config.live_max_memory_kib = config.max_memory_kib
        for number in sorted(config.bound):
            guest.pin(number, config.masks[number])
        if config.memory_kib != guest.spec.memory_kib:
            guest.set_memory(config.memory_kib)
        if config.stats_period_s:
            guest.set_stats_period(config.stats_period_s)


def handle_of(guest: SimulatedGuest) -> DomainHandle:
    """Return the handle of a guest as it is now."""
    return DomainHandle(guest.name, guest.uuid, guest.id)


def _config_of(spec: GuestSpec, all_pcpus: frozenset[int]) -> DomainConfig:
    return DomainConfig(
        masks=[all_pcpus if mask is None else frozenset(mask) for mask in spec.affinity],
        memory_kib=spec.memory_kib,
        max_memory_kib=spec.max_memory_kib,
        live_max_memory_kib=spec.max_memory_kib,
    )
