"""Handlers that find domains, list them and describe them."""

from __future__ import annotations

from collections.abc import Callable

from virtlab.hosts.simulated.driver import refusals
from virtlab.hosts.simulated.driver.config import template_of
from virtlab.hosts.simulated.driver.descriptions import DomainFigures, domain_xml
from virtlab.hosts.simulated.driver.state import DomainConfig, DriverState, handle_of
from virtlab.hosts.simulated.driver.values import in_ticks
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.procedures.statistics import DOMAINS_MAX
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.simulator.host import GuestState, SimulatedGuest

__all__ = ["DomainHandlers", "list_filter"]

# virConnectListAllDomainsFlags: all that the QEMU driver knows.
_LIST_FLAGS = 0xFFFF
_XML_FLAGS = 1 | 2 | 4 | 8  # secure, inactive, update CPU, migratable
_XML_INACTIVE = 2


class DomainHandlers:
    """Answers which domains there are, and what each one is."""

    def __init__(self, state: DriverState) -> None:
        self._state = state

    def connect_list_all_domains(
        self, need_results: int, flags: int
    ) -> tuple[list[DomainHandle], int]:
        """Return the domains that pass the filter, running ones by id first."""
        refusals.check_flags(flags, _LIST_FLAGS, "qemuConnectListAllDomains")
        passes = list_filter(self._state, flags)
        chosen = [handle_of(guest) for guest in self._ordered() if passes(guest)]
        if len(chosen) > DOMAINS_MAX:
            detail = f"Too many domains '{len(chosen)}' for limit '{DOMAINS_MAX}'"
            raise errors.internal_error(detail, errors.ErrorDomain.RPC)
        return (chosen if need_results else [], len(chosen))

    def connect_list_domains(self, maxids: int) -> tuple[list[int]]:
        """Return the ids of the running domains."""
        return (self._ids()[:maxids],)

    def connect_num_of_domains(self) -> tuple[int]:
        """Return how many domains run."""
        return (len(self._ids()),)

    def connect_list_defined_domains(self, maxnames: int) -> tuple[list[str]]:
        """Return the names of the domains that do not run."""
        return (self._stopped()[:maxnames],)

    def connect_num_of_defined_domains(self) -> tuple[int]:
        """Return how many domains do not run."""
        return (len(self._stopped()),)

    def domain_lookup_by_id(self, domain_id: int) -> tuple[DomainHandle]:
        """Return the running domain with an id."""
        if domain_id < 0:
            function = "virDomainLookupByID"
            raise refusals.bad_argument(function, "id", f"id in {function} must be zero or greater")
        guest = self._state.by_id.get(domain_id)
        if guest is None:
            raise errors.no_domain_with_id(domain_id)
        return (handle_of(guest),)

    def domain_lookup_by_name(self, name: str) -> tuple[DomainHandle]:
        """Return the domain with a name."""
        guest = self._state.host.guests.get(name)
        if guest is None:
            raise errors.no_domain_with_name(name)
        return (handle_of(guest),)

    def domain_lookup_by_uuid(self, uuid: bytes) -> tuple[DomainHandle]:
        """Return the domain with a uuid."""
        guest = self._state.by_uuid.get(uuid)
        if guest is None:
            raise errors.no_domain_with_uuid(uuid)
        return (handle_of(guest),)

    def domain_get_info(self, dom: DomainHandle) -> tuple[int, int, int, int, int]:
        """Return state, largest and current size, vCPUs, and CPU time in ticks."""
        guest = self._state.guest(dom)
        spec = guest.spec
        if guest.id < 0:
            config = self._state.config(guest)
            return (guest.state, config.max_memory_kib, config.memory_kib, config.vcpus, 0)
        now_ns = self._state.host.now_ns
        return (
            guest.state,
            self._state.max_kib(guest),
            guest.memory.info_kib(now_ns),
            spec.vcpus,
            in_ticks(guest.cpu_time_ns()),
        )

    def domain_get_state(self, dom: DomainHandle, flags: int) -> tuple[int, int]:
        """Return the state and the reason for it."""
        refusals.check_flags(flags, 0, "qemuDomainGetState")
        guest = self._state.guest(dom)
        return (guest.state, guest.reason)

    def domain_get_xml_desc(self, dom: DomainHandle, flags: int) -> tuple[str]:
        """Return the description, of the running domain or of its next start."""
        refusals.check_flags(flags, _XML_FLAGS, "qemuDomainGetXMLDesc")
        guest = self._state.guest(dom)
        config = self._state.config(guest)
        live = guest.id >= 0 and not (flags & _XML_INACTIVE and config.persistent)
        settings = config.now if live else config.stored
        masks = [vcpu.mask for vcpu in guest.vcpus] if live else config.masks
        everything = self._state.all_pcpus
        figures = DomainFigures(
            name=guest.name,
            uuid=guest.uuid,
            id=guest.id if live else -1,
            current_kib=(
                guest.memory.info_kib(self._state.host.now_ns) if live else config.memory_kib
            ),
            max_kib=config.live_max_memory_kib if live else config.max_memory_kib,
            vcpus=guest.spec.vcpus if live else config.vcpus,
            vcpus_max=config.live_vcpus_max if live else config.vcpus_max,
            masks=[None if mask == everything else mask for mask in masks],
            emulator_mask=settings.emulator_mask,
            scheduler=guest.tuning if live else settings.scheduler,
            memory_limits=settings.memory_limits,
            numa=settings.numa,
            stats_period_s=settings.stats_period_s,
            vnets=config.vnets if live else (),
            title=settings.title,
            note=settings.note,
            metadata=list(settings.metadata.values()),
        )
        template = template_of(settings, guest.spec, guest.uuid)
        return (domain_xml(template, figures),)

    def domain_get_os_type(self, dom: DomainHandle) -> tuple[str]:
        """Return the kind of machine: fully virtualised."""
        self._state.guest(dom)
        return ("hvm",)

    def domain_get_autostart(self, dom: DomainHandle) -> tuple[int]:
        """Return whether the domain starts with the host."""
        return (int(self._state.config(self._state.guest(dom)).autostart),)

    def domain_is_active(self, dom: DomainHandle) -> tuple[int]:
        """Return whether the domain runs."""
        return (int(self._state.guest(dom).id >= 0),)

    def domain_is_persistent(self, dom: DomainHandle) -> tuple[int]:
        """Return whether the domain outlives its end."""
        return (int(self._state.config(self._state.guest(dom)).persistent),)

    def domain_is_updated(self, dom: DomainHandle) -> tuple[int]:
        """Return whether the stored description was changed while running: not tracked."""
        self._state.guest(dom)
        return (0,)

    def domain_has_managed_save_image(self, dom: DomainHandle, flags: int) -> tuple[int]:
        """Return whether a saved state exists: never."""
        refusals.check_flags(flags, 0, "qemuDomainHasManagedSaveImage")
        self._state.guest(dom)
        return (0,)

    def _ordered(self) -> list[SimulatedGuest]:
        """Return the running guests by id, then the others in the scenario's order."""
        guests = self._state.host.guests.values()
        return sorted(guests, key=lambda guest: (guest.id < 0, guest.id))

    def _ids(self) -> list[int]:
        return sorted(self._state.by_id)

    def _stopped(self) -> list[str]:
        return [guest.name for guest in self._state.host.guests.values() if guest.id < 0]


def list_filter(state: DriverState, flags: int) -> Callable[[SimulatedGuest], bool]:
    """Return the test that a domain has to pass: groups of bits are ANDed, bits in one ORed."""
    groups = [group for mask in _FILTER_GROUPS if (group := flags & mask)]
    return lambda guest: all(_traits(guest, state.config(guest)) & group for group in groups)


# Activity, persistence, state, managed save, autostart, snapshots, checkpoints.
_FILTER_GROUPS = (0x3, 0xC, 0xF0, 0x300, 0xC00, 0x3000, 0xC000)
# Without a saved state, snapshots or checkpoints.
_COMMON_TRAITS = 0x200 | 0x2000 | 0x8000
_STATE_TRAITS = {GuestState.RUNNING: 0x10, GuestState.PAUSED: 0x20, GuestState.SHUTOFF: 0x40}


def _traits(guest: SimulatedGuest, config: DomainConfig) -> int:
    activity = 0x1 if guest.id >= 0 else 0x2
    persistence = 0x4 if config.persistent else 0x8
    start = 0x400 if config.autostart else 0x800
    state = _STATE_TRAITS.get(guest.state, 0x80)
    return _COMMON_TRAITS | activity | persistence | start | state
