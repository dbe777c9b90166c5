"""The lab's own guests on a real host: those whose description carries the lab's mark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from virtlab.hosts.real.connection import HostConnection
from virtlab.libvirt_rpc.errors import ErrorCode, LibvirtError

__all__ = ["OwnGuest", "own_guests", "remove_guest"]

MARK: Final = "urn:virtlab:guest:1"  # the namespace of the mark; the playbooks set it
# Without them libvirt refuses to undefine a domain that was saved at a shutdown, or has a snapshot:
# VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | SNAPSHOTS_METADATA | NVRAM | CHECKPOINTS_METADATA.
_WITH_ALL: Final = 1 | 2 | 4 | 16
_METADATA_ELEMENT: Final = 2  # VIR_DOMAIN_METADATA_ELEMENT


@dataclass(frozen=True, slots=True)
class OwnGuest:
    """A guest of the lab's making."""

    name: str
    running: bool


def own_guests(connection: HostConnection) -> list[OwnGuest]:
    """Return the lab's guests, sorted by name; nobody else's domains are among them."""
    found = connection.call("CONNECT_LIST_ALL_DOMAINS", 1, 0).domains
    return sorted(
        (OwnGuest(dom.name, dom.id >= 0) for dom in found if _is_ours(connection, dom)),
        key=lambda guest: guest.name,
    )


def remove_guest(connection: HostConnection, name: str) -> None:
    """Stop a guest and remove it.

    Raises:
        LibvirtError: libvirtd refused it.
    """
    dom = connection.call("DOMAIN_LOOKUP_BY_NAME", name).dom
    if dom.id >= 0:
        connection.call("DOMAIN_DESTROY", dom)
    try:
        connection.call("DOMAIN_UNDEFINE_FLAGS", dom, _WITH_ALL)
    except LibvirtError as err:
        if err.code != ErrorCode.NO_DOMAIN:  # a transient one went with its run
            raise


def _is_ours(connection: HostConnection, dom: object) -> bool:
    try:
        connection.call("DOMAIN_GET_METADATA", dom, _METADATA_ELEMENT, MARK, 0)
    except LibvirtError as err:
        if err.code in (ErrorCode.NO_DOMAIN_METADATA, ErrorCode.NO_DOMAIN):
            return False
        raise
    return True
