"""Handlers of jobs, guest agents, snapshots and security labels: a domain here has none of them."""

from __future__ import annotations

from typing import Any, NoReturn

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.state import DriverState
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorCode, LibvirtError
from virtlab.libvirt_rpc.typed import Param
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["DetailHandlers"]

_NO_JOB = 0  # virDomainJobType
_JOB_FLAGS = 1 | 2  # completed; and kept after that
_MESSAGE_FLAGS = 1 | 2  # deprecations; what taints a domain
_DOWNTIME_MS = 300  # QEMU's default
_ENOENT = 2

# virDomainInterfaceAddressesSource
_FROM_LEASES, _FROM_AGENT, _FROM_ARP = 0, 1, 2

# virDomainSnapshotListFlags and virDomainCheckpointListFlags: all that there are.
_SNAPSHOT_FLAGS = 0x7FF
_CHECKPOINT_FLAGS = 0xF
_TIME_SYNC = 1
_PASSWORD_ENCRYPTED = 1
_NO_LABEL = ([0], 0)  # a C text of nothing but its closing zero; not enforced


class DetailHandlers:
    """Answers what tools ask about a domain beside the usual."""

    def __init__(self, state: DriverState) -> None:
        self._state = state

    # Jobs.

    def domain_get_job_info(self, dom: DomainHandle) -> tuple[int, ...]:
        """Return how far a job on the domain has come: there is none."""
        self._state.running(dom)
        return (_NO_JOB,) + (0,) * 11

    def domain_get_job_stats(self, dom: DomainHandle, flags: int) -> tuple[int, list[Param]]:
        """Return the figures of a job: there is none."""
        refusals.check_flags(flags, _JOB_FLAGS, "qemuDomainGetJobStats")
        guest = self._state.guest(dom)
        if not flags and guest.id < 0:
            raise errors.not_running()
        return (_NO_JOB, [])

    def domain_abort_job(self, dom: DomainHandle) -> NoReturn:
        """Refuse: there is no job."""
        self._state.running(dom)
        raise refusals.driver_invalid("no job is active on the domain")

    def domain_get_control_info(self, dom: DomainHandle, flags: int) -> tuple[int, int, int]:
        """Return that QEMU's monitor is free."""
        refusals.check_flags(flags, 0, "qemuDomainGetControlInfo")
        self._state.running(dom)
        return (0, 0, 0)

    def domain_migrate_get_max_downtime(self, dom: DomainHandle, flags: int) -> tuple[int]:
        """Return how long a migration may stop the domain, in ms."""
        refusals.check_flags(flags, 0, "qemuDomainMigrateGetMaxDowntime")
        self._state.running(dom)
        return (_DOWNTIME_MS,)

    # What an agent would know.

    def domain_get_time(self, dom: DomainHandle, flags: int) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, 0, "qemuDomainGetTime")
        self._no_agent(dom)

    def domain_get_hostname(self, dom: DomainHandle, flags: int) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, 3, "qemuDomainGetHostname")
        self._no_agent(dom)

    def domain_get_fsinfo(self, dom: DomainHandle, flags: int) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, 0, "qemuDomainGetFSInfo")
        self._no_agent(dom)

    def domain_get_guest_info(self, dom: DomainHandle, types: int, flags: int) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, 0, "qemuDomainGetGuestInfo")
        self._no_agent_of_driver(dom)

    def domain_set_time(
        self, dom: DomainHandle, seconds: int, nseconds: int, flags: int
    ) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, _TIME_SYNC, "qemuDomainSetTime")
        self._no_agent(dom)

    def domain_fstrim(
        self, dom: DomainHandle, mount_point: str | None, minimum: int, flags: int
    ) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, 0, "qemuDomainFSTrim")
        self._no_agent_of_driver(dom)

    def domain_fsfreeze(self, dom: DomainHandle, mountpoints: list[str], flags: int) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, 0, "qemuDomainFSFreeze")
        self._no_agent(dom)

    def domain_fsthaw(self, dom: DomainHandle, mountpoints: list[str], flags: int) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, 0, "qemuDomainFSThaw")
        self._no_agent(dom)

    def domain_set_user_password(
        self, dom: DomainHandle, user: str | None, password: str | None, flags: int
    ) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, _PASSWORD_ENCRYPTED, "qemuDomainSetUserPassword")
        self._no_agent(dom)

    def domain_pm_suspend_for_duration(
        self, dom: DomainHandle, target: int, duration: int, flags: int
    ) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, 0, "qemuDomainPMSuspendForDuration")
        self._no_agent_of_driver(dom)

    def domain_get_guest_vcpus(self, dom: DomainHandle, flags: int) -> NoReturn:
        """Refuse: no agent runs in the guest."""
        refusals.check_flags(flags, 0, "qemuDomainGetGuestVcpus")
        self._no_agent_of_driver(dom)

    def domain_interface_addresses(
        self, dom: DomainHandle, source: int, flags: int
    ) -> tuple[list[Any]]:
        """Return the addresses of a guest's interfaces: the host leased none and saw none."""
        refusals.check_flags(flags, 0, "qemuDomainInterfaceAddresses")
        self._state.running(dom)
        if source == _FROM_AGENT:
            raise refusals.no_agent()
        if source not in (_FROM_LEASES, _FROM_ARP):
            raise errors.argument_unsupported(f"Unknown IP address data source {source}")
        return ([],)

    # Labels and messages.

    def domain_get_security_label(self, dom: DomainHandle) -> tuple[list[int], int]:
        """Return the label of the domain's process: none."""
        self._state.guest(dom)
        return _NO_LABEL

    def domain_get_security_label_list(self, dom: DomainHandle) -> tuple[list[Any], int]:
        """Return the labels of the domain's process: none."""
        self._state.guest(dom)
        return ([], 0)

    def domain_get_messages(self, dom: DomainHandle, flags: int) -> tuple[list[str]]:
        """Return warnings about the domain: none."""
        refusals.check_flags(flags, _MESSAGE_FLAGS, "qemuDomainGetMessages")
        self._state.guest(dom)
        return ([],)

    # Snapshots, checkpoints, saved states.

    def domain_snapshot_num(self, dom: DomainHandle, flags: int) -> tuple[int]:
        """Return how many snapshots there are: none."""
        self._check_snapshots(dom, flags, "qemuDomainSnapshotNum")
        return (0,)

    def domain_snapshot_list_names(
        self, dom: DomainHandle, maxnames: int, flags: int
    ) -> tuple[list[str]]:
        """Return the snapshots' names: none."""
        self._check_snapshots(dom, flags, "qemuDomainSnapshotListNames")
        return ([],)

    def domain_list_all_snapshots(
        self, dom: DomainHandle, need_results: int, flags: int
    ) -> tuple[list[Any], int]:
        """Return the snapshots: none."""
        self._check_snapshots(dom, flags, "qemuDomainListAllSnapshots")
        return ([], 0)

    def domain_list_all_checkpoints(
        self, dom: DomainHandle, need_results: int, flags: int
    ) -> tuple[list[Any], int]:
        """Return the checkpoints: none."""
        refusals.check_flags(flags, _CHECKPOINT_FLAGS, "qemuDomainListAllCheckpoints")
        self._state.guest(dom)
        return ([], 0)

    def domain_has_current_snapshot(self, dom: DomainHandle, flags: int) -> tuple[int]:
        """Return whether a snapshot is the current one: none is."""
        refusals.check_flags(flags, 0, "qemuDomainHasCurrentSnapshot")
        self._state.guest(dom)
        return (0,)

    def domain_snapshot_current(self, dom: DomainHandle, flags: int) -> NoReturn:
        """Find no current snapshot."""
        refusals.check_flags(flags, 0, "qemuDomainSnapshotCurrent")
        self._state.guest(dom)
        detail = "the domain does not have a current snapshot"
        raise LibvirtError.of(ErrorCode.NO_DOMAIN_SNAPSHOT, detail)

    def domain_snapshot_lookup_by_name(self, dom: DomainHandle, name: str, flags: int) -> NoReturn:
        """Find no snapshot."""
        refusals.check_flags(flags, 0, "qemuDomainSnapshotLookupByName")
        self._state.guest(dom)
        detail = f"no domain snapshot with matching name '{name}'"
        raise LibvirtError.of(ErrorCode.NO_DOMAIN_SNAPSHOT, detail)

    def domain_checkpoint_lookup_by_name(
        self, dom: DomainHandle, name: str, flags: int
    ) -> NoReturn:
        """Find no checkpoint."""
        refusals.check_flags(flags, 0, "qemuDomainCheckpointLookupByName")
        self._state.guest(dom)
        detail = f"no domain checkpoint with matching name '{name}'"
        raise LibvirtError.of(ErrorCode.NO_DOMAIN_CHECKPOINT, detail)

    def domain_managed_save_remove(self, dom: DomainHandle, flags: int) -> NoReturn:
        """Refuse: nothing was saved."""
        refusals.check_flags(flags, 0, "qemuDomainManagedSaveRemove")
        guest = self._state.guest(dom)
        raise errors.system_error(
            "Failed to remove managed save file "
            f"'/var/lib/libvirt/qemu/save/{guest.name}.save': No such file or directory",
            number=_ENOENT,
        )

    def _no_agent(self, dom: DomainHandle) -> NoReturn:
        self._state.running(dom)
        raise refusals.no_agent()

    def _no_agent_of_driver(self, dom: DomainHandle) -> NoReturn:
        """Refuse where the QEMU driver, not the configuration's check, sees a stopped domain."""
        if self._state.guest(dom).id < 0:
            raise refusals.driver_invalid("domain is not running")
        raise refusals.no_agent()

    def _check_snapshots(self, dom: DomainHandle, flags: int, function: str) -> None:
        refusals.check_flags(flags, _SNAPSHOT_FLAGS, function)
        self._state.guest(dom)
