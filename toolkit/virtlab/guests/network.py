"""The network that guests are on: libvirt's own, started for them, and stopped after the last."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.journal import state_folder
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.procedures.networks import (
    NETWORK_CREATE,
    NETWORK_DESTROY,
    NETWORK_IS_ACTIVE,
)

__all__ = ["network_up", "networks_of", "unused_network_down"]

_PACKAGES: Final = "libvirt-daemon-config-network dnsmasq-base iptables"
_DEFAULT_XML: Final = "/usr/share/libvirt/networks/default.xml"  # of the first of these packages


def network_up(connection: HostConnection, name: str) -> None:
    """Have a network of libvirt's up; start it where it is down.

    Raises:
        EnvironmentLackError: it is not there, or cannot be started.
    """
    install = f"sudo apt-get install --no-install-recommends {_PACKAGES}"
    try:
        network = connection.call("NETWORK_LOOKUP_BY_NAME", name).item
    except LibvirtError as err:
        define = f"{install}; virsh net-define {_DEFAULT_XML}"
        raise EnvironmentLackError(
            f"There is no network {name} on this host: {err.message}.",
            fix=define if name == "default" else "virsh net-list --all shows those that are there",
        ) from err
    try:
        if not connection.request(NETWORK_IS_ACTIVE, network).active:
            _started(name).parent.mkdir(parents=True, exist_ok=True)
            _started(name).touch()  # before it is done, so that a kill in between loses nothing
            connection.request(NETWORK_CREATE, network)
    except LibvirtError as err:
        raise EnvironmentLackError(
            f"The network {name} is down and does not start: {err.message}.",
            fix=f"{install}; or another has its addresses: virsh net-dumpxml {name}",
        ) from err


def networks_of(tree: ElementTree.Element) -> set[str]:
    """Return the networks that a domain's cards are on."""
    sources = tree.findall("devices/interface[@type='network']/source")
    return {source.get("network", "") for source in sources}


def unused_network_down(
    connection: HostConnection, name: str, others: Iterable[ElementTree.Element]
) -> None:
    """Stop a network that was started for guests, once no domain is on it any more.

    Args:
        connection: to the host.
        name: of the network.
        others: the descriptions of all domains that there are.

    Raises:
        LibvirtError: libvirtd refused it.
    """
    started = _started(name)
    if not started.exists() or any(name in networks_of(tree) for tree in others):
        return
    network = connection.call("NETWORK_LOOKUP_BY_NAME", name).item
    if connection.request(NETWORK_IS_ACTIVE, network).active:
        connection.request(NETWORK_DESTROY, network)
    started.unlink()


def _started(name: str) -> Path:
    """Return the file that tells that a network was down before there were guests on it."""
    return state_folder() / "guests" / f"started-{name}"
