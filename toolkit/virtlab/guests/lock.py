"""Who is at work on a guest or a storage pool: locks that all processes of this machine respect.

A lock ends with its process, so nothing of a killed one has to be removed; its file stays, as one
that was removed while another process waits for it would be held by both.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import quote

from virtlab.errors import EnvironmentLackError
from virtlab.guests.names import guest_name
from virtlab.hosts.real.journal import state_folder

__all__ = ["AtWorkError", "guest_lock", "pool_lock"]

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class AtWorkError(EnvironmentLackError):
    """Another command is at work on the same."""


@contextmanager
def guest_lock(name: str) -> Iterator[None]:
    """Keep all others from making or removing the guest of this name for a while.

    Raises:
        UsageError: no guest may have this name.
        AtWorkError: another command is at work on it.
        EnvironmentLackError: the lock cannot be written.
    """
    with _held(f"guest-{guest_name(name)}", fcntl.LOCK_EX, f"the guest {name}"):
        yield


@contextmanager
def pool_lock(pool: str, *, alone: bool) -> Iterator[None]:
    """Work in a storage pool: beside others that make volumes in it, or alone to tidy it.

    Raises:
        AtWorkError: somebody is at work in it.
        EnvironmentLackError: the lock cannot be written.
    """
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    with _held(f"pool-{quote(pool, safe='')}", kind, f"the storage pool {pool}"):
        yield


@contextmanager
def _held(file: str, kind: int, what: str) -> Iterator[None]:
    path = state_folder() / "locks" / f"{file}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path, _FLAGS, 0o600)
    except OSError as err:
        raise EnvironmentLackError(
            f"{path} cannot be written: {err.strerror}.",
            fix="be root, or name a folder that you may write to in VIRTLAB_STATE_DIR",
        ) from err
    try:
        try:
            fcntl.flock(number, kind | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise AtWorkError(
                f"Another command is at work on {what}.", fix="wait until it has ended"
            ) from err
        yield
    finally:
        os.close(number)
