"""Putting things back as they were, from the log of changes.

A thing is put back only as long as the same run of its guest lasts, and an affinity only where it
still is what a daemon may have set: what somebody else has changed since is theirs. A guest that
does not answer keeps nobody else waiting for longer than asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from virtlab.agent.change_log import Change, ChangeLog, Owed, boot_id, owed, read_changes
from virtlab.agent.known_guest import map_of, masks_of
from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.connection import HostConnection
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["PutBack", "log_of", "put_back"]

_ACTIVE: Final = 1  # virConnectListAllDomainsFlags
_LIVE: Final = 1

Outcome = Literal["back", "gone", "theirs", "failed"]


@dataclass(frozen=True, slots=True)
class PutBack:
    """What became of one thing that was to be put back."""

    change: Change
    outcome: Outcome
    why: str = ""


def log_of(state: Path, kind: str) -> Path:
    """Return where a daemon writes down what it changes."""
    return state / f"changes-{kind}.jsonl"


def put_back(
    socket: Path,
    log_path: Path,
    *,
    since_s: float = 0.0,
    timeout_s: float,
    deadline_s: float = float("inf"),
) -> list[PutBack]:
    """Put back what was changed since a moment; what was put back is written to the log.

    Args:
        socket: libvirtd's.
        log_path: the log of one daemon, which does not run.
        since_s: in seconds since 1970.
        timeout_s: how long to wait for one answer.
        deadline_s: how long to go on in all.

    Raises:
        InputError: the log cannot be read.
        EnvironmentLackError: libvirtd does not answer.
        OSError: the log cannot be written.
    """
    here = socket.resolve()
    due = [
        one
        for one in owed(read_changes(log_path), since_s)
        if Path(one.change.host).resolve() == here
    ]
    if not due:
        return []
    until_s = time.monotonic() + deadline_s
    log = ChangeLog(log_path)
    try:
        found = []
        for one, done in _each(socket, due, timeout_s, until_s):
            found.append(done)
            now_s = round(time.time(), 3)
            if done.outcome == "back":
                log.write([replace(done.change, wall_s=now_s, undone=True)])
            elif done.outcome == "gone":  # whatever was changed in that run
                log.write([replace(one.origin, wall_s=now_s, undone=True)])
        return found
    finally:
        log.close()


def _each(
    socket: Path, due: Sequence[Owed], timeout_s: float, until_s: float
) -> Iterator[tuple[Owed, PutBack]]:
    boot, host = boot_id(), HostConnection(socket, timeout_s=timeout_s)
    try:
        pcpus = host.call("NODE_GET_CPU_MAP", 0, 0, 0).ret
        running = {
            (dom.uuid.hex(), dom.id): dom
            for dom in host.call("CONNECT_LIST_ALL_DOMAINS", 1, _ACTIVE).domains
        }
        for one in due:
            change = one.change
            dom = running.get((change.uuid, change.run))
            if dom is None or change.boot != boot:
                yield one, PutBack(change, "gone", "that run of the guest has ended")
            elif time.monotonic() > until_s:
                yield one, PutBack(change, "failed", "there was no time left for it")
            else:
                try:
                    yield one, _one(host, one, dom, pcpus)
                except EnvironmentLackError as error:  # this guest hangs, or libvirtd went away
                    yield one, PutBack(change, "failed", str(error).splitlines()[0])
                    host.close()
                    host = HostConnection(socket, timeout_s=timeout_s)
    finally:
        host.close()


def _one(host: HostConnection, one: Owed, dom: DomainHandle, pcpus: int) -> PutBack:
    change = one.change
    try:
        if change.what == "pin":
            length = (pcpus + 7) // 8
            info, cpumaps = host.call("DOMAIN_GET_VCPUS", dom, change.vcpu + 1, length)
            masks = masks_of(cpumaps, len(info), pcpus)
            numbers = [each.number for each in info]
            now = dict(zip(numbers, masks, strict=True)).get(change.vcpu)
            if now is None or tuple(sorted(now)) not in one.values:
                return PutBack(change, "theirs", "somebody else has changed it since")
            host.call("DOMAIN_PIN_VCPU", dom, change.vcpu, map_of(frozenset(change.before), pcpus))
        elif change.what == "size":
            host.call("DOMAIN_SET_MEMORY", dom, change.before[0])
        else:
            host.call("DOMAIN_SET_MEMORY_STATS_PERIOD", dom, change.before[0], _LIVE)
    except LibvirtError as error:
        return PutBack(change, "failed", error.message)
    return PutBack(change, "back")
