"""One host and its guests, as they stand there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

from virtlab.guests.definition import Notes, mac_of, notes_of
from virtlab.hosts.real.connection import LIBVIRT_SOCKET, HostConnection
from virtlab.hosts.real.guests import MARK
from virtlab.libvirt_rpc.errors import ErrorCode, LibvirtError
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["GuestHost", "StandingGuest", "guest_host"]

_INACTIVE: Final = 2  # VIR_DOMAIN_XML_INACTIVE
_LEASE: Final = 0  # VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE
_IPV4: Final = 0  # VIR_IP_ADDR_TYPE_IPV4


@dataclass(frozen=True, slots=True)
class StandingGuest:
    """A domain of any maker's, as it stands on its host."""

    dom: DomainHandle
    tree: ElementTree.Element  # its stored description

    @property
    def name(self) -> str:
        """Its name."""
        return self.dom.name

    @property
    def uuid(self) -> str:
        """Its UUID, as 32 hex digits."""
        return self.dom.uuid.hex()

    @property
    def running(self) -> bool:
        """Tell whether it runs."""
        return self.dom.id >= 0

    @property
    def ours(self) -> bool:
        """Tell whether the lab made it."""
        return self.tree.find(f"metadata/{{{MARK}}}guest") is not None

    @property
    def notes(self) -> Notes | None:
        """What the lab noted at its making; None for a micro-guest, and where it is not ours."""
        return notes_of(self.tree)

    @property
    def kind(self) -> str:
        """What it was made as: cloud, uvt, micro, or other where the lab did not make it."""
        if not self.ours:
            return "other"
        return "micro" if self.notes is None else self.notes.kind

    @property
    def accelerator(self) -> str:
        """What it runs on: kvm, or qemu for emulation."""
        return self.tree.get("type", "qemu")

    @property
    def disks(self) -> list[Path]:
        """The files of its disks."""
        sources = self.tree.findall("devices/disk/source")
        return [Path(file) for source in sources if (file := source.get("file")) is not None]

    @property
    def serial_log(self) -> Path | None:
        """Where its serial console is kept."""
        source = self.tree.find("devices/serial/source")
        path = None if source is None else source.get("path")
        return None if path is None else Path(path)


@dataclass(frozen=True, slots=True)
class GuestHost:
    """A host."""

    connection: HostConnection

    def call(self, name: str, *args: Any) -> Any:
        """Return what a call to its libvirtd brings; errors are those of `HostConnection.call`."""
        return self.connection.call(name, *args)

    def find(self, name: str) -> StandingGuest | None:
        """Return a domain by its name, or None.

        Raises:
            LibvirtError: libvirtd refused it.
        """
        try:
            dom = DomainHandle(*self.call("DOMAIN_LOOKUP_BY_NAME", name).dom)
            return self._standing(dom)
        except LibvirtError as err:
            if err.code == ErrorCode.NO_DOMAIN:
                return None
            raise

    def all(self) -> list[StandingGuest]:
        """Return all domains, sorted by name."""
        found = self.call("CONNECT_LIST_ALL_DOMAINS", 1, 0).domains
        names = sorted(dom.name for dom in found)
        return [guest for name in names if (guest := self.find(name)) is not None]

    def descriptions(self) -> list[ElementTree.Element]:
        """Return how all domains are stored, and how those that run are at present."""
        found = []
        for guest in self.all():
            found.append(guest.tree)
            if guest.running:
                with suppress(LibvirtError):  # it went in the meantime
                    found.append(
                        ElementTree.fromstring(self.call("DOMAIN_GET_XML_DESC", guest.dom, 0).xml)
                    )
        return found

    def address(self, guest: StandingGuest) -> str | None:
        """Return the address that a guest's first card has leased, or None."""
        if not guest.running:
            return None
        mac = mac_of(guest.tree)
        try:
            cards = self.call("DOMAIN_INTERFACE_ADDRESSES", guest.dom, _LEASE, 0).ifaces
        except LibvirtError:
            return None  # none that leases, or it was just stopped
        leased = [
            address.addr
            for card in cards
            for address in card.addrs
            if card.hwaddr == mac and address.type == _IPV4
        ]
        return leased[-1] if leased else None

    def _standing(self, dom: DomainHandle) -> StandingGuest:
        text = self.call("DOMAIN_GET_XML_DESC", dom, _INACTIVE).xml
        return StandingGuest(dom, ElementTree.fromstring(text))


@contextmanager
def guest_host(socket: Path = LIBVIRT_SOCKET) -> Iterator[GuestHost]:
    """Give a host by its libvirtd's socket.

    Raises:
        EnvironmentLackError: libvirtd does not answer.
    """
    with HostConnection(socket) as connection:
        yield GuestHost(connection)
