"""Handlers that define, create, undefine and rename domains."""

from __future__ import annotations

import uuid as uuids

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.definition import Definition, read_definition, read_name
from virtlab.hosts.simulated.driver.events import EventHub, lifecycle
from virtlab.hosts.simulated.driver.lifecycle import LifecycleHandlers
from virtlab.hosts.simulated.driver.state import DriverState, handle_of
from virtlab.hosts.simulated.driver.storage import check_file_name
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain, format_uuid
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.simulator.host import SimulatedGuest

__all__ = ["DefinitionHandlers"]

_VALIDATE = 1  # virDomainDefineFlags
_CREATE_VALIDATE = 16
_CREATE_FLAGS = 1 | 2 | 16 | 32  # paused, ended with the connection, validate, new NVRAM
_UNDEFINE_FLAGS = 0x7F  # managed save, snapshots, NVRAM, checkpoints, TPM: there are none of them

# virDomainEventType and its details
_DEFINED, _UNDEFINED = 0, 1
_ADDED, _UPDATED, _RENAMED_TO = 0, 1, 2
_REMOVED, _RENAMED_FROM = 0, 1

# Domains whose descriptions name no uuid get one that depends on what came before only.
_NAMESPACE = uuids.UUID("b2b3c4a4-2f0e-4d0c-8f5e-6a1d7c9e0b44")


class DefinitionHandlers:
    """Lets domains come and go."""

    def __init__(
        self, state: DriverState, events: EventHub, lifecycle_handlers: LifecycleHandlers
    ) -> None:
        self._state = state
        self._events = events
        self._lifecycle = lifecycle_handlers
        self._defined = 0

    def domain_define_xml(self, xml: str) -> tuple[DomainHandle]:
        """Define a domain, or give one another description from its next start on."""
        return self.domain_define_xml_flags(xml, 0)

    def domain_define_xml_flags(self, xml: str, flags: int) -> tuple[DomainHandle]:
        """Define a domain; the schema's part is a check for unknown elements."""
        refusals.check_flags(flags, _VALIDATE, "qemuDomainDefineXMLFlags")
        definition = self._read(xml, strict=bool(flags & _VALIDATE))
        guest = self._same(definition)
        check_file_name(definition.name)
        detail = _UPDATED
        if guest is None:
            guest = self._state.define(definition, persistent=True)
            detail = _ADDED
        else:
            self._state.redefine(guest, definition)
        self._events.emit(lifecycle(handle_of(guest), _DEFINED, detail))
        return (handle_of(guest),)

    def domain_create_xml(self, xml: str, flags: int) -> tuple[DomainHandle]:
        """Start a domain that is forgotten when it stops, unless it was defined before."""
        refusals.check_flags(flags, _CREATE_FLAGS, "qemuDomainCreateXML")
        definition = self._read(xml, strict=bool(flags & _CREATE_VALIDATE))
        guest = self._same(definition)
        if guest is not None and guest.id >= 0:
            raise errors.operation_invalid(f"domain '{guest.name}' is already active")
        check_file_name(definition.name, running=True)
        created = guest is None
        if guest is None:
            guest = self._state.define(definition, persistent=False)
        else:
            self._state.redefine(guest, definition)
        try:
            self._lifecycle.start(guest, flags)
        except errors.LibvirtError:
            if created:
                self._state.forget(guest)
            raise
        return (handle_of(guest),)

    def domain_undefine(self, dom: DomainHandle) -> tuple[()]:
        """Forget a domain's description; a running one goes on until it stops."""
        return self.domain_undefine_flags(dom, 0)

    def domain_undefine_flags(self, dom: DomainHandle, flags: int) -> tuple[()]:
        """Forget a domain's description, and what else is stored of it: nothing."""
        refusals.check_flags(flags, _UNDEFINE_FLAGS, "qemuDomainUndefineFlags")
        guest = self._state.guest(dom)
        config = self._state.config(guest)
        if not config.persistent:
            raise refusals.driver_invalid("cannot undefine transient domain")
        config.persistent = config.autostart = False
        handle = handle_of(guest)
        if guest.id < 0:
            self._state.forget(guest)
        self._events.emit(lifecycle(handle, _UNDEFINED, _REMOVED))
        return ()

    def domain_rename(self, dom: DomainHandle, new_name: str | None, flags: int) -> tuple[int]:
        """Give a stopped domain another name."""
        function = "virDomainRename"
        if not new_name:
            message = f"string new_name in {function} must not be empty"
            raise refusals.bad_argument(function, "new_name", message)
        refusals.check_flags(flags, 0, "qemuDomainRename")
        guest = self._state.guest(dom)
        if guest.id >= 0:
            raise refusals.driver_invalid("cannot rename active domain")
        if not self._state.config(guest).persistent:
            raise refusals.driver_invalid("cannot rename a transient domain")
        if new_name == guest.name:
            raise errors.operation_invalid("Can't rename domain to itself")
        if new_name in self._state.host.guests:
            raise errors.operation_invalid(f"domain with name '{new_name}' already exists")
        read_name(new_name, ErrorDomain.QEMU)
        check_file_name(new_name)
        old = handle_of(guest)
        self._state.host.rename(guest, new_name)
        self._events.emit(lifecycle(old, _UNDEFINED, _RENAMED_FROM))
        self._events.emit(lifecycle(handle_of(guest), _DEFINED, _RENAMED_TO))
        return (0,)

    def domain_set_autostart(self, dom: DomainHandle, autostart: int) -> tuple[()]:
        """Keep whether the domain starts with the host; the simulated host starts once only."""
        config = self._state.config(self._state.guest(dom))
        if not config.persistent:
            raise refusals.driver_invalid("cannot set autostart for transient domain")
        config.autostart = bool(autostart)
        return ()

    def _read(self, xml: str, *, strict: bool) -> Definition:
        self._defined += 1
        fresh = uuids.uuid5(_NAMESPACE, str(self._defined)).bytes
        return read_definition(xml, fresh, strict=strict)

    def _same(self, definition: Definition) -> SimulatedGuest | None:
        """Return the domain that a description means; None where it is a new one.

        Raises:
            LibvirtError: name and uuid are those of two domains.
        """
        named = self._state.host.guests.get(definition.name)
        known = self._state.by_uuid.get(definition.uuid)
        if known is not None and known is not named:
            raise errors.operation_failed(
                f"domain '{known.name}' is already defined with uuid "
                f"{format_uuid(definition.uuid)}",
                ErrorDomain.DOMAIN,
            )
        if named is not None and named is not known:
            raise errors.operation_failed(
                f"domain '{named.name}' already exists with uuid {format_uuid(named.uuid)}",
                ErrorDomain.DOMAIN,
            )
        return known
