"""A command with a /run/libvirt of its own, so that `qemu:///system` means the simulated host.

bubblewrap gives the command a mount namespace in which everything is as outside, but for that
one folder. It needs no rights where the kernel lets users have namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["private_run_command", "private_run_works"]

_RUN = Path("/run")
_PROBE_TIMEOUT_S = 5


def private_run_command(directory: Path, command: Sequence[str]) -> list[str]:
    """Return a command line that runs `command` with `directory` as its /run/libvirt."""
    binds = ["--dev-bind", "/", "/"]
    if not (_RUN / "libvirt").is_dir():
        # The mount point cannot be made on the real /run; a new one gets all that the real has.
        binds += ["--tmpfs", str(_RUN), *_entries_of_run()]
    binds += ["--bind", str(directory), str(_RUN / "libvirt")]
    return ["bwrap", *binds, "--", *command]


def private_run_works(directory: Path) -> bool:
    """Tell whether bubblewrap is there and may do that on this machine."""
    if shutil.which("bwrap") is None:
        return False
    try:
        probe = subprocess.run(
            private_run_command(directory, ["true"]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def _entries_of_run() -> list[str]:
    binds: list[str] = []
    with os.scandir(_RUN) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_symlink():
                binds += ["--symlink", str(Path(entry.path).readlink()), entry.path]
            else:
                binds += ["--dev-bind-try", entry.path, entry.path]
    return binds
