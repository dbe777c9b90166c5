"""An image that is kept on a host, ready to be the base of guests, and which one a name means."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from virtlab.errors import EnvironmentLackError
from virtlab.naming import listed

__all__ = [
    "LTS_NAMES",
    "ImageMissingError",
    "KeptImage",
    "Method",
    "is_lts_number",
    "machine_arch",
    "newest",
    "ordering",
]

Method = Literal["native", "uvtool"]

LTS_NAMES: Final = frozenset({"lts", "default"})  # the newest release with long-term support
_ARCHES: Final = {
    "x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64el", "armv7l": "armhf", "i686": "i386",
}  # fmt: skip
_LTS_NUMBER: Final = re.compile(r"\d?[02468]\.04")


class ImageMissingError(EnvironmentLackError):
    """No such image is kept here; the fix names the command that brings it."""

    def __init__(self, release: str | None, arch: str, kept: Iterable[KeptImage]) -> None:
        what = f"{release or 'any release'} for {arch}"
        there = listed(f"{image.release} {image.arch} {image.version}" for image in kept)
        words = ["virtlab images sync", *([f"--release {release}"] if release else [])]
        super().__init__(
            f"no image of {what} is kept here; there is {there or 'none at all'}.",
            fix=" ".join([*words, f"--arch {arch}"]),
        )


@dataclass(frozen=True, slots=True)
class KeptImage:
    """An image whose volume and whose record are both there."""

    release: str  # the code name, such as noble
    number: str  # such as 24.04
    lts: bool
    arch: str  # in Debian's words, such as amd64
    version: str  # the serial of the build, such as 20260321
    label: str  # release, daily or the like
    method: Method  # which of the two ways brought it
    pool: str
    volume: str
    path: str  # of the volume, on the host
    virtual_size_kib: int  # the disk that a guest would see
    aliases: tuple[str, ...] = ()  # other names of the release at the source that it came from

    def is_named(self, release: str | None) -> bool:
        """Tell whether a release's name means this one; None and "lts" mean any LTS."""
        if release is None or release in LTS_NAMES:
            return self.lts
        return release in (self.release, self.number, *self.aliases)


def newest(images: Iterable[KeptImage], release: str | None, arch: str) -> KeptImage:
    """Return the newest image that is meant.

    Args:
        images: those that are kept.
        release: a name, a number, "lts"; None is the newest release with long-term support.
        arch: in Debian's words.

    Raises:
        ImageMissingError: there is none.
    """
    every = sorted(images, key=_age)
    meant = [image for image in every if image.arch == arch and image.is_named(release)]
    if not meant:
        raise ImageMissingError(release, arch, every)
    return meant[-1]


def ordering(text: str) -> tuple[tuple[int, str], ...]:
    """Return a key by which numbers and serials, such as 20260321.1, sort as they were made."""
    parts = re.findall(r"\d+|[^\d.]+", text)
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in parts)


def machine_arch() -> str:
    """Return this machine's architecture in Debian's words.

    Source: dpkg's cputable.
    """
    machine = platform.machine()
    return _ARCHES.get(machine, machine)


def is_lts_number(number: str) -> bool:
    """Tell whether a release has long-term support: those of April of even years.

    Source: https://ubuntu.com/about/release-cycle
    """
    return _LTS_NUMBER.fullmatch(number) is not None


def _age(image: KeptImage) -> tuple[object, ...]:
    return ordering(image.number), ordering(image.version), image.method, image.volume
