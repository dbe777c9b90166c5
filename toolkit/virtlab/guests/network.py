"""The network that guests are on: libvirt's own, started for them, and stopped after the last."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
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
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


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
            _start(connection, name, network)
        elif not _started_by_us(name, network):
            _mark(name).unlink(missing_ok=True)
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
        others: the descriptions of all domains that there are, as stored and as they run.

    Raises:
        LibvirtError: libvirtd refused it.
    """
    if not _mark(name).exists() or any(name in networks_of(tree) for tree in others):
        return
    network = connection.call("NETWORK_LOOKUP_BY_NAME", name).item
    if _started_by_us(name, network) and connection.request(NETWORK_IS_ACTIVE, network).active:
        connection.request(NETWORK_DESTROY, network)
    _mark(name).unlink(missing_ok=True)


def _start(connection: HostConnection, name: str, network: Any) -> None:
    """Start a network, and note before that it was down, so that a kill in between loses nothing.

    Raises:
        EnvironmentLackError: the note cannot be written.
        LibvirtError: it does not start, and nothing is noted.
    """
    path = _mark(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_note(network)))
    except OSError as err:
        raise EnvironmentLackError(
            f"{path} cannot be written: {err.strerror}; without it nobody would know that the "
            f"network {name} was down.",
            fix="be root, or name a folder that you may write to in VIRTLAB_STATE_DIR",
        ) from err
    try:
        connection.request(NETWORK_CREATE, network)
    except LibvirtError:
        path.unlink(missing_ok=True)  # whoever starts it now is not us
        raise


def _started_by_us(name: str, network: Any) -> bool:
    """Tell whether the lab started it as it is now: the same network, since the same boot."""
    try:
        return bool(json.loads(_mark(name).read_text()) == _note(network))
    except (OSError, ValueError):
        return False


def _note(network: Any) -> dict[str, str]:
    return {"network": network.uuid.hex(), "boot": _BOOT.read_text().strip()}


def _mark(name: str) -> Path:
    """Return the file that tells that a network was down before there were guests on it."""
    return state_folder() / "networks" / f"{quote(name, safe='')}.json"
