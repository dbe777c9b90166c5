"""Whether a disk has the room that an image takes, asked before anything is downloaded."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.images.progress import in_words

__all__ = ["check_room", "full_disk_told"]

_SPARE_BYTES: Final = 1 << 20  # for records and the file system's own tables
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def check_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Refuse to begin what would fill a disk.

    Raises:
        EnvironmentLackError: it says how much is missing.
    """
    free = shutil.disk_usage(folder).free
    needed = needed_bytes + _SPARE_BYTES
    if free < needed:
        raise EnvironmentLackError(
            f"{folder}: {what} takes {in_words(needed)}, and {in_words(free)} are free.",
            fix=f"free {in_words(needed - free)} there (virtlab images list shows old versions, "
            "--prune removes them)",
        )


@contextmanager
def full_disk_told(folder: Path, kept: str) -> Iterator[None]:
    """Turn a disk that becomes full in between into a sentence that says what stays.

    Raises:
        EnvironmentLackError: the disk is full.
    """
    try:
        yield
    except OSError as err:
        if err.errno not in _FULL:
            raise
        free = in_words(shutil.disk_usage(folder).free)
        raise EnvironmentLackError(
            f"{folder}: no space is left ({free} free); {kept}.",
            fix="free some there, and run it again",
        ) from err
