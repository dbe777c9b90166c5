"""The lab's loads in a guest with a system of its own: the same program as in a micro-guest.

It lies where a micro-guest has it, so that roles and scenarios need not know what a guest is.
"""

from __future__ import annotations

import hashlib
from typing import Final

from virtlab.guests.access import Access
from virtlab.hosts.real.loads import PROGRAM
from virtlab.hosts.real.micro_guest import compiled

__all__ = ["put_workload"]

_WAIT_S: Final = 120.0
_REPORTS: Final = "/run/workload"  # where loads report; /run is empty at each boot
_TIDIED: Final = "/etc/tmpfiles.d/virtlab.conf"
_PUT: Final = (
    f'set -e; [ "$(sha256sum {PROGRAM} 2>/dev/null | cut -c1-64)" = KEY ] || '
    f"sudo install -m 0755 /dev/stdin {PROGRAM}; "
    f"echo 'd {_REPORTS} 0755 root root -' | sudo tee {_TIDIED} >/dev/null; "
    f'sudo mkdir -p {_REPORTS}; [ "$(sha256sum {PROGRAM} | cut -c1-64)" = KEY ]'
)


def put_workload(access: Access, wait_s: float = _WAIT_S) -> str | None:
    """Put the loads' program into a guest; return what went wrong, in words, or None.

    Raises:
        EnvironmentLackError: it cannot be compiled here.
    """
    program = compiled("workload")
    key = hashlib.sha256(program).hexdigest()
    attempt = access.run(["sh", "-c", _PUT.replace("KEY", key)], min(wait_s, _WAIT_S), program)
    return None if attempt.code == 0 else f"the loads cannot be put into it: {attempt.said}"
