"""What a sync is asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from virtlab.images.kept_image import KeptImage, Method
from virtlab.images.signature import UBUNTU_KEYRING
from virtlab.images.source import UBUNTU_RELEASES, Location
from virtlab.images.streams import StreamImage

__all__ = ["Synced", "Wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image, and where it is to come from."""

    arch: str  # in Debian's words
    release: str | None = None  # a name, number or alias; None is the newest with long support
    source: str = UBUNTU_RELEASES
    keyring: Path | None = UBUNTU_KEYRING  # None takes what is not signed, too
    prune: bool = False  # remove older versions that no guest uses
    check: bool = False  # only find out what would be done

    @property
    def location(self) -> Location:
        """Return where the source's index is.

        Raises:
            UsageError: it cannot be one that is signed, and has to be.
        """
        return Location.named(self.source, self.keyring)


@dataclass(frozen=True, slots=True)
class Synced:
    """What a sync did, or would do."""

    method: Method
    offer: StreamImage
    image: KeptImage | None  # None where it would have to be brought, and was not to be
    brought: bool  # or it would be
    removed: tuple[str, ...] = ()  # the volumes of older versions that went, or would go

    @property
    def changed(self) -> bool:
        """Tell whether anything is another than before, or would be."""
        return self.brought or bool(self.removed)
