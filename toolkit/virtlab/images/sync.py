"""A whole sync: the way that is taken and why, the lock, the source, the pool, and the image."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from virtlab.errors import EnvironmentLackError
from virtlab.images.kept_image import Method
from virtlab.images.lock import SyncLock
from virtlab.images.native import sync_native
from virtlab.images.pool import FolderPool, HostCalls, LibvirtPool, Pool
from virtlab.images.progress import OnStep, Step
from virtlab.images.seen import Seen
from virtlab.images.signature import check_keyring
from virtlab.images.source import offered, open_source
from virtlab.images.store import NATIVE_POOL
from virtlab.images.streams import chosen
from virtlab.images.uvtool import UVT_SYNC, sync_uvtool
from virtlab.images.uvtool_images import UVTOOL_POOL
from virtlab.images.wanted import Synced, Wanted

__all__ = ["FolderPlace", "LibvirtPlace", "Place", "Way", "chosen_way", "sync"]

_UVTOOL_FOLDER: Final = Path("/var/lib/uvtool/libvirt/images")
_APT: Final = "sudo apt-get install -y uvtool"


@dataclass(frozen=True, slots=True)
class Way:
    """How images are brought, and why so."""

    method: Method
    why: str


def chosen_way(asked: Literal["auto", "uvtool", "native"]) -> Way:
    """Return the way that was asked for, or the one that this machine has.

    Raises:
        EnvironmentLackError: uvtool was asked for, or would be used, and cannot be.
    """
    there = shutil.which(UVT_SYNC)
    if asked == "native":
        return Way("native", "it was asked for")
    if there is None:
        if asked == "auto":
            return Way("native", f"{UVT_SYNC} is not installed here")
        raise EnvironmentLackError(
            f"{UVT_SYNC} is not installed here.",
            fix=f"on Ubuntu: {_APT}; elsewhere --method native, which does the same",
        )
    if os.geteuid() != 0:
        raise EnvironmentLackError(
            f"{UVT_SYNC} needs root: it would download all, and then could not store it.",
            fix="run it as root: sudo virtlab images sync ...",
        )
    return Way("uvtool", f"{there} is installed" if asked == "auto" else "it was asked for")


class Place(Protocol):
    """Where the pool of images is."""

    def found(self) -> Pool | None:
        """Return the pool, or None where there is none."""

    def made(self) -> Pool:
        """Return the pool, which is made where it is missing.

        Raises:
            EnvironmentLackError: libvirt refused it.
        """


@dataclass(frozen=True, slots=True)
class LibvirtPlace:
    """The pool of a way at this machine's libvirtd."""

    calls: HostCalls
    method: Method
    home: Path  # where the native way's folders are made

    def found(self) -> Pool | None:
        """Return the pool, or None where there is none."""
        return LibvirtPool.found(self.calls, self._name)

    def made(self) -> Pool:
        """Return the pool, which is made where it is missing; see `Place`."""
        if (pool := self.found()) is not None:
            return pool
        if self.method == "uvtool":
            # As uvtool's package makes it, if libvirtd runs while that is installed.
            return LibvirtPool.made(self.calls, self._name, _UVTOOL_FOLDER, mode="0700")
        return LibvirtPool.made(self.calls, self._name, self.home / "images", mode="0755")

    @property
    def _name(self) -> str:
        return UVTOOL_POOL if self.method == "uvtool" else NATIVE_POOL


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder, where there is no libvirtd."""

    home: Path

    def found(self) -> Pool:
        """Return the folder, which may be empty or not be there yet."""
        return FolderPool("folder", self.home / "images")

    def made(self) -> Pool:
        """Return the folder."""
        return self.found()


def sync(
    wanted: Wanted,
    way: Way,
    place: Place,
    home: Path,
    on_step: OnStep = lambda _step: None,
) -> Synced:
    """Have the image that is wanted, whole and checked; a second time nothing changes.

    Args:
        wanted: what is asked for.
        way: how.
        place: where its pool is.
        home: a folder for the lock, what was seen of sources, and temporary files.
        on_step: told how far it is.

    Raises:
        UsageError: the source has no such image, or is none.
        InputError: what the source has is unsigned, changed, damaged, or older than it was.
        EnvironmentLackError: the source, keyring, rights, room, libvirtd or a program are missing.
    """
    location = wanted.location
    if location.keyring is not None:
        check_keyring(location.keyring)
    with ExitStack() as held:
        # What only looks needs no lock, and leaves none behind.
        lock = None if wanted.check else held.enter_context(SyncLock(home))
        source = held.enter_context(open_source(location.base))

        def told(step: Step) -> None:
            if lock is not None:
                lock.note(str(step))
            on_step(step)

        seen = Seen.of(home)
        images = offered(source, location, seen.note)
        if lock is not None:
            seen.keep()
        offer = chosen(images, wanted.release, wanted.arch, wanted.source)
        pool = place.found() if wanted.check else place.made()
        if pool is None:
            return Synced(way.method, offer, None, brought=True)
        if way.method == "uvtool":
            kept_open = () if lock is None else (lock.number,)
            return sync_uvtool(wanted, offer, pool, home / "uvtool-tmp", told, held=kept_open)
        return sync_native(wanted, offer, source, pool, told)
