"""Handlers that start, stop, pause and restart domains."""

from __future__ import annotations

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.events import EventHub, rebooted
from virtlab.hosts.simulated.driver.state import DriverState, handle_of
from virtlab.hosts.simulated.driver.tuning import TuningHandlers
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.simulator.host import GuestState, SimulatedGuest

__all__ = ["LifecycleHandlers"]

# virDomainCreateFlags: paused, ended with the connection, past the cache, forced boot, new NVRAM.
_START_PAUSED = 1
_START_FLAGS = 1 | 2 | 4 | 8 | 32
_DESTROY_FLAGS = 1 | 2  # graceful; remove the logs
# virDomainShutdownFlagValues and virDomainRebootFlagValues
_POWER_BUTTON = 1
_AGENT = 2


class LifecycleHandlers:
    """Changes whether and how domains run."""

    def __init__(self, state: DriverState, events: EventHub, tuning: TuningHandlers) -> None:
        self._state = state
        self._events = events
        self._tuning = tuning

    def domain_create(self, dom: DomainHandle) -> tuple[()]:
        """Start a domain."""
        self.start(self._state.guest(dom), 0)
        return ()

    def domain_create_with_flags(self, dom: DomainHandle, flags: int) -> tuple[DomainHandle]:
        """Start a domain, perhaps paused, and return it with its new id."""
        refusals.check_flags(flags, _START_FLAGS, "qemuDomainCreateWithFlags")
        guest = self._state.guest(dom)
        self.start(guest, flags)
        return (handle_of(guest),)

    def domain_shutdown(self, dom: DomainHandle) -> tuple[()]:
        """Ask the guest to shut down; it takes its time."""
        return self.domain_shutdown_flags(dom, 0)

    def domain_shutdown_flags(self, dom: DomainHandle, flags: int) -> tuple[()]:
        """Ask the guest to shut down by its power button."""
        refusals.check_flags(flags, _POWER_BUTTON | _AGENT, "qemuDomainShutdownFlags")
        guest = self._state.guest(dom)
        if guest.id < 0:
            raise refusals.driver_invalid("domain is not running")
        if flags == _AGENT:
            raise refusals.no_agent()
        guest.shutdown()
        return ()

    def domain_destroy(self, dom: DomainHandle) -> tuple[()]:
        """End a domain at once."""
        self._state.running(dom).destroy()
        return ()

    def domain_destroy_flags(self, dom: DomainHandle, flags: int) -> tuple[()]:
        """End a domain at once."""
        refusals.check_flags(flags, _DESTROY_FLAGS, "qemuDomainDestroyFlags")
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
        refusals.check_flags(flags, _POWER_BUTTON | _AGENT, "qemuDomainReboot")
        guest = self._state.running(dom)
        if flags == _AGENT:
            raise refusals.no_agent()
        guest.reboot()
        self._events.emit(rebooted(guest))
        return ()

    def domain_reset(self, dom: DomainHandle, flags: int) -> tuple[()]:
        """Restart the guest's machine without asking its system."""
        refusals.check_flags(flags, 0, "qemuDomainReset")
        guest = self._state.running(dom)
        guest.reset()
        self._events.emit(rebooted(guest))
        return ()

    def start(self, guest: SimulatedGuest, flags: int) -> None:
        """Start a domain, paused where the flags ask for it.

        Raises:
            LibvirtError: it runs, or what is stored for it cannot be kept.
        """
        if guest.id >= 0:
            raise refusals.driver_invalid("domain is already running")
        self._tuning.check_start(guest)
        nodes = len(self._state.host.spec.layout.cells)
        self._state.config(guest).stored.numa.check_available(nodes)
        guest.start(paused=bool(flags & _START_PAUSED))
