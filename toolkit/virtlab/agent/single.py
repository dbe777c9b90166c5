"""One daemon of a kind on a host: two would undo each other's work for ever.

A socket in Linux's abstract namespace, named after what is done and libvirtd's socket, is held as
long as the daemon lives, and is free the moment it dies, however it dies. The kernel tells whose it
is. Who puts things back holds the place of the daemon that changed them. Daemons in containers with
a network namespace of their own do not see one another.
"""

from __future__ import annotations

import errno
import hashlib
import socket
import struct
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError

__all__ = ["hold_alone"]

_CREDENTIALS: Final = struct.Struct("3i")  # process, user, group


def hold_alone(kind: str, path: Path) -> socket.socket:
    """Return what holds the place; it is given up when it is closed.

    Args:
        kind: what the daemon does, such as `schedule`.
        path: of libvirtd's socket.

    Raises:
        EnvironmentLackError: another process holds it.
    """
    place = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        place.bind(_address(kind, path))
    except OSError as error:
        place.close()
        if error.errno != errno.EADDRINUSE:
            raise
        pid = _holder(kind, path)
        who = "another process" if pid is None else f"process {pid}"
        raise EnvironmentLackError(
            f"virtlab {kind} serves {path} already ({who})",
            fix="stop that one first, or let it go on.",
        ) from error
    place.listen(1)
    return place


def _holder(kind: str, path: Path) -> int | None:
    """Return the process that holds a place; None also where it cannot be told.

    Nobody takes these calls, so after a few the kernel has no room for more.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1)
        try:
            asking.connect(_address(kind, path))
            told = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return None
    pid: int = _CREDENTIALS.unpack(told)[0]
    return pid


def _address(kind: str, path: Path) -> bytes:
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
    return f"\0virtlab-{kind}-{digest}".encode()
