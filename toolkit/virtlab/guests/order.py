"""What is asked for, and whether a guest that stands is it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from virtlab.guests import uvt
from virtlab.guests.definition import Wanted
from virtlab.guests.host import StandingGuest
from virtlab.guests.keys import LoginKey
from virtlab.guests.places import POOL

__all__ = ["CloudImage", "LeftOpen", "Order", "other_than"]

LeftOpen = Literal["release", "accelerator", "key"]


@dataclass(frozen=True, slots=True)
class CloudImage:
    """An image in libvirt's storage, or a file that is taken there."""

    path: Path
    pool: str | None = None  # None: a file that lies in no pool yet
    means: str = ""  # what it is, whichever build: "release noble amd64", or its content
    version: str = ""  # of the build


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for: a guest, what it begins as, and who will log in."""

    wanted: Wanted
    kind: Literal["cloud", "uvt"]
    image: CloudImage | uvt.Release
    key: LoginKey
    pool: str = POOL
    left_open: frozenset[LeftOpen] = frozenset()  # what was not asked for, but chosen here

    @property
    def name_of_all(self) -> str:
        """Return what tells this order from another one of the same name, but for the image.

        What may be chosen otherwise the next time, as a newer image came or KVM went, is no part
        of it, so that the same command is content with the guest that it made.
        """
        wanted = replace(self.wanted, accelerator="qemu")
        text = f"{self.kind} {wanted} {self.pool}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def image_means(self) -> str:
        """What it begins as, whichever build of it."""
        return self.image.means


def other_than(there: StandingGuest, order: Order) -> str | None:
    """Return wherein a guest is another one than asked for; None where it is that one."""
    notes = there.notes
    if notes is None:
        return "a micro-guest"
    if "key" not in order.left_open and _blob(notes.public_key) != _blob(order.key.public):
        return "another key opens it"
    if "accelerator" not in order.left_open and there.accelerator != order.wanted.accelerator:
        return f"it runs on {there.accelerator}"
    if notes.asked != order.name_of_all:
        return "its sizes, its kind, its network or its pool"
    if "release" in order.left_open and notes.image.startswith("release "):
        return None
    return None if notes.image == order.image_means else f"it began as {notes.image}"


def _blob(public: str) -> list[str]:
    """Return a public key without its comment."""
    return public.split()[:2]
