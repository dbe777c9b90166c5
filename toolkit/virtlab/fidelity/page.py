"""The part of a page of documentation that measurements renew; its words stay as they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtlab.errors import InputError

__all__ = ["Page", "page_with_table"]

_BEGIN: Final = "<!-- table: begin -->"
_END: Final = "<!-- table: end -->"


@dataclass(frozen=True, slots=True)
class Page:
    """A page without its table."""

    head: str
    tail: str

    def with_table(self, table: str) -> str:
        """Return the page with a table in its place."""
        return f"{self.head}{_BEGIN}\n{table}{_END}{self.tail}"


def page_with_table(path: Path) -> Page:
    """Return a page that has a place for a table.

    Raises:
        InputError: it cannot be read, or has no such place.
    """
    try:
        text = path.read_text()
    except (OSError, ValueError) as err:
        reason = os.strerror(err.errno) if isinstance(err, OSError) and err.errno else str(err)
        raise InputError(f"{path} cannot be read: {reason}.", fix="check the path.") from err
    head, begin, rest = text.partition(_BEGIN)
    _table, end, tail = rest.partition(_END)
    if not begin or not end:
        raise InputError(
            f"{path} has no place for a table.", fix=f"add the lines {_BEGIN} and {_END}."
        )
    return Page(head, tail)
