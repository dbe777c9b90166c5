"""What was changed on the host and how it was before, on disk before it is changed.

One line for each change, flushed to the disk (fsync) before the call is made: whose, what, the
value before and the one after, and when. So whatever happens to the daemon, it can be put back as
it was at the start, or at any moment since: the value before the first change after that moment.

A line says what was about to be done: the call may have been refused, or never made. So a thing may
be where any of its lines has it. What was put back is a line, too; it takes back the changes since
the value that it went back to, and the ones before them go on to count.

Affinities and balloons that were set live end with the guest's run. So a line counts only as long
as the same run of the guest lasts, on the same boot of the host.

A file that has become long is written anew, also while a daemon runs: each thing's first change
stays whatever its age, of the others the latest.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final, Literal

from virtlab.errors import InputError

__all__ = ["Change", "ChangeLog", "Owed", "What", "boot_id", "owed", "read_changes"]

What = Literal["pin", "size", "period"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BYTES_MAX: Final = 8 << 20  # then what is not needed to put things back is left out
_RECENT: Final = 2  # of so many parts of it the last one is kept whole

Thing = tuple[str, str, str, int, str, int]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing of one run of a guest, before and after."""

    wall_s: float
    host: str  # libvirtd's socket
    boot: str
    guest: str
    uuid: str
    run: int  # libvirt's id of the domain, a new one with each start
    what: What
    vcpu: int  # of a pin; else 0
    before: tuple[int, ...]  # pCPUs of a pin, KiB of a size, seconds of a period
    after: tuple[int, ...]
    undone: bool = False  # it was put back to `before`

    @property
    def thing(self) -> Thing:
        """Return what of whom it is."""
        return (self.host, self.boot, self.uuid, self.run, self.what, self.vcpu)

    @property
    def name(self) -> str:
        """Return what it is for a reader."""
        if self.what == "pin":
            return f"{self.guest}:{self.vcpu}"
        return f"{self.what} of {self.guest}"


_FIELDS: Final = [field.name for field in fields(Change)]
_TO_JSON: Final = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Owed:
    """What of one thing is to be put back."""

    change: Change  # the first one since a moment, with the last value that was to be set
    origin: Change  # the first one of all that still counts
    values: frozenset[tuple[int, ...]]  # where it may have been left


class ChangeLog:
    """The changes of one daemon, which alone writes to the file."""

    def __init__(self, path: Path) -> None:
        """Open it, to be made at the first change.

        Raises:
            OSError: nothing can be written there.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            self._cut_tail()
        self._descriptor = _open(path)
        self._bytes_max = _BYTES_MAX
        if os.fstat(self._descriptor).st_size > self._bytes_max:
            self._shorten()
        _sync_folder(path.parent)

    def write(self, entries: Iterable[Change]) -> None:
        """Have changes on the disk; on return they are.

        Raises:
            OSError: they are not, and must not be made.
        """
        size = os.fstat(self._descriptor).st_size
        try:
            size += _write(self._descriptor, entries)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise
        if size > self._bytes_max:
            with contextlib.suppress(OSError, InputError):  # what is needed is on the disk
                self._shorten()

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _cut_tail(self) -> None:
        """Remove a line without an end: the machine went down, and nothing was changed after it."""
        with self.path.open("r+b") as file:
            end = 0
            for line in file:
                end += len(line) if line.endswith(b"\n") else 0
            file.truncate(end)

    def _shorten(self) -> None:
        """Write anew what undoing needs, and what is recent.

        What cannot come back is left out: what was before the host's boot, and runs of a guest
        after which there was another.
        """
        size = os.fstat(self._descriptor).st_size
        self._bytes_max = 2 * size  # also where the disk is full: it is not tried each time
        ledger = _Ledger()
        runs: dict[tuple[str, str], int] = {}  # the last one of each guest
        recent_from = size - _BYTES_MAX // _RECENT
        for end, one in _read(self.path):
            ledger.take(one, brief=end <= recent_from)
            if not one.undone:
                runs[one.host, one.uuid] = one.run
        boot = boot_id()
        kept = (
            change
            for standing in ledger.standing.values()
            for change in standing
            if change.boot == boot and change.run == runs[change.host, change.uuid]
        )
        fresh = self.path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        descriptor = _open(fresh)
        try:
            size = _write(descriptor, kept)
            fresh.replace(self.path)
        except OSError:
            os.close(descriptor)
            raise
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._bytes_max = max(_BYTES_MAX, 2 * size)
        _sync_folder(self.path.parent)


class _Ledger:
    """The changes of each thing that still count, oldest first."""

    def __init__(self) -> None:
        self.standing: dict[Thing, list[Change]] = {}

    def take(self, one: Change, *, brief: bool = False) -> None:
        """Take in the next line.

        Args:
            one: the line.
            brief: of a thing's changes the first and this one are enough.
        """
        standing = self.standing.setdefault(one.thing, [])
        if one.undone:
            from_there = (n for n, each in enumerate(standing) if each.before == one.before)
            number = next(from_there, None)
            if number is not None:
                del standing[number:]
            elif standing:  # it went back to a value that the log does not tell of any more
                standing.append(replace(one, before=one.after, after=one.before, undone=False))
        elif brief and len(standing) > 1:
            standing[-1] = one
        else:
            standing.append(one)
        if not standing:
            del self.standing[one.thing]


def read_changes(path: Path) -> Iterator[Change]:
    """Yield the changes of a log, oldest first; a line that was cut off is passed over.

    Raises:
        InputError: it is no log of changes.
    """
    return (one for _, one in _read(path))


def owed(entries: Iterable[Change], since_s: float = 0.0) -> list[Owed]:
    """Return what is to be put back of the changes since a moment, in seconds since 1970."""
    ledger = _Ledger()
    for one in entries:
        ledger.take(one)
    found = []
    for standing in ledger.standing.values():
        first = next((one for one in standing if one.wall_s >= since_s), None)
        if first is not None:
            values = frozenset(value for one in standing for value in (one.before, one.after))
            change = replace(first, after=standing[-1].after)
            found.append(Owed(change, standing[0], values))
    return found


def _read(path: Path) -> Iterator[tuple[int, Change]]:
    """Yield each change with where its line ends, in bytes."""
    end = 0
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for number, line in enumerate(file, 1):
            end += len(line)
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                entry["before"], entry["after"] = tuple(entry["before"]), tuple(entry["after"])
                one = Change(**entry)
            except (ValueError, TypeError, KeyError) as error:
                if not line.endswith(b"\n"):  # the machine went down in the middle
                    return
                raise InputError(
                    f"{path}:{number}: this is no line of virtlab's changes",
                    fix="remove the line; what it names cannot be put back by virtlab.",
                ) from error
            yield end, one


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _write(descriptor: int, entries: Iterable[Change]) -> int:
    """Have lines on the disk; return how many bytes they are."""
    data = "".join(
        _TO_JSON.encode({name: getattr(one, name) for name in _FIELDS}) + "\n" for one in entries
    ).encode()
    size = len(data)
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)
    return size


def boot_id() -> str:
    """Return what differs between two boots of this machine."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
