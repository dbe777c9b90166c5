"""A finding: one thing that the lab uses, whether it works here, and the command that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["PURPOSES", "Finding", "Purpose", "Status", "can"]

Purpose = Literal["simulated host", "real host", "playbooks", "vagrant"]
# What each lets a user do, from what everybody needs to what few do.
PURPOSES: dict[Purpose, str] = {
    "simulated host": "run and grade programs on the simulated host",
    "real host": "run and grade programs on libvirtd with QEMU guests",
    "playbooks": "build a real host by Ansible",
    "vagrant": "bring up the lab in a Vagrant box, with Ubuntu guests",
}
Status = Literal["works", "weaker", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    purpose: Purpose
    name: str
    status: Status  # weaker: the work can be done, with less
    detail: str  # the version, or what is wrong
    fix: str | None = None  # the exact command, or what else to do


def can(findings: Sequence[Finding], purpose: Purpose) -> bool:
    """Tell whether nothing that a purpose needs is missing."""
    return not any(f.purpose == purpose and f.status == "missing" for f in findings)
