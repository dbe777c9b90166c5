"""The folders of the native way: volumes, records of what they are, and unfinished downloads.

An image counts where its record and its volume are there. Both are renamed into place when they
are whole, so that nothing half-written ever counts. Only volumes lie in the pool's folder, as
libvirt takes every file there for one; the others lie beside it, on the same file system.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from virtlab.images.kept_image import KeptImage
from virtlab.images.pool import Pool, Volume

__all__ = ["NATIVE_POOL", "Record", "Store", "native_images", "volume_name"]

NATIVE_POOL: Final = "virtlab-images"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What a volume is, and where it came from."""

    product: str  # as the products file names it
    release: str
    number: str
    lts: bool
    arch: str
    version: str
    label: str
    volume: str
    size_bytes: int
    sha256: str
    source: str  # the URL of the file
    signed: bool  # whether the source's signature was checked


@dataclass(frozen=True, slots=True)
class Store:
    """The folders below one home; `volumes` is the pool's target."""

    home: Path

    @classmethod
    def of(cls, pool: Pool) -> Store:
        """Return the store whose volumes are this pool's."""
        return cls(pool.target.parent)

    @property
    def volumes(self) -> Path:
        """Return the folder of the pool."""
        return self.home / "volumes"

    @property
    def records(self) -> Path:
        """Return the folder of the records."""
        return self.home / "records"

    @property
    def partial(self) -> Path:
        """Return the folder of unfinished downloads."""
        return self.home / "partial"

    def make(self) -> None:
        """Make the folders; QEMU's user passes through, and guests' bases may be read by all.

        Raises:
            OSError: they cannot be made.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        for folder, mode in ((self.volumes, 0o755), (self.records, 0o755), (self.partial, 0o700)):
            folder.mkdir(mode=mode, exist_ok=True)

    def read_records(self) -> Iterator[Record]:
        """Yield the records in the order of their names; what is no record is passed over."""
        with suppress(FileNotFoundError):
            for path in sorted(self.records.glob("*.json")):
                with suppress(OSError, ValueError, TypeError, KeyError):
                    yield _record(json.loads(path.read_text()))

    def write_record(self, record: Record) -> None:
        """Keep a record for good; from now on its volume is an image.

        Raises:
            OSError: it cannot be written.
        """
        fresh = self.partial / f"{record.volume}.record"
        with fresh.open("w") as file:
            json.dump({"format": _VERSION, **asdict(record)}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self._record_of(record.volume))

    def forget(self, volume: str) -> None:
        """Remove a record; its volume is no image any more."""
        self._record_of(volume).unlink(missing_ok=True)

    def _record_of(self, volume: str) -> Path:
        return self.records / f"{volume}.json"


def volume_name(product: str, version: str) -> str:
    """Return the name of a product's version as a file of the pool."""
    return re.sub(r"[^A-Za-z0-9.+-]", "-", f"{product}-{version}").lstrip(".-") + ".qcow2"


def native_images(pool: Pool) -> list[KeptImage]:
    """Return the images of this way that are kept, sorted by volume."""
    volumes = pool.volumes()
    return [
        _image(record, pool.name, volumes[record.volume])
        for record in Store.of(pool).read_records()
        if record.volume in volumes
    ]


def _image(record: Record, pool: str, volume: Volume) -> KeptImage:
    return KeptImage(
        record.release, record.number, record.lts, record.arch, record.version, record.label,
        "native", pool, record.volume, str(volume.path), volume.virtual_size_kib,
    )  # fmt: skip


def _record(found: Mapping[str, Any]) -> Record:
    if found["format"] != _VERSION:
        raise ValueError("a record of another version of the lab")
    return Record(**{key: value for key, value in found.items() if key != "format"})
