"""What a sanitised run printed, read as findings: kind, place, and a sentence on what it means.

Source of the forms: GCC 12's libsanitizer, asan_report.cpp and ubsan_diag.cpp. One line of source
gives one finding, the first: what else is said about it is the same mistake seen again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from virtlab.model.finding import Finding

__all__ = ["read_findings"]

_ERROR = re.compile(r"^==\d+==ERROR: AddressSanitizer: (.+)$", re.MULTILINE)
_ACCESS = re.compile(r"^(READ|WRITE) of size \d+", re.MULTILINE)
_FRAME = re.compile(r"^ +#\d+ 0x\S+ in \S.* (\S+?):(\d+)(?::\d+)?$", re.MULTILINE)
_UNDEFINED = re.compile(r"^(\S+?):(\d+):\d+: runtime error: (.+)$", re.MULTILINE)
_ADDRESS = re.compile(r"0x[0-9a-f]+")  # differs from run to run
_FOREIGN = ("/usr/", "/build/", "../")  # libraries, by where they were built
_ENDS = ("\nSUMMARY: ", "\nfreed by thread", "\nallocated by thread", "\npreviously allocated")
_FINDINGS_MAX = 50

# By the beginning of the sanitiser's own words.
_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "heap-use-after-free": "it {access} memory that it has freed before",
        "heap-buffer-overflow": "it {access} beyond the bounds of a block from malloc",
        "stack-buffer-overflow": "it {access} beyond the bounds of a local variable",
        "dynamic-stack-buffer-overflow": "it {access} beyond the bounds of a local array",
        "global-buffer-overflow": "it {access} beyond the bounds of a global variable",
        "stack-use-after-return": "it {access} a local variable of a function that has returned",
        "stack-use-after-scope": "it {access} a local variable of a block that has ended",
        "stack-overflow": "its stack is full, as by a function that calls itself without end",
        "attempting double-free": "it frees a block a second time",
        "attempting free": "it frees what no malloc has given",
        "alloc-dealloc-mismatch": "it frees by another family of functions than it allocated by",
        "negative-size-param": "it passes a negative size",
        "memcpy-param-overlap": "it copies between blocks that overlap; memmove may do that",
        "strcpy-param-overlap": "it copies between strings that overlap",
        "requested allocation size": "it asks malloc for more than can be",
        "SEGV": "it {access} an address where nothing is, such as through a null pointer",
        "FPE": "it divides by zero",
        "signed integer overflow": "a figure does not fit into its type, and what results may be "
        "anything",
        "division by zero": "it divides by zero",
        "shift exponent": "it shifts by more bits than the type has, or by a negative number",
        "left shift": "it shifts bits out of a signed type",
        "index": "an index lies outside of its array",
        "null pointer": "it uses a null pointer",
        "load of null pointer": "it reads through a null pointer",
        "store to null pointer": "it writes through a null pointer",
        "member access within null pointer": "it uses a member of a structure through a null "
        "pointer",
        "load of misaligned": "it reads from an address that is no multiple of the type's size",
        "store to misaligned": "it writes to an address that is no multiple of the type's size",
        "member access within misaligned": "a structure lies at an address that does not fit it",
        "load of value": "a variable holds a value that its type does not have; it may never have "
        "been set",
        "variable length array bound": "an array would have no positive length",
        "execution reached the end": "a function that returns a value ends without one",
        "null pointer passed": "it passes a null pointer where none may be",
    }
)
_UNKNOWN = "what it does here is undefined in C"
_VALUE_RANGE = "is outside the range of representable values"


def read_findings(output: str, folders: Sequence[str]) -> tuple[Finding, ...]:
    """Return what sanitisers reported, in the order in which it happened.

    Args:
        output: what the program printed to stderr.
        folders: where the program's sources lay while it was built, by every name of that folder;
            places are told from there.
    """
    found: dict[str, Finding] = {}
    for _at, finding in sorted(_all(output, folders), key=lambda one: one[0]):
        found.setdefault(finding.where, finding)
    return tuple(found.values())[:_FINDINGS_MAX]


def _all(output: str, folders: Sequence[str]) -> Iterator[tuple[int, Finding]]:
    """Yield findings with their places in the output."""
    for match in _UNDEFINED.finditer(output):
        words = _plain(match[3])
        where = f"{_shown(match[1], folders)}:{match[2]}"
        yield match.start(), Finding(words, where, _meaning(words, "uses"))
    for match in _ERROR.finditer(output):
        report = output[match.end() :]
        report = report[: min(at for end in _ENDS if (at := (report + end).find(end)) >= 0)]
        access = _ACCESS.search(report)
        verb = "uses" if access is None else {"READ": "reads", "WRITE": "writes"}[access[1]]
        words = _plain(re.split(r" on | in | \(|: ", match[1], maxsplit=1)[0])
        yield match.start(), Finding(words, _place(report, folders), _meaning(words, verb))


def _place(report: str, folders: Sequence[str]) -> str:
    """Return the innermost line of the program itself on the stack."""
    for frame in _FRAME.finditer(report):
        if not frame[1].startswith(_FOREIGN):
            return f"{_shown(frame[1], folders)}:{frame[2]}"
    return "an unknown line"


def _shown(path: str, folders: Sequence[str]) -> str:
    for folder in folders:
        if path.startswith(f"{folder}/"):
            return path[len(folder) + 1 :]
    return _plain(path.removeprefix("./"))


def _meaning(words: str, verb: str) -> str:
    for beginning, meaning in _MEANINGS.items():
        if words.startswith(beginning):
            return meaning.format(access=verb)
    if _VALUE_RANGE in words:
        return "a figure does not fit into the type that it is converted to"
    return _UNKNOWN


def _plain(words: str) -> str:
    """Return words of a program's output without anything that could dress up a report."""
    printable = "".join(char for char in words if char.isprintable())
    return _ADDRESS.sub("(an address)", printable)[:200]
