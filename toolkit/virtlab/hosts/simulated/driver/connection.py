"""Handlers of the connection itself: opening, features, versions and names."""

from __future__ import annotations

import uuid as uuids

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.descriptions import capabilities_xml
from virtlab.hosts.simulated.driver.machines import (
    CPU_MODELS,
    HOST_ARCHITECTURE,
    OTHER_ARCHITECTURES,
    domain_capabilities_xml,
)
from virtlab.hosts.simulated.driver.state import DriverState
from virtlab.libvirt_rpc import errors

__all__ = ["HOSTNAME", "ConnectionHandlers"]

HOSTNAME = "virtlab"
URI = "qemu:///system"

# Versions of the libvirt and the QEMU whose behaviour this host shows.
LIBVIRT_VERSION = 9_000_000
QEMU_VERSION = 7_002_022

_AUTH_NONE = 0
# virDrvFeature: string parameters, keepalive, event callbacks with filter, close callback.
_FEATURES = frozenset({9, 10, 14, 15})
# qemuConnectGetMaxVcpus: 16 where no type is given or QEMU emulates; KVM allows for more.
_MAX_VCPUS = {None: 16, "qemu": 16, "kvm": 255}

_HOST_NAMESPACE = uuids.UUID("f8ff4c4f-6b6c-4c5b-9d5c-0d7f3f1c5a10")


class ConnectionHandlers:
    """Answers what a client asks when it connects, and who the host is."""

    def __init__(self, state: DriverState) -> None:
        spec = state.host.spec
        host_uuid = uuids.uuid5(_HOST_NAMESPACE, f"{spec.pcpus}/{spec.memory_kib}").bytes
        self._capabilities = capabilities_xml(spec, host_uuid)

    def auth_list(self) -> tuple[list[int]]:
        """Offer one way of authentication: none."""
        return ([_AUTH_NONE],)

    def connect_supports_feature(self, feature: int) -> tuple[int]:
        """Tell whether a feature of the protocol is offered."""
        return (int(feature in _FEATURES),)

    def connect_open(self, name: str | None, flags: int) -> tuple[()]:
        """Open the QEMU driver; the client strips the transport from its URI before."""
        if name and not name.startswith("qemu:"):
            raise errors.no_connection(name)
        return ()

    def connect_close(self) -> tuple[()]:
        """Take leave; the client closes the socket itself."""
        return ()

    def connect_get_uri(self) -> tuple[str]:
        """Return the URI of the driver."""
        return (URI,)

    def connect_get_type(self) -> tuple[str]:
        """Return the name of the driver."""
        return ("QEMU",)

    def connect_get_version(self) -> tuple[int]:
        """Return QEMU's version."""
        return (QEMU_VERSION,)

    def connect_get_lib_version(self) -> tuple[int]:
        """Return libvirt's version."""
        return (LIBVIRT_VERSION,)

    def connect_get_hostname(self) -> tuple[str]:
        """Return the host's name."""
        return (HOSTNAME,)

    def connect_is_secure(self) -> tuple[int]:
        """Say yes: a UNIX socket cannot be overheard."""
        return (1,)

    def connect_get_max_vcpus(self, kind: str | None) -> tuple[int]:
        """Return how many vCPUs a domain may have."""
        count = _MAX_VCPUS.get(None if kind is None else kind.lower())
        if count is None:
            raise errors.invalid_argument(f"unknown type '{kind}'")
        return (count,)

    def connect_get_capabilities(self) -> tuple[str]:
        """Return the host's capabilities as XML."""
        return (self._capabilities,)

    def connect_get_sysinfo(self, flags: int) -> tuple[str]:
        """Refuse: a simulated machine has no firmware that could tell of it."""
        refusals.check_flags(flags, 0, "qemuConnectGetSysinfo")
        raise errors.config_unsupported("Host SMBIOS information is not available")

    def connect_get_cpu_model_names(
        self, arch: str, need_results: int, flags: int
    ) -> tuple[list[str], int]:
        """Return the names of the CPU models that libvirt knows for an architecture."""
        refusals.check_flags(flags, 0, "qemuConnectGetCPUModelNames")
        if arch not in OTHER_ARCHITECTURES and arch != HOST_ARCHITECTURE:
            raise errors.invalid_argument(f"cannot find architecture {arch}")
        models = list(CPU_MODELS) if arch == HOST_ARCHITECTURE else []
        return (models if need_results else [], len(models))

    def connect_get_domain_capabilities(
        self,
        emulator: str | None,
        arch: str | None,
        machine: str | None,
        kind: str | None,
        flags: int,
    ) -> tuple[str]:
        """Return what a domain on this host may have, as XML."""
        refusals.check_flags(flags, 0, "qemuConnectGetDomainCapabilities")
        return (domain_capabilities_xml(emulator, arch, machine, kind),)

    def connect_register_close_callback(self) -> tuple[()]:
        """Take note, without effect: a daemon that is killed tells nobody."""
        return ()

    def connect_unregister_close_callback(self) -> tuple[()]:
        """Take that back."""
        return ()
