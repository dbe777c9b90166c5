"""What a guest may be called: held to one pattern before any path or command is made of it.

A name comes from a command line or a play, and becomes a folder, volumes and an argument of other
programs. So '..', '/' or a leading '-' must never come that far.
"""

from __future__ import annotations

import re
from typing import Final

from virtlab.errors import UsageError

__all__ = ["guest_name", "is_guest_name"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def is_guest_name(name: str) -> bool:
    """Tell whether a guest of the lab's may have this name."""
    return _NAME.fullmatch(name) is not None


def guest_name(name: str) -> str:
    """Return a name that a guest of the lab's may have.

    Raises:
        UsageError: it is none.
    """
    if not is_guest_name(name):
        raise UsageError(
            f"{name!r}: a guest's name has letters, digits, '-', '_' and '.', 63 at most, and "
            f"begins with a letter or a digit.",
            fix="such as aos_vm1; virtlab guests list shows those that are there",
        )
    return name
