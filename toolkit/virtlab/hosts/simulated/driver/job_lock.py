"""A domain whose lock is held: which calls wait for it, for how long, and what they say then.

A call that changes a domain, or asks its QEMU process, takes a job on it first. Where another call
holds the job (because QEMU hangs on its storage, say), it waits for 30 seconds and then gives up
with error 68. Calls that need no job answer at once: lists, look-ups, state, description, vCPUs,
affinities, CPU statistics, scheduler parameters. Bulk statistics wait as long for each such domain,
and then go without what only QEMU knows; with the flag NOWAIT they do not wait. A domain is
destroyed without the job, as that ends QEMU.

Source: a libvirtd 9.0.0 with a QEMU process that was stopped by SIGSTOP: 30.3 s for each call that
waited, and the texts, codes and fields that its clients got.
"""

from __future__ import annotations

from typing import Final

from virtlab.hosts.simulated.driver.state import DriverState
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.call import Call
from virtlab.libvirt_rpc.errors import ErrorDomain, LibvirtError
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.units import NS_PER_S
from virtlab.simulator.host import SimulatedGuest

__all__ = ["JOB_PATIENCE_NS", "JobLocks"]

JOB_PATIENCE_NS: Final = 30 * NS_PER_S

_HOLDER: Final = "remoteDispatchDomainBlockStatsFlags"
_READS_WITH_JOB: Final = frozenset(
    {
        "DOMAIN_MEMORY_STATS",
        "DOMAIN_BLOCK_STATS",
        "DOMAIN_BLOCK_STATS_FLAGS",
        "DOMAIN_GET_BLOCK_INFO",
    }
)
_CHANGES_WITHOUT_JOB: Final = frozenset(
    {"DOMAIN_DESTROY", "DOMAIN_DESTROY_FLAGS", "DOMAIN_UNDEFINE", "DOMAIN_UNDEFINE_FLAGS"}
)
_BULK: Final = "CONNECT_GET_ALL_DOMAIN_STATS"
_NOWAIT: Final = 1 << 29
_STATE_AND_INTERFACE: Final = 1 | 16  # groups for which QEMU is not asked


class JobLocks:
    """Tells which calls wait for a domain's lock."""

    def __init__(self, state: DriverState) -> None:
        self._state = state

    def answered_at(self, call: Call, since_ns: int) -> int | None:
        """Return when a call that came at a moment will be answered; None: it may be now."""
        blocked = self._state.host.blocked
        if not blocked:
            return None
        now_ns = self._state.host.now_ns
        if call.procedure.name == _BULK:
            at_ns = self._bulk(call, list(blocked.values()), since_ns)
        else:
            guest = self._needed(call)
            if guest is None or not guest.blocked:
                return None
            at_ns = _free_ns(guest, since_ns)
        return at_ns if at_ns > now_ns else None

    def refusal(self, call: Call) -> LibvirtError | None:
        """Return why a call that has waited fails; None where the lock is free for it."""
        guest = self._needed(call)
        if guest is None or not guest.blocked:
            return None
        detail = f"cannot acquire state change lock (held by monitor={_HOLDER})"
        return errors.operation_timeout(detail, ErrorDomain.NONE)

    def _needed(self, call: Call) -> SimulatedGuest | None:
        """Return the running guest whose lock a call takes, if it takes one."""
        name = call.procedure.name
        takes = name in _READS_WITH_JOB or (
            call.procedure.changes_state and name not in _CHANGES_WITHOUT_JOB
        )
        dom = getattr(call.args, "dom", None)
        if not takes or not isinstance(dom, DomainHandle):
            return None
        guest = self._state.by_uuid.get(dom.uuid)
        return guest if guest is not None and guest.id >= 0 else None

    def _bulk(self, call: Call, blocked: list[SimulatedGuest], since_ns: int) -> int:
        """Return when bulk statistics come: each held lock is waited for in its turn."""
        doms, stats, flags = call.args
        at_ns = since_ns
        if flags & _NOWAIT or (stats and not stats & ~_STATE_AND_INTERFACE):
            return at_ns
        asked = {dom.uuid for dom in doms}
        for guest in sorted(blocked, key=lambda guest: guest.id):
            if guest.id >= 0 and (not doms or guest.uuid in asked):
                at_ns = max(at_ns, _free_ns(guest, at_ns))
        return at_ns


def _free_ns(guest: SimulatedGuest, since_ns: int) -> int:
    """Return when a call that began to wait at a moment has the lock, or gives up."""
    patience_ns = since_ns + JOB_PATIENCE_NS
    until_ns = guest.blocked_until_ns
    return patience_ns if until_ns is None else min(patience_ns, until_ns)
