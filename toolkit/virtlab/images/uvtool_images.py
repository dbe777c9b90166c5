"""The images that uvtool keeps on this host, as its pool and its metadata show them.

An image of uvtool's is a volume `x-uvt-b64-` + urlsafe base64 of "PRODUCT VERSION" in the pool
`uvtool`, and a JSON file of the same name among the metadata. One without the other is what a sync
left that broke off.

Source: read in uvtool of 2014; uvtool itself was not run against this.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from virtlab.errors import EnvironmentLackError
from virtlab.images.kept_image import KeptImage, is_lts_number
from virtlab.images.pool import Pool

__all__ = [
    "UVTOOL_METADATA",
    "UVTOOL_POOL",
    "product_of",
    "uvtool_images",
    "uvtool_metadata",
    "uvtool_volume",
]

UVTOOL_POOL: Final = "uvtool"
UVTOOL_METADATA: Final = Path("/var/lib/uvtool/libvirt/metadata")
_PREFIX: Final = "x-uvt-b64-"


@dataclass(frozen=True, slots=True)
class _Product:
    """The parts of a name such as com.ubuntu.cloud:server:24.04:amd64, and the version."""

    number: str
    arch: str
    version: str


def uvtool_volume(product: str, version: str) -> str:
    """Return the name that uvtool gives to the volume of a product's version."""
    return _PREFIX + base64.urlsafe_b64encode(f"{product} {version}".encode()).decode()


def product_of(volume: str) -> tuple[str, str] | None:
    """Return a volume's product and version; None where the name is none of uvtool's."""
    if not volume.startswith(_PREFIX):
        return None
    coded = volume.removeprefix(_PREFIX)
    try:
        padded = coded + "=" * (-len(coded) % 4)
        product, _, version = base64.urlsafe_b64decode(padded).decode().partition(" ")
    except (binascii.Error, ValueError):
        return None
    return (product, version) if product and version else None


def uvtool_metadata(folder: Path = UVTOOL_METADATA) -> dict[str, Mapping[str, Any]]:
    """Return what uvtool noted of each volume, by name; an unreadable note is an empty one.

    Raises:
        EnvironmentLackError: the folder may not be read.
    """
    found: dict[str, Mapping[str, Any]] = {}
    try:
        files = sorted(folder.iterdir())
    except FileNotFoundError:
        return found
    except PermissionError as err:
        raise EnvironmentLackError(
            f"{folder}: only root may see which images uvtool has.", fix="run it with sudo"
        ) from err
    for path in files:
        try:
            note = json.loads(path.read_text())
        except (OSError, ValueError):
            note = {}
        found[path.name] = note if isinstance(note, dict) else {}
    return found


def uvtool_images(pool: Pool, folder: Path = UVTOOL_METADATA) -> list[KeptImage]:
    """Return the images of which uvtool has both the volume and the note, sorted by volume.

    Raises:
        EnvironmentLackError: the notes may not be read.
    """
    notes = uvtool_metadata(folder)
    found = []
    for name, volume in sorted(pool.volumes().items()):
        product = _product(name)
        if product is None or name not in notes:
            continue
        note = notes[name]
        number = str(note.get("version", product.number))
        found.append(
            KeptImage(
                str(note.get("release", number)), number, is_lts_number(number),
                product.arch, product.version, str(note.get("label", "release")),
                "uvtool", pool.name, name, str(volume.path), volume.virtual_size_kib,
            )
        )  # fmt: skip
    return found


def _product(volume: str) -> _Product | None:
    parts = product_of(volume)
    if parts is None:
        return None
    product, version = parts
    words = product.split(":")
    return _Product(words[-2], words[-1], version) if len(words) >= 3 else None
