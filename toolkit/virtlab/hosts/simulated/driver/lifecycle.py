"""Handlers that start, stop, pause and restart domains."""

from __future__ import annotations

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.events import EventHub, rebooted
from virtlab.hosts.simulated.driver.state import DriverState, handle_of
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.simulator.host import GuestState, SimulatedGuest

__all__ = ["LifecycleHandlers"]


class LifecycleHandlers:
    """Changes whether and how domains run."""

    def __init__(self, state: DriverState, events: EventHub) -> None:
        self._state = state
        self._events = events

    def domain_create(self, dom: DomainHandle) -> tuple[()]:
        """Start a domain."""
        self._start(dom)
        return ()

    def domain_create_with_flags(self, dom: DomainHandle, flags: int) -> tuple[DomainHandle]:
        """Start a domain and return it with its new id."""
        return (handle_of(self._start(dom)),)

    def domain_shutdown(self, dom: DomainHandle) -> tuple[()]:
        """Ask the guest to shut down; it takes its time."""
        self._state.running(dom).shutdown()
        return ()

    def domain_shutdown_flags(self, dom: DomainHandle, flags: int) -> tuple[()]:
        """Ask the guest to shut down, in whichever way."""
        return self.domain_shutdown(dom)

    def domain_destroy(self, dom: DomainHandle) -> tuple[()]:
        """End a domain at once."""
        self._state.running(dom).destroy()
        return ()

    def domain_destroy_flags(self, dom: DomainHandle, flags: int) -> tuple[()]:
        """End a domain at once."""
        return self.domain_destroy(dom)

    def domain_suspend(self, dom: DomainHandle) -> tuple[()]:
        """Pause a domain; pausing a paused one changes nothing."""
        guest = self._state.running(dom)
        if guest.state != GuestState.PAUSED:
            guest.suspend()
        return ()

    def domain_resume(self, dom: DomainHandle) -> tuple[()]:
        """Let a paused domain go on."""
        guest = self._state.running(dom)
        if guest.state != GuestState.PAUSED:
            raise refusals.driver_invalid("domain is already running")
        guest.resume()
        return ()

    def domain_reboot(self, dom: DomainHandle, flags: int) -> tuple[()]:
        """Restart the guest's system; the domain keeps its id."""
        guest = self._state.running(dom)
        guest.reboot()
        self._events.emit(rebooted(guest))
        return ()

    def domain_reset(self, dom: DomainHandle, flags: int) -> tuple[()]:
        """Restart the guest's machine without asking its system."""
        guest = self._state.running(dom)
        guest.reset()
        self._events.emit(rebooted(guest))
        return ()

    def _start(self, dom: DomainHandle) -> SimulatedGuest:
        guest = self._state.guest(dom)
        if guest.id >= 0:
            raise refusals.driver_invalid("domain is already running")
        guest.start()
        return guest
