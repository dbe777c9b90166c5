"""What a simplestreams source offers: its index, its products, and the image that is wanted. Pure.

An index names files of products; a product is one release for one architecture, and has versions
by serial; the item `disk1.img` of a version is the image that guests boot.

Source: doc/README of simplestreams; https://cloud-images.ubuntu.com/releases/streams/v1/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import BaseModel, Field, ValidationError

from virtlab.errors import InputError, UsageError
from virtlab.images.kept_image import LTS_NAMES, ordering
from virtlab.naming import known_or_nearest, listed

__all__ = ["NothingMatchesError", "StreamImage", "chosen", "parse_index", "parse_products"]

_INDEX_FORMAT: Final = "index:1.0"
_PRODUCTS_FORMAT: Final = "products:1.0"
_DATATYPE: Final = "image-downloads"
_FTYPE: Final = "disk1.img"
_SIZE_MAX_BYTES: Final = 64 << 30  # a hundred times what a cloud image takes
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# Of what stands in messages and in names of files.
_WORD: Final = re.compile(r"[A-Za-z0-9.:+~_-]{1,80}")
# What means the same in a URL and on a disk: neither of control characters, nor \, ?, #, %.
_PATH: Final = re.compile(r"[A-Za-z0-9._~:@!$&'()*+,;=/ -]+")


class NothingMatchesError(UsageError):
    """The source has no image of the release for the architecture."""


@dataclass(frozen=True, slots=True)
class StreamImage:
    """One version of one product at a source."""

    product: str
    release: str
    number: str
    lts: bool
    aliases: tuple[str, ...]
    arch: str
    version: str
    label: str
    path: str  # below the source's base
    size_bytes: int
    sha256: str

    def is_named(self, release: str) -> bool:
        """Tell whether a name, number or alias of a release means this one."""
        return release in (self.release, self.number, *self.aliases)


class _Entry(BaseModel):
    datatype: str = ""
    format: str = ""
    path: str


class _Index(BaseModel):
    format: str
    index: Mapping[str, _Entry]


class _Item(BaseModel):
    ftype: str = ""
    path: str = ""
    size: int = Field(default=0, ge=0)
    sha256: str = ""


class _Version(BaseModel):
    items: Mapping[str, _Item]
    label: str = "release"


class _Product(BaseModel):
    arch: str
    release: str
    version: str
    release_title: str = ""
    aliases: str = ""
    versions: Mapping[str, _Version] = Field(default_factory=dict)


class _Products(BaseModel):
    format: str
    datatype: str = _DATATYPE
    products: Mapping[str, _Product]


_File = TypeVar("_File", _Index, _Products)


def parse_index(text: bytes, where: str) -> list[str]:
    """Return the paths of the files of products, in the index's order.

    Raises:
        InputError: it is no index, or one without images.
    """
    index = _parsed(_Index, text, where, _INDEX_FORMAT)
    paths = [
        _safe(entry.path, where)
        for entry in index.index.values()
        if entry.datatype == _DATATYPE and entry.format == _PRODUCTS_FORMAT
    ]
    if not paths:
        raise InputError(f"{where}: this index names no images.", fix="name another source")
    return paths


def parse_products(text: bytes, where: str) -> list[StreamImage]:
    """Return all images that a file of products has, with a checksum; the newest come last.

    Raises:
        InputError: it is no such file.
    """
    found = []
    for name, product in _parsed(_Products, text, where, _PRODUCTS_FORMAT).products.items():
        aliases = tuple(alias for alias in product.aliases.split(",") if alias)
        lts = "LTS" in product.release_title or not LTS_NAMES.isdisjoint(aliases)
        for serial, version in product.versions.items():
            # An image whose content nothing vouches for is none.
            _refuse_odd((name, product.release, product.version, product.arch, serial), where)
            items = [i for i in version.items.values() if i.ftype == _FTYPE and _checkable(i)]
            found += [
                StreamImage(
                    name, product.release, product.version, lts, aliases, product.arch,
                    serial, version.label, _safe(item.path, where), _size(item, where), item.sha256,
                )
                for item in items[:1]
            ]  # fmt: skip
    return sorted(found, key=_age)


def chosen(
    images: Sequence[StreamImage], release: str | None, arch: str, source: str
) -> StreamImage:
    """Return the newest image that is meant.

    Args:
        images: what a source offers.
        release: a name, a number or an alias; None is the newest with long-term support.
        arch: in Debian's words.
        source: as messages name it.

    Raises:
        NothingMatchesError: there is none; the fix names what there is.
    """
    wanted = release or "lts"
    of_arch = [image for image in images if image.arch == arch]
    named = [image for image in of_arch if image.is_named(wanted)]
    if not named and wanted in LTS_NAMES:
        named = [image for image in of_arch if image.lts]
    if named:
        return max(named, key=_age)
    raise NothingMatchesError(
        f"{source} has no image of {wanted} for {arch}.", fix=_instead(images, wanted, arch)
    )


def _instead(images: Iterable[StreamImage], wanted: str, arch: str) -> str:
    """Return what could be meant: another architecture, or another name."""
    every = list(images)
    if arches := sorted({image.arch for image in every if image.is_named(wanted)}):
        return f"of this release there is {listed(arches)}: choose by --arch"
    names = {image.release: image.number for image in every if image.arch == arch}
    if not names:
        arches = sorted({image.arch for image in every})
        return f"choose by --arch: there is {listed(arches) or 'nothing at this source'}"
    return known_or_nearest(wanted, [*names, *names.values()], "release")


def _age(image: StreamImage) -> tuple[object, ...]:
    return ordering(image.number), ordering(image.version), image.product


def _checkable(item: _Item) -> bool:
    return item.size > 0 and _SHA256.fullmatch(item.sha256) is not None


def _refuse_odd(words: Iterable[str], where: str) -> None:
    """Refuse words that a terminal would obey, or that no file could be named by.

    Raises:
        InputError: there is one.
    """
    for word in words:
        if not _WORD.fullmatch(word):
            raise InputError(
                f"{where}: {word[:200]!r} is no name of a product, release, architecture or "
                "version.",
                fix="name another source",
            )


def _size(item: _Item, where: str) -> int:
    """Return how large an image is.

    Raises:
        InputError: larger than any image; its pieces are counted in memory before it comes.
    """
    if item.size > _SIZE_MAX_BYTES:
        raise InputError(
            f"{where}: {item.path!r} would have {item.size} bytes, and no image has more than "
            f"{_SIZE_MAX_BYTES >> 30} GiB.",
            fix="name another source",
        )
    return item.size


def _safe(path: str, where: str) -> str:
    """Return a path that stays below the source, and means the same in a URL and on a disk.

    Raises:
        InputError: it leads elsewhere, or has characters that no mirror's paths have.
    """
    if not path or path.startswith("/") or "://" in path or ".." in path.split("/"):
        raise InputError(
            f"{where}: the path {path!r} leads out of the source.", fix="name another source"
        )
    if not _PATH.fullmatch(path):
        raise InputError(
            f"{where}: the path {path!r} has characters that no path of a mirror has.",
            fix="name another source",
        )
    return path


def _parsed(kind: type[_File], text: bytes, where: str, form: str) -> _File:
    try:
        found = kind.model_validate_json(text)
    except ValidationError as err:
        first = err.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{where}: this is no simplestreams file: {place + ': ' if place else ''}"
            f"{first['msg']}.",
            fix="name the folder above streams/v1/",
        ) from err
    if found.format != form:
        raise InputError(
            f"{where}: its format is {found.format!r}, and {form} is understood.",
            fix="name another source",
        )
    return found
