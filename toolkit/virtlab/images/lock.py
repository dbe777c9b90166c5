"""One sync at a time on a machine; who comes second is told what the first one does."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from virtlab.errors import EnvironmentLackError

__all__ = ["SyncLock", "at_work"]

_NOTE_MAX: Final = 4096
_LOOKS: Final = 100  # of others that are waited for at most


class SyncLock:
    """A lock on a folder; it ends with this process and those that it gave `number` to."""

    def __init__(self, folder: Path) -> None:
        """Take it.

        Raises:
            EnvironmentLackError: another sync is at work, or the folder may not be written to.
        """
        path = folder / "images.lock"
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True)
                folder.chmod(0o755)  # whatever the umask is, as QEMU reads images below it
            self.number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as err:
            raise EnvironmentLackError(
                f"{path} cannot be written: {err.strerror}.",
                fix="run it as root: sudo virtlab images sync ...",
            ) from err
        if not self._taken(folder):
            os.close(self.number)
            doing = at_work(folder) or "it has just begun"
            raise EnvironmentLackError(
                f"another sync is at work ({doing}).", fix="wait until it has ended"
            )
        self.note("it has just begun")

    def __enter__(self) -> Self:
        """Hold it for a while."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Let it go."""
        os.close(self.number)

    def _taken(self, folder: Path) -> bool:
        """Take the lock, but from another sync; who only looks holds it for a moment."""
        for _look in range(_LOOKS):
            try:
                fcntl.flock(self.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if at_work(folder) is not None:
                    return False
        return False

    def note(self, doing: str) -> None:
        """Have others see what this process does."""
        note = json.dumps({"pid": os.getpid(), "doing": doing}).encode()[:_NOTE_MAX]
        # The length stays, so that no reader finds a note of which a part is missing.
        os.pwrite(self.number, note.ljust(_NOTE_MAX), 0)


def at_work(folder: Path) -> str | None:
    """Return what the sync does that is at work, or None where there is none."""
    try:
        file = os.open(folder / "images.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None  # whoever wrote it is gone
    except BlockingIOError:
        try:
            note = json.loads(os.pread(file, _NOTE_MAX, 0))
            return f"process {note['pid']}: {note['doing']}"
        except (ValueError, KeyError, TypeError):
            return "it has just begun"
    finally:
        os.close(file)
