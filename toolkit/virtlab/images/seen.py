"""When the files of sources were signed, as far as they were seen: none may become older again.

An old index is as well signed as a new one. Whoever stands between could serve it for good, so that
what was mended since would never come.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from virtlab.errors import EnvironmentLackError, InputError
from virtlab.images.signature import day

__all__ = ["Seen"]

_NAME: Final = "images.seen"
_VERSION: Final = 1


@dataclass(slots=True)
class Seen:
    """The times of the newest signatures, by the URL of what they sign."""

    path: Path
    signed_s: dict[str, int] = field(default_factory=dict)  # seconds since 1970
    _changed: bool = False

    @classmethod
    def of(cls, home: Path) -> Self:
        """Return what was noted in a folder; nothing at first.

        Raises:
            EnvironmentLackError: the note cannot be read.
        """
        path = home / _NAME
        try:
            found = json.loads(path.read_text())
            if found["format"] != _VERSION:
                raise ValueError("it is of another version of the lab")
            return cls(path, {str(url): int(when) for url, when in found["signed_s"].items()})
        except (FileNotFoundError, NotADirectoryError):
            return cls(path)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as err:
            raise EnvironmentLackError(
                f"{path}: what was seen of sources cannot be read: {err}",
                fix=f"remove it: sudo rm {path}",
            ) from err

    def note(self, url: str, signed_s: int) -> None:
        """Note a signature.

        Raises:
            InputError: a newer one was seen.
        """
        before_s = self.signed_s.get(url, signed_s)
        if signed_s < before_s:
            raise InputError(
                f"{url}: it was signed on {day(signed_s)}, and one that was signed on "
                f"{day(before_s)} has been seen, so this is an old one.",
                fix="try again later, as servers of a mirror may lag, or name another source; "
                f"where it was set back on purpose, sudo rm {self.path}",
            )
        self._changed |= self.signed_s.get(url) != signed_s
        self.signed_s[url] = signed_s

    def keep(self) -> None:
        """Have the notes outlast this process.

        Raises:
            OSError: they cannot be written.
        """
        if not self._changed:
            return
        fresh = self.path.with_name(self.path.name + ".new")
        with fresh.open("w") as file:
            json.dump({"format": _VERSION, "signed_s": self.signed_s}, file, indent=2)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        fresh.rename(self.path)
