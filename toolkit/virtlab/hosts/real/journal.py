"""What a real run changed on its host, written down before it is changed.

One file for each host, and a lock beside it that its run holds as long as it lives. A run that was
killed leaves the file behind, unlocked: `virtlab host clean` reads it, puts everything back and
removes it. Before that no other run begins.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from virtlab.errors import EnvironmentLackError

__all__ = ["Changes", "Earlier", "Journal", "noted_changes", "state_folder"]

_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Earlier:
    """A guest of the lab's that was there before the run, and how it was."""

    name: str
    uuid: str  # as hex
    xml: str  # its stored description
    running: bool
    # Where it ran:
    masks: tuple[tuple[int, ...], ...] = ()  # of each vCPU
    memory_kib: int = 0  # the balloon's size
    stats_period_s: int = 0  # of the balloon's statistics; 0 is off
    loads: tuple[tuple[str, ...], ...] = ()  # command lines of the loads inside


@dataclass(slots=True)
class Changes:
    """What a run changed."""

    made: list[str] = field(default_factory=list)  # names of guests; they carry the lab's mark
    adopted: list[Earlier] = field(default_factory=list)  # ran already, and took part as they were
    replaced: list[Earlier] = field(default_factory=list)  # gave way to another of their name


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for what outlives a run: VIRTLAB_STATE_DIR, or the system's own place."""
    if chosen := environment.get("VIRTLAB_STATE_DIR"):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/lib/virtlab")
    xdg = environment.get("XDG_STATE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".local" / "state") / "virtlab"


def noted_changes(socket: Path, folder: Path | None = None) -> Changes | None:
    """Return what a run has changed on a host and not put back yet, whether it lives or not.

    Args:
        socket: of the host's libvirtd.
        folder: where journals lie; `state_folder()` if left out.

    Raises:
        EnvironmentLackError: the journal cannot be read.
    """
    return _read(_path(socket, folder))


class Journal:
    """The journal of one host, held by this process."""

    def __init__(self, socket: Path, folder: Path | None = None) -> None:
        """Take the host's lock.

        Args:
            socket: of its libvirtd, by which the host is known.
            folder: where journals lie; `state_folder()` if left out.

        Raises:
            EnvironmentLackError: a run is at work there, or nothing can be written.
        """
        place = state_folder() if folder is None else folder
        self._path = _path(socket, place)
        try:
            place.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(
                self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as err:
            raise _unwritable(place, err) from err
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            os.close(self._lock)
            raise EnvironmentLackError(
                f"Another run is at work on this host ({socket}); two would disturb each other.",
                fix="wait until it has ended",
            ) from err

    def __enter__(self) -> Self:
        """Use it for a while."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let the host go; what was written stays."""
        os.close(self._lock)

    def left_behind(self) -> Changes | None:
        """Return what an earlier run left changed, or None.

        Raises:
            EnvironmentLackError: the file cannot be read.
        """
        return _read(self._path)

    def write(self, changes: Changes) -> None:
        """Write down, for good, what is about to be changed.

        Raises:
            EnvironmentLackError: it cannot be written, so nothing may be changed.
        """
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("w") as file:
                json.dump({"version": _VERSION, **asdict(changes)}, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(self._path)
        except OSError as err:
            fresh.unlink(missing_ok=True)
            raise _unwritable(self._path.parent, err) from err

    def clear(self) -> None:
        """Forget it: everything was put back."""
        self._path.unlink(missing_ok=True)


def _path(socket: Path, folder: Path | None) -> Path:
    name = hashlib.sha256(str(socket.resolve()).encode()).hexdigest()[:16]
    return (state_folder() if folder is None else folder) / f"run-{name}.json"


def _read(path: Path) -> Changes | None:
    try:
        found = json.loads(path.read_text())
        return Changes(
            list(found["made"]),
            [_earlier(one) for one in found["adopted"]],
            [_earlier(one) for one in found["replaced"]],
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise EnvironmentLackError(
            f"{path}: the journal of an earlier run cannot be read: {err}",
            fix="look at the guests with virsh list --all, and remove the file",
        ) from err


def _earlier(found: dict[str, Any]) -> Earlier:
    masks = tuple(tuple(mask) for mask in found["masks"])
    loads = tuple(tuple(words) for words in found["loads"])
    return Earlier(**{**found, "masks": masks, "loads": loads})


def _unwritable(folder: Path, err: OSError) -> EnvironmentLackError:
    return EnvironmentLackError(
        f"{folder}: the journal of the run cannot be written: {err.strerror}; without it a run "
        "that is killed could not be put back",
        fix="free some space, or name another folder in VIRTLAB_STATE_DIR",
    )
