"""Events: what happened to a domain, who asked to be told, and in which message.

An event is copied when it is emitted, since a domain's id may have changed by the time at which
the message leaves. The server sends it after the reply of the call that caused it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from virtlab.hosts.simulated.driver.state import handle_of
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.typed import Param, ParamType
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.simulator.host import SimulatedGuest

__all__ = [
    "DomainEvent",
    "EventHub",
    "Subscriptions",
    "balloon_changed",
    "lifecycle",
    "lifecycle_events",
    "metadata_changed",
    "rebooted",
    "tunable",
    "tunables",
]

# virDomainEventID
_EVENT_IDS = 27  # VIR_DOMAIN_EVENT_ID_LAST
_OLD_EVENT_IDS = 16  # those that had messages before clients registered with a callback id
_LIFECYCLE = 0
_REBOOT = 1
_BALLOON_CHANGE = 13
_TUNABLE = 17
_METADATA_CHANGE = 23

# The messages of clients that registered with a callback id, and of very old ones without.
_MESSAGES = {
    _LIFECYCLE: "DOMAIN_EVENT_CALLBACK_LIFECYCLE",
    _REBOOT: "DOMAIN_EVENT_CALLBACK_REBOOT",
    _BALLOON_CHANGE: "DOMAIN_EVENT_CALLBACK_BALLOON_CHANGE",
    _TUNABLE: "DOMAIN_EVENT_CALLBACK_TUNABLE",
    _METADATA_CHANGE: "DOMAIN_EVENT_CALLBACK_METADATA_CHANGE",
}
_OLD_MESSAGES = {
    _LIFECYCLE: "DOMAIN_EVENT_LIFECYCLE",
    _REBOOT: "DOMAIN_EVENT_REBOOT",
    _BALLOON_CHANGE: "DOMAIN_EVENT_BALLOON_CHANGE",
}

# virDomainEventType and its detail. QEMU is ended by a signal, of which it tells before it goes.
_LIFECYCLE_OF = {
    "defined": ((0, 0),),
    "undefined": ((1, 0),),
    "started": ((2, 0),),
    "suspended": ((3, 0),),
    "resumed": ((4, 0),),
    "stopped": ((5, 0),),
    "killed": ((6, 2),),
    "destroyed": ((5, 1),),
    "crashed": ((5, 5),),  # STOPPED_FAILED: no SHUTDOWN came from QEMU before it was gone
    "shutdown": ((6, 1),),
}


# A client that registers for ever more is stopped here; libvirt's own fans out by itself.
_REGISTRATIONS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """Something that happened to one domain."""

    event_id: int
    dom: DomainHandle
    values: tuple[object, ...]


class EventHub:
    """Where handlers and the simulator leave events, and the server picks them up."""

    def __init__(self) -> None:
        self.sink: Callable[[DomainEvent], None] | None = None

    def emit(self, event: DomainEvent) -> None:
        """Hand an event to the server."""
        if self.sink is not None:
            self.sink(event)


class Subscriptions:
    """The registrations of one client, with the handlers that change them."""

    def __init__(self) -> None:
        self._by_callback: dict[int, tuple[int, bytes | None]] = {}
        self._old: set[int] = set()
        self._next_id = 0

    def messages(self, event: DomainEvent) -> Iterator[tuple[str, tuple[object, ...]]]:
        """Return each message, as procedure name and values, that the client gets."""
        body = (event.dom, *event.values)
        for callback_id, (event_id, uuid) in self._by_callback.items():
            if event_id == event.event_id and uuid in (None, event.dom.uuid):
                yield _MESSAGES[event_id], (callback_id, *body)
        if event.event_id in self._old and event.event_id in _OLD_MESSAGES:
            yield _OLD_MESSAGES[event.event_id], body

    def connect_domain_event_callback_register_any(
        self, event_id: int, dom: DomainHandle | None
    ) -> tuple[int]:
        """Register for one kind of event, of one domain or of all; most kinds never come."""
        if not 0 <= event_id < _EVENT_IDS:
            raise errors.internal_error(f"unsupported event ID {event_id}", domain=7)
        if len(self._by_callback) >= _REGISTRATIONS_MAX:
            raise errors.internal_error(
                f"a client may register for {_REGISTRATIONS_MAX} events at most"
            )
        callback_id = self._next_id
        self._next_id += 1
        self._by_callback[callback_id] = (event_id, None if dom is None else dom.uuid)
        return (callback_id,)

    def connect_domain_event_callback_deregister_any(self, callback_id: int) -> tuple[()]:
        """Take a registration back."""
        if self._by_callback.pop(callback_id, None) is None:
            raise errors.internal_error(
                f"domain event callback {callback_id} not registered", domain=7
            )
        return ()

    def connect_domain_event_register(self) -> tuple[int]:
        """Register for life-cycle events in the old style."""
        self._register_old(_LIFECYCLE)
        return (0,)

    def connect_domain_event_deregister(self) -> tuple[int]:
        """Take that back."""
        self._deregister_old(_LIFECYCLE)
        return (0,)

    def connect_domain_event_register_any(self, event_id: int) -> tuple[()]:
        """Register for one kind of event in the old style; later ones have no such message."""
        self._register_old(event_id)
        return ()

    def connect_domain_event_deregister_any(self, event_id: int) -> tuple[()]:
        """Take that back."""
        self._deregister_old(event_id)
        return ()

    def _register_old(self, event_id: int) -> None:
        _check_old(event_id)
        if event_id in self._old:
            raise errors.invalid_argument("event callback already tracked", errors.ErrorDomain.NONE)
        self._old.add(event_id)

    def _deregister_old(self, event_id: int) -> None:
        _check_old(event_id)
        if event_id not in self._old:
            raise errors.internal_error(f"domain event {event_id} not registered", domain=7)
        self._old.discard(event_id)


def _check_old(event_id: int) -> None:
    if not 0 <= event_id < _OLD_EVENT_IDS:
        raise errors.internal_error(f"unsupported event ID {event_id}", domain=7)


def lifecycle_events(guest: SimulatedGuest, what: str) -> list[DomainEvent]:
    """Return the events of a change of life that the simulator told, in libvirt's order."""
    dom = handle_of(guest)
    return [DomainEvent(_LIFECYCLE, dom, values) for values in _LIFECYCLE_OF.get(what, ())]


def balloon_changed(guest: SimulatedGuest, actual_kib: int) -> DomainEvent:
    """Return the event of a balloon that moved."""
    return DomainEvent(_BALLOON_CHANGE, handle_of(guest), (actual_kib,))


def rebooted(guest: SimulatedGuest) -> DomainEvent:
    """Return the event of a guest that restarts."""
    return DomainEvent(_REBOOT, handle_of(guest), ())


def tunable(guest: SimulatedGuest, field: str, value: str) -> DomainEvent:
    """Return the event of a changed tunable that is a text."""
    return tunables(guest, [Param(field, ParamType.STRING, value)])


def tunables(guest: SimulatedGuest, params: list[Param]) -> DomainEvent:
    """Return the event of tunables that were changed by one call."""
    return DomainEvent(_TUNABLE, handle_of(guest), (params,))


def lifecycle(dom: DomainHandle, event: int, detail: int) -> DomainEvent:
    """Return a life-cycle event that the simulator does not know of, such as DEFINED."""
    return DomainEvent(_LIFECYCLE, dom, (event, detail))


def metadata_changed(guest: SimulatedGuest, kind: int, uri: str | None) -> DomainEvent:
    """Return the event of a changed title, description or element of metadata."""
    return DomainEvent(_METADATA_CHANGE, handle_of(guest), (kind, uri))
