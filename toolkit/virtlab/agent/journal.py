"""The flight recorder: every tick of a daemon on disk, compact, and readable after a crash.

A journal is a folder of numbered files. Each is one gzip stream of JSON lines, and complete in
itself: first a line that says who decides and on which host, then one line a tick with what has
changed since the line before (`plain.changes`). Each line is flushed to the kernel before anything
is done on the host, so what a killed daemon leaves ends with its last tick; a tail that was cut off
is passed over. A file begins with its first tick: a start that fails leaves none. Old files go when
they are too much; one that many short runs left small counts as what it is.

A disk that is full costs ticks in the journal, and nothing else: the file is cut back to its last
whole line, and a new one is tried a minute later.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from virtlab.agent.plain import SAME, Json, applied, changes
from virtlab.errors import InputError
from virtlab.model.units import NS_PER_S

__all__ = [
    "FORM",
    "Journal",
    "RecordedTick",
    "check_journal",
    "files_around",
    "journal_files",
    "read_journal",
]

FORM: Final = 1  # of the lines
_GZIP: Final = 31  # zlib's window bits for a gzip header
_NAME: Final = re.compile(r"[a-z]+-(\d{6,})\.jsonl\.gz")
_RETRY_NS: Final = 60 * NS_PER_S
_CHUNK: Final = 1 << 16
_SMALLEST: Final = 512  # a file counts as at least one in so many of a full one


@dataclass(slots=True)
class _Open:
    """The file that is written to."""

    path: Path
    descriptor: int
    packer: zlib._Compress
    good_bytes: int = 0  # up to the end of the last whole line
    tick: dict[str, Json] = field(default_factory=dict)


class Journal:
    """Writes the ticks of one daemon."""

    def __init__(
        self,
        folder: Path,
        kind: str,
        about: Mapping[str, Json],
        *,
        file_bytes_max: int,
        files_max: int,
    ) -> None:
        """Prepare; the first tick begins a file.

        Args:
            folder: made where missing; several daemons may share it.
            kind: the daemon, as its files' names begin.
            about: what each file says first.
            file_bytes_max: from here on a new file is begun.
            files_max: as much as so many full ones hold is kept, the one that is written included.

        Raises:
            OSError: nothing can be written there.
        """
        self.folder = folder
        self._kind = kind
        self._about = {"form": FORM, "kind": kind, **about}
        self._file_bytes_max = file_bytes_max
        self._files_max = files_max
        self._retry_ns = 0
        self.problem: str | None = None  # why ticks are not kept now
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # it can be written there
        self._file: _Open | None = None

    def write(self, tick: dict[str, Json], now_ns: int) -> None:
        """Keep a tick; where that cannot be done, `problem` says why.

        Args:
            tick: its parts by name.
            now_ns: the moment, on a clock that never goes back.
        """
        if self._file is None and now_ns < self._retry_ns:
            return
        try:
            if self._file is not None and self._file.good_bytes > self._file_bytes_max:
                self.close()
            if self._file is None:
                self._file = self._begin()
            self._append(self._file, {"tick": changes(self._file.tick, tick)})
            self._file.tick = tick
            self.problem = None
        except OSError as error:
            self.problem = error.strerror or str(error)
            self._retry_ns = now_ns + _RETRY_NS
            self._leave()

    def close(self) -> None:
        """End the file that is open, if one is."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                _write_all(self._file.descriptor, self._file.packer.flush(zlib.Z_FINISH))
            self._leave()

    def _leave(self) -> None:
        """Let go of the file as it is: after a failure the packer's end does not fit to it."""
        opened, self._file = self._file, None
        if opened is not None:
            os.close(opened.descriptor)
            if not opened.tick:
                opened.path.unlink(missing_ok=True)

    def _begin(self) -> _Open:
        files = journal_files(self.folder, self._kind)
        number = _number_of(files[-1]) + 1 if files else 1
        self._make_room(files)
        path = self.folder / f"{self._kind}-{number:06}.jsonl.gz"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        opened = _Open(path, os.open(path, flags, 0o640), zlib.compressobj(wbits=_GZIP))
        try:
            self._append(opened, {"about": self._about})
        except OSError:
            os.close(opened.descriptor)
            path.unlink(missing_ok=True)
            raise
        return opened

    def _make_room(self, files: list[Path]) -> None:
        """Remove the oldest files where there is no room for one more."""
        full = self._file_bytes_max
        room = (self._files_max - 1) * full
        for path in reversed(files):
            with contextlib.suppress(FileNotFoundError):  # another daemon was here
                room -= min(max(path.stat().st_size, full // _SMALLEST), full)
                if room < 0:
                    path.unlink()

    @staticmethod
    def _append(opened: _Open, line: Mapping[str, Json]) -> None:
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n"
        data = opened.packer.compress(text.encode()) + opened.packer.flush(zlib.Z_SYNC_FLUSH)
        try:
            _write_all(opened.descriptor, data)
        except OSError:
            os.ftruncate(opened.descriptor, opened.good_bytes)
            os.lseek(opened.descriptor, opened.good_bytes, os.SEEK_SET)
            raise
        opened.good_bytes += len(data)


@dataclass(frozen=True, slots=True)
class RecordedTick:
    """One tick of a journal: who decided, and everything that was kept."""

    about: Mapping[str, Json]
    parts: Mapping[str, Json]

    @property
    def wall_s(self) -> float:
        """Return its moment on the calendar's clock, in seconds since 1970."""
        return float(self.parts["wall_s"])


def journal_files(where: Path, kind: str | None = None) -> list[Path]:
    """Return the files of a journal in their order; a file stands for itself."""
    if not where.is_dir():
        return [where]
    found = [path for path in where.iterdir() if _NAME.fullmatch(path.name)]
    if kind is not None:
        found = [path for path in found if path.name.startswith(f"{kind}-")]
    return sorted(found, key=lambda path: (_number_of(path), path.name))


def files_around(where: Path, kind: str, from_s: float) -> list[Path]:
    """Return the files of a journal from shortly before a moment on.

    A journal may have hundreds of thousands of ticks; of most files only the first one is read.
    """
    files = journal_files(where, kind)
    begun = [path for path in files if (first := _first_of(path)) and first.wall_s <= from_s]
    return files[max(files.index(begun[-1]) - 1, 0) :] if begun else files


def _first_of(path: Path) -> RecordedTick | None:
    return next(_ticks_of(path), None) if path.is_file() else None


def read_journal(where: Path, kind: str | None = None) -> Iterator[RecordedTick]:
    """Yield the ticks of a journal, oldest first, up to where each file ends or is broken.

    Args:
        where: its folder, or one file of it.
        kind: of the daemon, where a folder holds the journals of several.

    Raises:
        InputError: there is no journal.
    """
    for path in check_journal(where, kind):
        yield from _ticks_of(path)


def check_journal(where: Path, kind: str | None = None) -> list[Path]:
    """Return the files of a journal in their order.

    Raises:
        InputError: there is none.
    """
    files = journal_files(where, kind)
    if not files or not all(path.is_file() for path in files):
        raise InputError(
            f"{where}: there is no journal{f' of {kind}' if kind else ''}",
            fix="name the folder that a daemon was given as --journal, or a file in it.",
        )
    return files


def _ticks_of(path: Path) -> Iterator[RecordedTick]:
    about: Mapping[str, Json] | None = None
    tick: dict[str, Json] = {}
    for line in _lines_of(path):
        try:
            entry = json.loads(line)
            if "about" in entry:
                about, tick = entry["about"], {}
                if about["form"] > FORM:
                    raise InputError(
                        f"{path}: form {about['form']} is newer than this virtlab, which reads "
                        f"form {FORM}",
                        fix="install a newer virtlab.",
                    )
                continue
            tick = applied(tick, entry["tick"])
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise InputError(
                f"{path}: this is no journal of virtlab's: {error}",
                fix="name the folder that a daemon was given as --journal, or a file in it.",
            ) from error
        if about is not None and tick is not SAME:
            yield RecordedTick(about, tick)


def _lines_of(path: Path) -> Iterator[bytes]:
    """Yield whole lines; what comes behind a break is lost."""
    unpacker = zlib.decompressobj(wbits=_GZIP)
    rest = b""
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            try:
                rest += unpacker.decompress(data)
            except zlib.error as error:
                if file.tell() <= _CHUNK and not rest:
                    raise InputError(
                        f"{path}: this is no journal of virtlab's: {error}",
                        fix="name the folder that a daemon was given as --journal.",
                    ) from error
                return
            *lines, rest = rest.split(b"\n")
            yield from lines


def _number_of(path: Path) -> int:
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else 0


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
