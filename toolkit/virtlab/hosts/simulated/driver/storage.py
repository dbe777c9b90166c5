"""What the host keeps of its clients' domains: how much that is, and when there is no more room.

A real host keeps descriptions and notes as files, and refuses what its disk has no room for. Here
they lie in memory, so that a client which defines domains for ever would take the lab's. Each part
is counted as the memory that it was measured to take, roughly and rather too high.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from xml.etree import ElementTree as ET

from virtlab.hosts.simulated.driver.definition import Definition
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain

__all__ = ["RUN", "Storage", "check_file_name", "size_of_definition", "size_of_note"]

_ROOM_BYTES: Final = 256 << 20  # some 14,000 ordinary domains

# Of CPython 3.11, by tracemalloc: a domain 10.8 KB, a vCPU 3.5 KB, an element 146 to 210 bytes, an
# attribute 76, a CPU of a list 64.
_DOMAIN_BYTES: Final = 12_000
_VCPU_BYTES: Final = 4_000
_ELEMENT_BYTES: Final = 220
_ATTRIBUTE_BYTES: Final = 100
_CPU_BYTES: Final = 70
_NOTE_BYTES: Final = 500  # its places in tables

_FILE_NAME_MAX: Final = 255 - len(".xml.new")  # bytes of a name; Linux' NAME_MAX
_NAME_TOO_LONG: Final = 36  # ENAMETOOLONG
_NO_SPACE: Final = 28  # ENOSPC

RUN = "run"  # how the parts begin that a domain's run has for itself


class Storage:
    """The sizes of what is kept, by domain and part; together they stay within bounds."""

    def __init__(self, room_bytes: int = _ROOM_BYTES) -> None:
        self._room_bytes = room_bytes
        self._parts: dict[bytes, dict[str, int]] = {}
        self.used_bytes = 0

    def keep(self, uuid: bytes, name: str, parts: Mapping[str, int]) -> None:
        """Take note of parts of a domain, in the place of those that have their names.

        A part of 0 bytes is gone.

        Raises:
            LibvirtError: there is no room for them; nothing has changed.
        """
        kept = self._parts.get(uuid, {})
        after = {part: size for part, size in {**kept, **parts}.items() if size}
        more = sum(after.values()) - sum(kept.values())
        if more > 0 and self.used_bytes + more > self._room_bytes:
            path = _file_of(name, running=all(part.startswith(RUN) for part in parts))
            raise errors.system_error(
                f"cannot write data to file '{path}': No space left on device",
                ErrorDomain.XML,
                number=_NO_SPACE,
            )
        self._parts[uuid] = after
        self.used_bytes += more

    def drop(self, uuid: bytes, beginning: str = "") -> None:
        """Forget a domain's parts, or those whose names begin so."""
        kept = self._parts.pop(uuid, {})
        left = {part: size for part, size in kept.items() if not part.startswith(beginning)}
        self.used_bytes -= sum(kept.values()) - sum(left.values())
        if left:
            self._parts[uuid] = left

    def size(self, uuid: bytes, part: str) -> int:
        """Return what a part takes; 0 where there is none."""
        return self._parts.get(uuid, {}).get(part, 0)


def size_of_definition(definition: Definition) -> int:
    """Return how many bytes a domain takes that has this description."""
    masks = {id(mask): len(mask) for mask in definition.masks if mask is not None}
    cpus = sum(masks.values()) + len(definition.emulator_mask or ())
    return (
        _DOMAIN_BYTES
        + _VCPU_BYTES * definition.vcpus
        + _CPU_BYTES * (cpus + len(definition.numa.nodes or ()))
        + _size_of_elements(definition.text.iter())
    )


def size_of_note(note: str | ET.Element, key: str = "", uri: str = "") -> int:
    """Return how many bytes a note takes: a text, or an element that gets a namespace."""
    if isinstance(note, str):
        return _NOTE_BYTES + _size_of_text(note)
    elements = list(note.iter())
    names = len(elements) * _size_of_text(key)  # each begins with it
    # The namespace names the part, too.
    return _NOTE_BYTES + _size_of_elements(elements) + names + 2 * _size_of_text(uri)


def check_file_name(name: str, *, running: bool = False) -> None:
    """Refuse a name that a real host could not write into a file's name.

    Raises:
        LibvirtError: it is too long.
    """
    if len(name.encode()) > _FILE_NAME_MAX:
        raise errors.system_error(
            f"Failed to create file '{_file_of(name, running=running)}': File name too long",
            ErrorDomain.NONE,
            number=_NAME_TOO_LONG,
        )


def _file_of(name: str, *, running: bool) -> str:
    return f"/{'run' if running else 'etc'}/libvirt/qemu/{name}.xml.new"


def _size_of_elements(elements: Iterable[ET.Element]) -> int:
    size = 0
    for element in elements:
        size += _ELEMENT_BYTES + _ATTRIBUTE_BYTES * len(element.attrib)
        size += sum(map(_size_of_text, (element.tag, element.text, element.tail)))
        size += sum(map(_size_of_text, element.attrib.values()))
    return size


def _size_of_text(text: str | None) -> int:
    if not text:
        return 0
    return len(text) if text.isascii() else 4 * len(text)  # the widest character counts for all
