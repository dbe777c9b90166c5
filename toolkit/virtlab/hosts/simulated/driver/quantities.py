"""Sizes, numbers and CPU lists as they stand in a domain's description.

Source: libvirt's formatdomain page on units; messages of a libvirtd 9.0.0.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorCode, ErrorDomain, LibvirtError

__all__ = ["cpu_bits", "cpu_list", "memory_kib", "whole_number"]

_BYTES_PER_KIB: Final = 1024
_LETTERS: Final = "KMGTPE"
_UNITS: Final[dict[str, int]] = {
    "b": 1,
    "bytes": 1,
    **{letter: 1024 ** (power + 1) for power, letter in enumerate(_LETTERS)},
    **{f"{letter}iB": 1024 ** (power + 1) for power, letter in enumerate(_LETTERS)},
    **{f"{letter}B": 1000 ** (power + 1) for power, letter in enumerate(_LETTERS)},
}
_UNITS_LOWER: Final = {name.lower(): factor for name, factor in _UNITS.items()}
_BYTES_MAX: Final = 1 << 63
_CPUS_MAX: Final = 16_384  # REMOTE_CPUMAP_MAX, in bits
_LIST_CHARACTERS_MAX: Final = 100_000  # each CPU by itself takes 6
_PART: Final = re.compile(r"\s*(\^?)([0-9]{1,5})(?:-([0-9]{1,5}))?\s*")


def memory_kib(element: ET.Element | None, path: str) -> int:
    """Return a size in KiB, rounded up; 0 where the element is missing.

    Args:
        element: it has a number for text and perhaps a unit.
        path: where it stands, as libvirt's message names it.

    Raises:
        LibvirtError: it is no size, or too large for libvirt.
    """
    if element is None:
        return 0
    text = (element.text or "").strip()
    if not re.fullmatch("[0-9]{1,19}", text):
        raise errors.xml_error(
            f"Invalid value '{text}' for element or attribute '{path}'", ErrorDomain.XML
        )
    unit = element.get("unit", "KiB")
    factor = _UNITS_LOWER.get(unit.lower())
    if factor is None:
        raise errors.invalid_argument(f"unknown suffix '{unit}'", ErrorDomain.NONE)
    size: int = int(text) * factor
    if size >= _BYTES_MAX:
        raise LibvirtError.of(
            ErrorCode.OVERFLOW, f"value too large: {text}{unit}", ErrorDomain.NONE
        )
    return -(-size // _BYTES_PER_KIB)


def whole_number(element: ET.Element, attribute: str, expected: str = "integer") -> int:
    """Return a number that stands in an attribute.

    Raises:
        LibvirtError: it is none.
    """
    text = element.get(attribute, "")
    if not re.fullmatch("[0-9]{1,9}", text):
        raise errors.xml_error(
            f"Invalid value for attribute '{attribute}' in element '{element.tag}': '{text}'. "
            f"Expected {expected} value",
            ErrorDomain.XML,
        )
    return int(text)


def cpu_list(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as 0-3,^2,8.

    Raises:
        LibvirtError: it is no such list.
    """
    digits = bin(cpu_bits(text))[:1:-1]
    return frozenset([number for number, digit in enumerate(digits) if digit == "1"])


def cpu_bits(text: str) -> int:
    """Return the same as bits: 1 << n for CPU n. It takes 2 KiB at most, whatever the list says.

    Raises:
        LibvirtError: it is no such list.
    """
    if len(text) > _LIST_CHARACTERS_MAX:
        raise _no_list(text)
    found = 0
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise _no_list(text)
        first = int(match.group(2))
        last = int(match.group(3) or first)
        if first > last or last >= _CPUS_MAX or (match.group(1) and match.group(3)):
            raise _no_list(text)
        span = (2 << last) - (1 << first)
        found = found & ~span if match.group(1) else found | span
    if not found:
        raise _no_list(text)
    return found


def _no_list(text: str) -> LibvirtError:
    return errors.invalid_argument(f"Failed to parse bitmap '{text}'", ErrorDomain.NONE)
