"""What an administrator wrote down about a guest, from its description.

Who runs a host tells the daemons what to leave alone in the guest's metadata:

    virsh metadata web --uri urn:virtlab:agent:1 --key lab --live --config \\
        --set '<agent schedule="off" coordinate="off" pcpus="0-3" floor-mib="512" shares="2000"/>'

Each attribute may be left out. What is written there badly counts as "off": a note that cannot be
read was meant to keep somebody away.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from xml.etree import ElementTree

from virtlab.model.units import KIB_PER_MIB

__all__ = ["NOTES", "GuestNotes", "notes_of", "pcpus_of_list"]

NOTES: Final = "urn:virtlab:agent:1"  # namespace of the element

_UNITS_KIB: Final = {"b": 1 / 1024, "bytes": 1 / 1024, "k": 1, "KiB": 1, "M": 1024, "MiB": 1024,
                     "G": 1024**2, "GiB": 1024**2}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GuestNotes:
    """What is to be kept with one guest."""

    schedule: bool = True  # False: its vCPUs are left alone
    coordinate: bool = True  # False: its balloon is left alone
    pcpus: frozenset[int] | None = None  # it may run here only
    floor_kib: int = 0
    shares: int = 1000
    memory_cells: frozenset[int] | None = None  # `<numatune>`
    has_balloon: bool = True
    deflates: bool = False  # by itself, when the guest runs out of memory
    stats_period_s: int = 0
    shared_memory: bool = False  # with other programs; the host counts such memory as cache


def notes_of(xml: str) -> GuestNotes:
    """Return what a guest's description says; one that is no XML keeps everybody away."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return GuestNotes(schedule=False, coordinate=False)
    balloon = root.find("devices/memballoon")
    period = None if balloon is None else balloon.find("stats")
    notes = GuestNotes(
        floor_kib=_guaranteed_kib(root),
        memory_cells=_cells(root),
        has_balloon=balloon is not None and balloon.get("model") != "none",
        deflates=balloon is not None and balloon.get("autodeflate") == "on",
        stats_period_s=0 if period is None else _seconds(period.get("period", "0")),
        shared_memory=_is_shared(root),
    )
    element = root.find(f"metadata/{{{NOTES}}}agent")
    if element is None:
        return notes
    try:
        return _with_element(notes, element)
    except ValueError:
        return GuestNotes(schedule=False, coordinate=False)


def pcpus_of_list(text: str) -> frozenset[int]:
    """Return the numbers of a list as libvirt writes it, such as `0-3,6` or `0-7,^2`.

    Raises:
        ValueError: it is none.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().lstrip("^").partition("-")
        span = range(int(first), int(last if dash else first) + 1)
        if part.strip().startswith("^"):
            found.difference_update(span)
        else:
            found.update(span)
    return frozenset(found)


def _with_element(notes: GuestNotes, element: ElementTree.Element) -> GuestNotes:
    pcpus, floor = element.get("pcpus"), element.get("floor-mib")
    return replace(
        notes,
        schedule=_switch(element.get("schedule", "on")),
        coordinate=_switch(element.get("coordinate", "on")),
        pcpus=None if pcpus is None else pcpus_of_list(pcpus),
        floor_kib=notes.floor_kib if floor is None else _whole(floor) * KIB_PER_MIB,
        shares=_whole(element.get("shares", "1000")),
    )


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError(text)
    return text == "on"


def _seconds(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _guaranteed_kib(root: ElementTree.Element) -> int:
    """Return `<min_guarantee>` of `<memtune>`, which QEMU itself does not enforce."""
    found = root.find("memtune/min_guarantee")
    if found is None or not (found.text or "").strip().isdigit():
        return 0
    return round(int(found.text or "0") * _UNITS_KIB.get(found.get("unit", "KiB"), 1))


def _cells(root: ElementTree.Element) -> frozenset[int] | None:
    found = root.find("numatune/memory")
    nodes = None if found is None else found.get("nodeset")
    try:
        return None if nodes is None else pcpus_of_list(nodes)
    except ValueError:
        return None


def _is_shared(root: ElementTree.Element) -> bool:
    """Tell whether a guest's memory is, or may be, a file's, as virtiofs and vhost-user need it.

    Source: formatdomain of libvirt, `<memoryBacking>` and `memAccess` of `<numa>`.
    """
    if any(cell.get("memAccess") == "shared" for cell in root.findall("cpu/numa/cell")):
        return True
    access, source = root.find("memoryBacking/access"), root.find("memoryBacking/source")
    if access is not None:
        return access.get("mode") == "shared"
    return source is not None and source.get("type") in ("file", "memfd")
