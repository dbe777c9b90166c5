"""libvirt's own client, for networks and storage, which the lab's has no calls for.

Volumes are filled over libvirt's streams, so that no folder of the host need be open to us.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.connection import LIBVIRT_SOCKET

__all__ = ["Virsh", "VirshError"]

_TIMEOUT_S: Final = 600  # an image of some gigabytes is taken in


class VirshError(Exception):
    """libvirt refused something; the text is its own."""


@dataclass(frozen=True, slots=True)
class Virsh:
    """virsh at the socket of one libvirtd."""

    socket: Path = LIBVIRT_SOCKET

    def __call__(self, *words: str) -> str:
        """Return what virsh prints.

        Raises:
            VirshError: libvirt refused it.
            EnvironmentLackError: there is no virsh.
        """
        uri = f"qemu+unix:///system?socket={self.socket}"
        command = ["virsh", "--connect", uri, "--quiet", *words]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                timeout=_TIMEOUT_S, env={**os.environ, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        except OSError as err:
            raise EnvironmentLackError(
                f"virsh could not be run: {err}", fix="sudo apt-get install libvirt-clients"
            ) from err
        except subprocess.TimeoutExpired as err:
            raise VirshError(f"virsh {words[0]}: no end after {_TIMEOUT_S} s") from err
        if done.returncode != 0:
            said = [line.removeprefix("error: ") for line in done.stderr.strip().splitlines()]
            # The first line repeats what was asked for, the last one says why not.
            raise VirshError(said[-1] if said else f"virsh {words[0]} failed")
        return done.stdout
