"""Which files were made for which guest, written down before they are made.

So what a killed command left is known by its note, and never by a name that a volume of somebody
else's may have, too. Notes go by the guest's UUID, as a guest may be renamed.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from virtlab.errors import EnvironmentLackError
from virtlab.guests.names import is_guest_name
from virtlab.hosts.real.journal import state_folder

__all__ = ["Belongings", "forget", "note", "noted"]


@dataclass(frozen=True, slots=True)
class Belongings:
    """The files of one guest."""

    uuid: str  # the guest's, as 32 hex digits
    name: str  # the guest's at its making
    host: str  # the socket of its libvirtd
    pool: str
    files: tuple[str, ...]  # paths


def note(found: Belongings) -> None:
    """Write down, for good, which files are about to be made.

    Raises:
        EnvironmentLackError: it cannot be written, so nothing may be made.
    """
    path = _path(found.uuid)
    fresh = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("w") as file:
            json.dump(asdict(found), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except OSError as err:
        raise EnvironmentLackError(
            f"{path} cannot be written: {err.strerror}; without it nobody would know what a killed "
            f"command left.",
            fix="be root, or name a folder that you may write to in VIRTLAB_STATE_DIR",
        ) from err


def forget(guest: str) -> None:
    """Remove a guest's note, once its files are gone."""
    _path(guest).unlink(missing_ok=True)


def noted() -> list[Belongings]:
    """Return all notes, sorted by the guests' names; a file that is no note is passed over."""
    found = [_read(path) for path in _folder().glob("*.json")]
    return sorted((one for one in found if one is not None), key=lambda one: (one.name, one.uuid))


def _read(path: Path) -> Belongings | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        one = Belongings(**{**found, "files": tuple(found["files"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return one if one.uuid == path.stem and is_guest_name(one.name) else None


def _folder() -> Path:
    return state_folder() / "belongings"


def _path(guest: str) -> Path:
    return _folder() / f"{uuid.UUID(guest).hex}.json"
