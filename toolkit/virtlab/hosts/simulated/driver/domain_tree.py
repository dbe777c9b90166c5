"""The tree of a domain's description: which elements it has, and in which order."""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree as ET

__all__ = ["ORDER", "child", "put_text", "remove", "source_path"]

# libvirt's order of a domain's elements; it leaves out what it does not know.
_NAMES: Final = (
    "name uuid genid title description metadata maxMemory memory currentMemory blkiotune memtune "
    "memoryBacking vcpu vcpus iothreads iothreadids cputune numatune resource sysinfo bootloader "
    "os features cpu clock on_poweroff on_reboot on_crash pm perf idmap devices seclabel"
)
ORDER: Final = tuple(_NAMES.split())
# Where the source of a disk says what it is.
_SOURCES: Final = ("file", "dev", "dir", "name", "volume")
_PLACES: Final = {tag: place for place, tag in enumerate(ORDER)}


def child(root: ET.Element, tag: str) -> ET.Element:
    """Return an element of a description, put in its place where it was missing."""
    found = root.find(tag)
    if found is not None:
        return found
    element = ET.Element(tag)
    root.insert(sum(1 for other in root if _PLACES[other.tag] < _PLACES[tag]), element)
    return element


def put_text(root: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    """Write an element's text and attributes, and return it."""
    element = child(root, tag)
    element.text = text
    for name, value in attributes.items():
        element.set(name, value)
    return element


def source_path(disk: ET.Element) -> str:
    """Return what lies in a disk's drive: a file, a device, a folder, a volume; "" for nothing."""
    source = disk.find("source")
    if source is None:
        return ""
    return next((source.get(key, "") for key in _SOURCES if key in source.attrib), "")


def remove(root: ET.Element, tag: str) -> None:
    """Take an element out where it is there."""
    found = root.find(tag)
    if found is not None:
        root.remove(found)
