"""XML from clients, read with bounds: no document type, bounded depth, elements and attributes.

The standard library's parser expands entities, so that a kilobyte can become gigabytes; a domain's
description needs none, and one with a document type is refused before anything is expanded. What
is wrong is told as libvirt tells it: line, reason, the line itself and a mark below the place.
The reasons are libxml2's where clients are known to meet them, else those of the parser here.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET
from xml.parsers import expat

from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorCode, ErrorDomain, LibvirtError

__all__ = ["parse"]

_ELEMENTS_MAX: Final = 20_000
_ATTRIBUTES_MAX: Final = 50_000
_NAMESPACE_MAX: Final = 1_000  # characters, its prefix included
_DEPTH_MAX: Final = 256  # libxml2's own

_NAME: Final = re.compile(r"[\w:.-]+")

_CODES = expat.errors.codes
_NO_ELEMENTS = _CODES[expat.errors.XML_ERROR_NO_ELEMENTS]
_TRAILING = _CODES[expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT]
_UNCLOSED = _CODES[expat.errors.XML_ERROR_UNCLOSED_TOKEN]
_UNDEFINED = _CODES[expat.errors.XML_ERROR_UNDEFINED_ENTITY]
_MISMATCH = _CODES[expat.errors.XML_ERROR_TAG_MISMATCH]


class _Bounded(ET.TreeBuilder):
    """Builds the tree as long as it stays small."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._source = source
        self.open: list[str] = []
        self._elements = self._attributes = 0
        self.prefixes: dict[str, str] = {}  # of namespaces, by their names

    def start_ns(self, prefix: str, uri: str) -> None:
        """Note how the document calls a namespace; each name in it is kept with it in front."""
        if len(prefix or "") + len(uri or "") > _NAMESPACE_MAX:
            reason = f"a namespace of more than {_NAMESPACE_MAX} characters"
            raise _refusal(self._source, reason, 1, 0)
        self.prefixes.setdefault(uri, prefix)

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        """Open an element, unless there are too many or it lies too deep."""
        self._elements += 1
        self._attributes += len(attrs)
        self.open.append(tag)
        if self._attributes > _ATTRIBUTES_MAX:
            raise _refusal(self._source, f"more than {_ATTRIBUTES_MAX} attributes", 1, 0)
        if self._elements > _ELEMENTS_MAX:
            raise _refusal(self._source, f"more than {_ELEMENTS_MAX} elements", 1, 0)
        if len(self.open) > _DEPTH_MAX:
            raise _refusal(self._source, f"Excessive depth in document: {_DEPTH_MAX}", 1, 0)
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        """Close an element."""
        self.open.pop()
        return super().end(tag)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse a document type: entities come with it."""
        raise _refusal(self._source, "a document type is not accepted here", 1, 0)


def parse(source: str, root_tag: str | None, what: str) -> ET.Element:
    """Return the root element of a document.

    Args:
        source: the text.
        root_tag: what the root has to be; None where it may be anything.
        what: how libvirt calls such a document in its messages, such as domain_definition.

    Raises:
        LibvirtError: it is no such document, or has too many parts. Its length is bounded by the
            protocol: a text has 4 MiB at most.
    """
    if not source.strip():
        raise _refusal("(null)", "Document is empty", 1, 0, what)
    if "<" not in source or not source.lstrip().startswith("<"):
        raise _refusal(source, "Start tag expected, '<' not found", 1, 0, what)
    builder = _Bounded(source)
    parser = ET.XMLParser(target=builder)
    try:
        parser.feed(source)
        root: ET.Element = parser.close()
    except ET.ParseError as error:
        line, column = error.position
        if error.code == _UNCLOSED:  # told of where it began, and marked where it ends
            column = len(_line(source, line))
        elif error.code == _UNDEFINED:
            column = _line(source, line).find(";", column) + 1
        reason = _reason(error, builder.open, source)
        raise _refusal(source, reason, line, column, what) from error
    except UnicodeEncodeError as error:
        reason = "Input is not proper UTF-8, indicate encoding !"
        raise _refusal("", reason, 1, 0, what) from error
    if root_tag is not None and root.tag != root_tag:
        raise LibvirtError.of(
            ErrorCode.XML_ERROR,
            f"expecting root element of '{root_tag}', not '{root.tag}'",
            ErrorDomain.XML,
        )
    _keep_prefixes(root, builder.prefixes, set())
    return root


def _keep_prefixes(element: ET.Element, prefixes: dict[str, str], known: set[str]) -> None:
    """Give elements back the names that they had in the text, and say there what they mean.

    The parser turns `k:a` into `{uri}a`, and would write it with a name of its own choice. `known`
    are the namespaces that the elements around this one have said; it comes back as it was.
    """
    said: set[str] = set()  # by this element
    if element.tag.startswith("{"):
        uri, _, name = element.tag[1:].partition("}")
        prefix = prefixes.get(uri, "")
        element.tag = f"{prefix}:{name}" if prefix else name
        if uri not in known:
            element.set(f"xmlns:{prefix}" if prefix else "xmlns", uri)
            said.add(uri)
    for name in [name for name in element.attrib if name.startswith("{")]:
        uri, _, plain = name[1:].partition("}")
        prefix = prefixes.get(uri, "xml")  # the only one that needs no declaration
        element.set(f"{prefix}:{plain}", element.attrib.pop(name))
        if uri in prefixes and uri not in known and uri not in said:
            element.set(f"xmlns:{prefix}", uri)
            said.add(uri)
    known |= said
    for child in element:
        _keep_prefixes(child, prefixes, known)
    known -= said


def _reason(error: ET.ParseError, opened: list[str], source: str) -> str:
    """Return libxml2's words for what the parser here found."""
    line = error.position[0]
    if error.code == _NO_ELEMENTS and opened:
        return f"Premature end of data in tag {opened[-1]} line {line}"
    if error.code == _UNCLOSED and (start := _NAME.match(source, source.rfind("<") + 1)):
        return f"Couldn't find end of Start Tag {start.group()} line {line}"
    if error.code == _TRAILING:
        return "Extra content at the end of the document"
    if error.code == _MISMATCH and opened:
        return f"Opening and ending tag mismatch: {opened[-1]} line {line}"
    if error.code == _UNDEFINED:
        place = _line(source, line)[error.position[1] :]
        if entity := re.match(r"&([^;]{1,80});", place):
            return f"Entity '{entity.group(1)}' not defined"
    return expat.ErrorString(error.code) or "not well-formed"


def _line(source: str, number: int) -> str:
    """Return a line of the text as the parser counts them; the last one stands for what follows."""
    lines = source.split("\n")
    return lines[min(number, len(lines)) - 1]


def _refusal(
    source: str, reason: str, line: int, column: int, what: str = "domain_definition"
) -> LibvirtError:
    shown = _line(source, line)[:80]
    text = f"({what}):{line}: {reason}\n{shown}\n{'-' * min(column, 79)}^"
    return errors.LibvirtError.of(ErrorCode.XML_DETAIL, text, ErrorDomain.DOMAIN)
