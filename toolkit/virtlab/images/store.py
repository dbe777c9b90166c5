"""The folders of the native way: volumes, records of what they are, and unfinished downloads.

An image counts where its record and its volume are there. Both are renamed into place when they
are whole, so that nothing half-written ever counts. Only volumes lie in the pool's folder, as
libvirt takes every file there for one; the others lie beside it, on the same file system.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from virtlab.errors import EnvironmentLackError
from virtlab.images.kept_image import KeptImage
from virtlab.images.pool import Pool, Volume

__all__ = ["NATIVE_POOL", "Record", "Store", "native_images", "volume_name", "volume_stem"]

NATIVE_POOL: Final = "virtlab-images"
_VERSION: Final = 1
_READABLE: Final = 0o644  # by all, whatever the umask is


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
    aliases: tuple[str, ...] = ()  # other names of the release at the source
    superseded: bool = False  # another content came for the same version, so it is no image now


@dataclass(frozen=True, slots=True)
class Store:
    """The folder of a pool, and two beside it."""

    volumes: Path

    @classmethod
    def of(cls, pool: Pool) -> Store:
        """Return the store whose volumes are this pool's."""
        return cls(pool.target)

    @property
    def records(self) -> Path:
        """Return the folder of the records."""
        return self.volumes.with_name(self.volumes.name + "-records")

    @property
    def partial(self) -> Path:
        """Return the folder of unfinished downloads."""
        return self.volumes.with_name(self.volumes.name + "-partial")

    def make(self) -> None:
        """Make the folders; all may read volumes and records, as QEMU's user has to.

        Raises:
            EnvironmentLackError: they may not be made, or would not lie on one file system.
        """
        try:
            self.volumes.parent.mkdir(parents=True, exist_ok=True)
            for path, mode in ((self.volumes, 0o755), (self.records, 0o755), (self.partial, 0o700)):
                if not path.is_dir():
                    path.mkdir()
                    path.chmod(mode)  # whatever the umask is
                if not os.access(path, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        except PermissionError as err:
            raise EnvironmentLackError(
                f"{err.filename}: images cannot be kept there: {err.strerror}.",
                fix="run it as root: sudo virtlab images sync ...",
            ) from err
        if self.volumes.stat().st_dev != self.partial.stat().st_dev:
            raise EnvironmentLackError(
                f"{self.volumes} is a file system of its own, so that images cannot be moved into "
                "it in one step.",
                fix="define the pool on a folder inside of it: virsh pool-define-as "
                f"{NATIVE_POOL} dir --target {self.volumes}/images",
            )

    def read_records(self) -> Iterator[Record]:
        """Yield the records in the order of their names; what is no record is passed over.

        Raises:
            EnvironmentLackError: they may not be read.
        """
        try:
            for path in sorted(self.records.iterdir()):
                with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
                    if path.suffix == ".json":
                        yield _record(json.loads(path.read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as err:
            raise EnvironmentLackError(
                f"{err.filename}: which images are kept cannot be read: {err.strerror}.",
                fix=f"run it with sudo, or: sudo chmod -R a+rX {self.records}",
            ) from err

    def write_record(self, record: Record) -> None:
        """Keep a record for good; from now on its volume is an image.

        Raises:
            OSError: it cannot be written.
        """
        fresh = self.partial / f"{record.volume}.record"
        with fresh.open("w") as file:
            json.dump({"format": _VERSION, **asdict(record)}, file, indent=2)
            file.flush()
            os.fchmod(file.fileno(), _READABLE)
            os.fsync(file.fileno())
        fresh.rename(self._record_of(record.volume))

    def forget(self, volume: str) -> None:
        """Remove a record; its volume is no image any more."""
        self._record_of(volume).unlink(missing_ok=True)

    def _record_of(self, volume: str) -> Path:
        return self.records / f"{volume}.json"


def volume_stem(product: str) -> str:
    """Return what the names of a product's volumes begin with."""
    return re.sub(r"[^A-Za-z0-9.+-]", "-", f"{product}-").lstrip(".-")


def volume_name(product: str, version: str, sha256: str) -> str:
    """Return the name of a product's version with this content as a file of the pool.

    Where the same version comes with another content, guests stay on what they were built on.
    """
    serial = re.sub(r"[^A-Za-z0-9.+-]", "-", version)
    return f"{volume_stem(product)}{serial}-{sha256[:16]}.qcow2"


def native_images(pool: Pool) -> list[KeptImage]:
    """Return the images of this way that are kept, sorted by volume."""
    volumes = pool.volumes()
    return [
        _image(record, pool.name, volume)
        for record in Store.of(pool).read_records()
        if not record.superseded
        # libvirt may not have seen yet that a file went, or was cut.
        and (volume := volumes.get(record.volume))
        and _size(volume.path) == record.size_bytes
    ]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
    except OSError as err:
        raise EnvironmentLackError(
            f"{path}: images cannot be looked at: {err.strerror}.", fix="run it with sudo"
        ) from err


def _image(record: Record, pool: str, volume: Volume) -> KeptImage:
    return KeptImage(
        record.release, record.number, record.lts, record.arch, record.version, record.label,
        "native", pool, record.volume, str(volume.path), volume.virtual_size_kib, record.aliases,
    )  # fmt: skip


def _record(found: Mapping[str, Any]) -> Record:
    if found["format"] != _VERSION:
        raise ValueError("a record of another version of the lab")
    given = {key: value for key, value in found.items() if key != "format"}
    return Record(**{**given, "aliases": tuple(given.get("aliases", ()))})
