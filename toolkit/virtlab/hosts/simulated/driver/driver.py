"""The driver: all handlers of the simulated host, found by the name of their procedure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from virtlab.hosts.simulated.driver.connection import ConnectionHandlers
from virtlab.hosts.simulated.driver.cpu import CpuHandlers
from virtlab.hosts.simulated.driver.definitions import DefinitionHandlers
from virtlab.hosts.simulated.driver.details import DetailHandlers
from virtlab.hosts.simulated.driver.devices import DeviceHandlers
from virtlab.hosts.simulated.driver.domains import DomainHandlers
from virtlab.hosts.simulated.driver.events import (
    EventHub,
    Subscriptions,
    balloon_changed,
    lifecycle_events,
)
from virtlab.hosts.simulated.driver.job_lock import JobLocks
from virtlab.hosts.simulated.driver.lifecycle import LifecycleHandlers
from virtlab.hosts.simulated.driver.limits import LimitHandlers
from virtlab.hosts.simulated.driver.memory import MemoryHandlers
from virtlab.hosts.simulated.driver.node import NodeHandlers
from virtlab.hosts.simulated.driver.notes import NoteHandlers
from virtlab.hosts.simulated.driver.resources import ResourceHandlers
from virtlab.hosts.simulated.driver.state import DriverState, Observer, SilentObserver
from virtlab.hosts.simulated.driver.statistics import StatisticsHandlers
from virtlab.hosts.simulated.driver.tuning import TuningHandlers
from virtlab.libvirt_rpc.procedures import BY_NAME
from virtlab.simulator.engine import EventHandle, Priority
from virtlab.simulator.host import SimulatedGuest, SimulatedHost

__all__ = ["Handler", "SimulatedDriver"]

# Takes a procedure's arguments in their order on the wire, returns its results in theirs.
Handler = Callable[..., Any]

# What procedures are about, by the first words of their names.
_SUBJECTS = (
    *("auth_", "connect_", "domain_", "node_"),
    *("network_", "storage_", "interface_", "secret_", "nwfilter_"),
)

# Of these statistics show nothing.
_PINS = frozenset({"DOMAIN_PIN_VCPU", "DOMAIN_PIN_VCPU_FLAGS", "DOMAIN_PIN_EMULATOR"})
_STOPS = frozenset({"stopped", "destroyed", "crashed"})


class SimulatedDriver:
    """Answers libvirt's calls from a simulated host.

    The method of a procedure has its name in lower case: DOMAIN_PIN_VCPU is `domain_pin_vcpu`.
    """

    def __init__(self, host: SimulatedHost, observer: Observer | None = None) -> None:
        """Take over the host's `on_balloon` and `on_lifecycle`.

        Args:
            host: the simulated host.
            observer: learns of affinities and balloon targets that clients set.
        """
        self.events = EventHub()
        self._state = DriverState(host, observer or SilentObserver())
        self._tuning = TuningHandlers(self._state, self.events)
        lifecycle = LifecycleHandlers(self._state, self.events, self._tuning)
        self.handlers: Mapping[str, Handler] = _methods(
            ConnectionHandlers(self._state),
            NodeHandlers(self._state),
            DomainHandlers(self._state),
            CpuHandlers(self._state, self.events),
            self._tuning,
            LimitHandlers(self._state),
            MemoryHandlers(self._state),
            StatisticsHandlers(self._state),
            lifecycle,
            DefinitionHandlers(self._state, self.events, lifecycle),
            NoteHandlers(self._state, self.events),
            DeviceHandlers(self._state),
            DetailHandlers(self._state),
            ResourceHandlers(),
        )
        if host.scheduler.columns is not None:
            self.handlers = {name: self._counted(name, do) for name, do in self.handlers.items()}
        self.locks = JobLocks(self._state)
        # Told that the daemon goes (True), or serves again (False).
        self.on_outage: Callable[[bool], None] = lambda _away: None
        host.on_outage = lambda away: self.on_outage(away)
        host.on_balloon = self._balloon_moved
        host.on_lifecycle = self._life_changed

    def handlers_for(self, subscriptions: Subscriptions) -> dict[str, Handler]:
        """Return all handlers of one client, with those of its own registrations."""
        return {**self.handlers, **_methods(subscriptions)}

    @property
    def now_ns(self) -> int:
        """Return the moment that the host has come to."""
        return self._state.host.now_ns

    def at(self, time_ns: int, action: Callable[[int], None]) -> EventHandle:
        """Have something done when the host comes to a moment."""
        return self._state.host.queue.schedule(time_ns, Priority.SCENARIO, action)

    def cancel(self, handle: EventHandle) -> None:
        """Have it not done."""
        self._state.host.queue.cancel(handle)

    def _counted(self, name: str, handler: Handler) -> Handler:
        """Count the calls that may change what bulk statistics show, for those who keep these."""
        if name in _PINS or not BY_NAME[name].changes_state:
            return handler

        def handle(*args: Any) -> Any:
            self._state.calls += 1
            return handler(*args)

        return handle

    def _balloon_moved(self, guest: SimulatedGuest) -> None:
        now_ns = self._state.host.now_ns
        self.events.emit(balloon_changed(guest, guest.memory.info_kib(now_ns)))

    def _life_changed(self, guest: SimulatedGuest, what: str) -> None:
        if what == "started":
            self._state.started(guest)
            self._tuning.started(guest)
        elif what == "defined":
            self._state.defined(guest)
        elif what == "undefined":
            self._state.undefined(guest)
        elif what in _STOPS:
            self._state.stopped(guest)
        for event in lifecycle_events(guest, what):
            self.events.emit(event)


def _methods(*groups: object) -> dict[str, Handler]:
    return {
        name.upper(): getattr(group, name)
        for group in groups
        for name in dir(type(group))
        if name.startswith(_SUBJECTS)
    }
