"""Putting things back as they were, from the log of changes.

A thing is put back only as long as the same run of its guest lasts, and only where it still is what
a daemon may have set: what somebody else has changed since is theirs. Sizes are put back before
the statistics periods by which guests tell what they use, and what is given back goes before what
is given: the host's memory is not promised twice. A size that is in use stays (`balloon_room`).

A guest that does not answer keeps nobody else waiting for longer than asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from virtlab.agent.balloon_room import host_room_kib, is_fresh, size_back
from virtlab.agent.change_log import Change, ChangeLog, Owed, boot_id, owed, read_changes
from virtlab.agent.guest_notes import notes_of
from virtlab.agent.known_guest import map_of, masks_of
from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.connection import HostConnection
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.units import KIB_PER_MIB

__all__ = ["PutBack", "log_of", "put_back"]

_ACTIVE: Final = 1  # virConnectListAllDomainsFlags, virConnectGetAllDomainStatsFlags
_NOWAIT: Final = 1 << 29  # virConnectGetAllDomainStatsFlags
_BALLOON: Final = 4  # virDomainStatsTypes
_LIVE: Final = 1  # virDomainModificationImpact
_JOB_LASTS: Final = frozenset({1, 2})  # virDomainJobType: bounded, unbounded
_LOOK_AGAIN_S: Final = 0.2

Outcome = Literal["back", "gone", "theirs", "left", "failed"]
Life = tuple[str, int]


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
    settle_s: float = 10.0,
    wall_s: Callable[[], float] = time.time,
) -> list[PutBack]:
    """Put back what was changed since a moment; what was put back is written to the log.

    Args:
        socket: libvirtd's.
        log_path: the log of one daemon, which does not run.
        since_s: in seconds since 1970.
        timeout_s: how long to wait for one answer.
        deadline_s: how long to go on in all.
        settle_s: how long to wait for guests to report, and again for the host to have room.
        wall_s: the calendar's clock, in seconds since 1970.

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
    host = _Host(socket, timeout_s)
    try:
        found = []
        for one, done in _Undoing(host, log, until_s, settle_s, wall_s).each(due):
            found.append(done)
            now_s = round(wall_s(), 3)
            if done.outcome == "back":
                log.write([replace(done.change, wall_s=now_s, undone=True)])
            elif done.outcome == "gone":  # whatever was changed in that run
                log.write([replace(one.origin, wall_s=now_s, undone=True)])
        return found
    finally:
        host.close()
        log.close()


@dataclass(slots=True)
class _Host:
    """A connection that is opened anew after a call without an answer."""

    socket: Path
    timeout_s: float
    _open: HostConnection | None = None
    _away: str = ""  # why no connection could be opened any more

    def call(self, name: str, *args: Any) -> Any:
        """Make a call; errors are those of `HostConnection.call`."""
        if self._away:
            raise EnvironmentLackError(self._away)
        if self._open is None:
            try:
                self._open = HostConnection(self.socket, timeout_s=self.timeout_s)
            except EnvironmentLackError as error:
                self._away = str(error)
                raise
        try:
            return self._open.call(name, *args)
        except EnvironmentLackError:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        if self._open is not None:
            self._open.close()
            self._open = None


@dataclass(slots=True)
class _Undoing:
    """One go at putting things back."""

    host: _Host
    log: ChangeLog
    until_s: float  # of the clock that never goes back
    settle_s: float
    wall_s: Callable[[], float]
    _running: dict[Life, DomainHandle] = field(default_factory=dict)
    _pcpus: int = 0
    _given_kib: int = 0  # to guests that were made larger

    def each(self, due: Sequence[Owed]) -> Iterator[tuple[Owed, PutBack]]:
        """Put one after the other back, and tell what became of it.

        Raises:
            EnvironmentLackError: libvirtd does not answer at the start.
        """
        boot = boot_id()
        self._pcpus = self.host.call("NODE_GET_CPU_MAP", 0, 0, 0).ret
        domains = self.host.call("CONNECT_LIST_ALL_DOMAINS", 1, _ACTIVE).domains
        self._running = {(dom.uuid.hex(), dom.id): dom for dom in domains}
        here = []
        for one in due:
            if one.change.boot == boot and _life(one) in self._running:
                here.append(one)
            else:
                yield one, PutBack(one.change, "gone", "that run of the guest has ended")
        left = set()
        for one, done in self._sizes([one for one in here if one.change.what == "size"]):
            if done.outcome in ("left", "failed"):
                left.add(_life(one))
            yield one, done
        for one in here:
            if one.change.what == "period" and _life(one) in left:
                why = "its size is not back yet, for which it has to report what it uses"
                yield one, PutBack(one.change, "left", why)
            elif one.change.what != "size":
                yield one, self._tried(one, self._pin if one.change.what == "pin" else self._period)

    def _tried(self, one: Owed, put: Callable[[Owed], PutBack]) -> PutBack:
        if time.monotonic() > self.until_s:
            return PutBack(one.change, "failed", "there was no time left for it")
        try:
            if self._call_of(one, "DOMAIN_GET_JOB_INFO").type in _JOB_LASTS:
                return PutBack(one.change, "failed", "a job such as a migration runs on it")
            return put(one)
        except LibvirtError as error:
            return PutBack(one.change, "failed", error.message)
        except EnvironmentLackError as error:  # this guest hangs, or libvirtd went away
            return PutBack(one.change, "failed", str(error).splitlines()[0])

    def _call_of(self, one: Owed, name: str, *args: Any) -> Any:
        return self.host.call(name, self._running[_life(one)], *args)

    def _pin(self, one: Owed) -> PutBack:
        change, length = one.change, (self._pcpus + 7) // 8
        info, cpumaps = self._call_of(one, "DOMAIN_GET_VCPUS", change.vcpu + 1, length)
        masks = masks_of(cpumaps, len(info), self._pcpus)
        now = {each.number: mask for each, mask in zip(info, masks, strict=True)}.get(change.vcpu)
        if now is None or tuple(sorted(now)) not in one.values:
            return PutBack(change, "theirs", "somebody else has changed it since")
        mask = map_of(frozenset(change.before), self._pcpus)
        self._call_of(one, "DOMAIN_PIN_VCPU", change.vcpu, mask)
        return PutBack(change, "back")

    def _period(self, one: Owed) -> PutBack:
        self._call_of(one, "DOMAIN_SET_MEMORY_STATS_PERIOD", one.change.before[0], _LIVE)
        return PutBack(one.change, "back")

    # --- sizes

    def _sizes(self, due: Sequence[Owed]) -> Iterator[tuple[Owed, PutBack]]:
        """Put sizes back: who gives before who is given."""
        if not due:
            return
        first = self._balloons()
        now, fresh = self._reported(due, first)
        for one in due:
            if not _grows(one, now):
                yield one, self._tried(one, lambda each: self._size(each, now, fresh))
        for one in due:
            if _grows(one, now):
                yield one, self._tried(one, lambda each: self._size(each, now, fresh))

    def _size(self, one: Owed, now: dict[Life, dict[str, int]], fresh: set[Life]) -> PutBack:
        change, figures = one.change, now.get(_life(one), {})
        if "balloon.current" not in figures:
            return PutBack(change, "failed", "libvirtd tells nothing of its balloon")
        floor_kib = notes_of(self._call_of(one, "DOMAIN_GET_XML_DESC", 0).xml).floor_kib
        back = size_back(one, figures, floor_kib, fresh=_life(one) in fresh)
        if back.size_kib is None:
            return PutBack(change, back.outcome, back.why)
        more_kib = back.size_kib - figures["balloon.current"]
        if more_kib > 0 and not self._has_room(more_kib):
            why = f"the host has not {more_kib // KIB_PER_MIB} MiB more for it"
            return PutBack(change, "left", why)
        if back.outcome == "left":  # another change of ours, on the way back
            wall_s = round(self.wall_s(), 3)
            at = (figures["balloon.current"],)
            self.log.write([replace(change, wall_s=wall_s, before=at, after=(back.size_kib,))])
        self._call_of(one, "DOMAIN_SET_MEMORY", back.size_kib)
        self._given_kib += max(more_kib, 0)
        return PutBack(change, back.outcome, back.why)

    def _balloons(self) -> dict[Life, dict[str, int]]:
        """Return what the guests' balloons are said to be."""
        answer = self.host.call("CONNECT_GET_ALL_DOMAIN_STATS", (), _BALLOON, _ACTIVE | _NOWAIT)
        return {
            (record.dom.uuid.hex(), record.dom.id): {
                param.field: param.value for param in record.params
            }
            for record in answer.retStats
        }

    def _reported(
        self, due: Sequence[Owed], now: dict[Life, dict[str, int]]
    ) -> tuple[dict[Life, dict[str, int]], set[Life]]:
        """Return balloons of now, and who has reported; wait a little for who is to give."""
        dates = {life: figures.get("balloon.last-update") for life, figures in now.items()}
        until_s = min(self.until_s, time.monotonic() + self.settle_s)
        while True:
            wall_s = self.wall_s()
            fresh = {
                life
                for life, figures in now.items()
                if is_fresh(figures, wall_s) or figures.get("balloon.last-update") != dates[life]
            }
            waited_for = {
                _life(one) for one in due if dates.get(_life(one)) and not _grows(one, now)
            }
            if waited_for <= fresh or time.monotonic() >= until_s:
                return now, fresh
            time.sleep(_LOOK_AGAIN_S)
            now = {life: figures for life, figures in self._balloons().items() if life in dates}

    def _has_room(self, more_kib: int) -> bool:
        """Tell whether the host can give so much; what is given back takes a moment to come."""
        until_s = min(self.until_s, time.monotonic() + self.settle_s)
        while True:
            stats = self.host.call("NODE_GET_MEMORY_STATS", 4, -1, 0).params
            room_kib = host_room_kib({stat.field: stat.value for stat in stats})
            if room_kib - self._given_kib >= more_kib:
                return True
            if time.monotonic() >= until_s:
                return False
            time.sleep(_LOOK_AGAIN_S)


def _life(one: Owed) -> Life:
    return one.change.uuid, one.change.run


def _grows(one: Owed, now: dict[Life, dict[str, int]]) -> bool:
    return one.change.before[0] > now.get(_life(one), {}).get("balloon.current", 0)
