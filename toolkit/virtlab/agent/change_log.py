"""What was changed on the host and how it was before, on disk before it is changed.

One line for each change, flushed to the disk (fsync) before the call is made: whose, what, the
value before and the one after, and when. So whatever happens to the daemon, it can be put back as
it was at the start, or at any moment since: the value before the first change after that moment.

Affinities and balloons that were set live end with the guest's run. So a line counts only as long
as the same run of the guest lasts, on the same boot of the host.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from virtlab.errors import InputError

__all__ = ["Change", "ChangeLog", "What", "boot_id", "first_changes", "read_changes"]

What = Literal["pin", "size", "period"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BYTES_MAX: Final = 8 << 20  # then what is not needed to put things back is left out
_RECENT_S: Final = 24 * 3600


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
    undone: bool = False  # it was put back: earlier lines of the same thing count no more

    @property
    def thing(self) -> tuple[str, str, str, int, str, int]:
        """Return what of whom it is."""
        return (self.host, self.boot, self.uuid, self.run, self.what, self.vcpu)

    @property
    def name(self) -> str:
        """Return what it is for a reader."""
        if self.what == "pin":
            return f"{self.guest}:{self.vcpu}"
        return f"{self.what} of {self.guest}"


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
            if path.stat().st_size > _BYTES_MAX:
                self._shorten()
        self._descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640
        )
        _sync_folder(path.parent)

    def write(self, entries: Iterable[Change]) -> None:
        """Have changes on the disk; on return they are.

        Raises:
            OSError: they are not, and must not be made.
        """
        text = "".join(json.dumps(asdict(one), separators=(",", ":")) + "\n" for one in entries)
        size = os.fstat(self._descriptor).st_size
        try:
            data = text.encode()
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise

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
        """Leave out all but the first change of each thing, and what is recent."""
        entries = list(read_changes(self.path))
        recent_s = max((one.wall_s for one in entries), default=0.0) - _RECENT_S
        needed: dict[tuple[object, ...], Change] = {}
        for one in entries:
            if one.undone:
                needed.pop(one.thing, None)
            else:
                needed.setdefault(one.thing, one)
        first = {id(one) for one in needed.values()}
        kept = [one for one in entries if id(one) in first or one.wall_s > recent_s]
        fresh = self.path.with_suffix(".new")
        with fresh.open("w") as file:
            file.writelines(json.dumps(asdict(one), separators=(",", ":")) + "\n" for one in kept)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        _sync_folder(self.path.parent)


def read_changes(path: Path) -> Iterator[Change]:
    """Yield the changes of a log, oldest first; a line that was cut off is passed over.

    Raises:
        InputError: it is no log of changes.
    """
    try:
        lines = path.read_text().split("\n")
    except FileNotFoundError:
        return
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            entry = json.loads(line)
            entry["before"], entry["after"] = tuple(entry["before"]), tuple(entry["after"])
            yield Change(**entry)
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines) - 1:  # it has no end: the machine went down in the middle
                return
            raise InputError(
                f"{path}:{number + 1}: this is no line of virtlab's changes",
                fix="remove the line; what it names cannot be put back by virtlab.",
            ) from error


def first_changes(entries: Sequence[Change], since_s: float = 0.0) -> list[Change]:
    """Return for each thing its first change since a moment, with the last value that was set.

    What was put back and not changed again is left out.
    """
    first: dict[tuple[object, ...], Change] = {}
    for one in entries:
        if one.undone:
            first.pop(one.thing, None)
        elif one.wall_s >= since_s:
            earlier = first.get(one.thing)
            first[one.thing] = one if earlier is None else replace(earlier, after=one.after)
    return list(first.values())


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
