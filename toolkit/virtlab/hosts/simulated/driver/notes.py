"""Handlers of what is written about a domain: title, description, elements of metadata."""

from __future__ import annotations

import re
from copy import deepcopy
from xml.etree import ElementTree as ET

from virtlab.hosts.simulated.driver import refusals, safe_xml
from virtlab.hosts.simulated.driver.config import Settings
from virtlab.hosts.simulated.driver.events import EventHub, metadata_changed
from virtlab.hosts.simulated.driver.state import CONFIG, LIVE, STORED_NOTES, DriverState
from virtlab.hosts.simulated.driver.storage import RUN, size_of_note
from virtlab.hosts.simulated.driver.xml_text import foreign_document
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["NoteHandlers"]

# What may stand before the colon of a name; libvirt allows some more letters.
_PREFIX = re.compile(r"[A-Za-z_][\w.-]*")

# virDomainMetadataType
_DESCRIPTION, _TITLE, _ELEMENT = 0, 1, 2


class NoteHandlers:
    """Keeps notes about domains."""

    def __init__(self, state: DriverState, events: EventHub) -> None:
        self._state = state
        self._events = events

    def domain_get_metadata(
        self, dom: DomainHandle, kind: int, uri: str | None, flags: int
    ) -> tuple[str]:
        """Return a note, of the running or of the stored domain."""
        function = "virDomainGetMetadata"
        refusals.one_impact(flags, function)
        if kind == _ELEMENT and uri is None:
            raise _no_null(function, "uri")
        refusals.check_flags(flags, LIVE | CONFIG, "virDomainObjGetMetadata", ErrorDomain.DOMAIN)
        guest = self._state.guest(dom)
        live, _ = self._state.impact(guest, flags)
        config = self._state.config(guest)
        settings = config.now if live else config.stored
        if kind in (_DESCRIPTION, _TITLE):
            text = settings.note if kind == _DESCRIPTION else settings.title
        elif kind == _ELEMENT:
            element = settings.metadata.get(uri or "")
            text = "" if element is None else _without_prefix(element, uri or "")
        else:
            raise _unknown_kind(kind)
        if not text:
            raise refusals.no_metadata()
        return (text,)

    def domain_set_metadata(
        self,
        dom: DomainHandle,
        kind: int,
        metadata: str | None,
        key: str | None,
        uri: str | None,
        flags: int,
    ) -> tuple[()]:
        """Write a note, or take it away where there is no text."""
        function = "virDomainSetMetadata"
        if kind == _TITLE and metadata is not None and "\n" in metadata:
            message = "metadata title can't contain newlines"
            raise refusals.bad_argument(function, "metadata", message)
        if kind == _ELEMENT and uri is None:
            raise _no_null(function, "uri")
        if kind == _ELEMENT and metadata is not None and key is None:
            raise _no_null(function, "key")
        refusals.check_flags(flags, LIVE | CONFIG, "qemuDomainSetMetadata")
        guest = self._state.guest(dom)
        live, stored = self._state.impact(guest, flags)
        config = self._state.config(guest)
        note = _read(kind, metadata, key or "")
        sizes = {f"{STORED_NOTES} {kind} {uri or ''}": 0}  # what was there goes in any case
        if note is not None:
            place = _place(note, key or "", uri or "")
            sizes[f"{STORED_NOTES} {kind} {place}"] = size_of_note(note, key or "", place)
        parts = dict(sizes) if stored else {}
        if live:
            parts |= {f"{RUN} {part}": size for part, size in sizes.items()}
        self._state.storage.keep(guest.uuid, guest.name, parts)
        if isinstance(note, ET.Element):
            _qualify(note, key or "")
            note.set(f"xmlns:{key}", uri or "")
        if live:
            _write(config.now, kind, note, uri or "")
        if stored:
            _write(config.stored, kind, note, uri or "")
        self._events.emit(metadata_changed(guest, kind, uri))
        return ()


def _read(kind: int, metadata: str | None, key: str) -> str | ET.Element | None:
    """Return a note, an element still without its namespace; None where it is taken away.

    Raises:
        LibvirtError: it is none.
    """
    if kind not in (_DESCRIPTION, _TITLE, _ELEMENT):
        raise _unknown_kind(kind)
    if kind != _ELEMENT or metadata is None:
        return metadata or None
    if not _PREFIX.fullmatch(key) or key.lower().startswith("xml"):
        detail = "failed to validate prefix for a new XML namespace"
        raise errors.internal_error(detail, ErrorDomain.XML)
    return safe_xml.parse(metadata, None, "metadata_xml")


def _write(settings: Settings, kind: int, note: str | ET.Element | None, uri: str) -> None:
    if kind == _ELEMENT:
        settings.metadata.pop(uri, None)
    if isinstance(note, ET.Element):
        settings.metadata[_namespace(note)] = note
    elif kind == _DESCRIPTION:
        settings.note = note or ""
    elif kind == _TITLE:
        settings.title = note or ""


def _place(note: str | ET.Element, key: str, uri: str) -> str:
    """Return the namespace under which a note will be found; an element may bring its own."""
    if isinstance(note, str):
        return uri
    prefix, colon, _ = note.tag.rpartition(":")
    return uri if prefix == key else note.get(f"xmlns{colon}{prefix}", "" if colon else uri)


def _namespace(element: ET.Element) -> str:
    """Return the namespace that an element is in, by which it is found again."""
    prefix, colon, _ = element.tag.rpartition(":")
    return element.get(f"xmlns{colon}{prefix}", "")


def _qualify(element: ET.Element, key: str) -> None:
    """Put an element, and those in it, into the namespace of a prefix, where they are in none."""
    if "xmlns" in element.attrib:
        return
    if ":" not in element.tag:
        element.tag = f"{key}:{element.tag}"
    for child in element:
        _qualify(child, key)


def _without_prefix(element: ET.Element, uri: str) -> str:
    """Return an element as the client gave it, without the namespace that it was given."""
    shown = deepcopy(element)
    shown.tail = None
    names = [name for name, value in shown.attrib.items() if value == uri and "xmlns" in name]
    for name in names:
        del shown.attrib[name]
        _strip(shown, name.removeprefix("xmlns").removeprefix(":"))
    return foreign_document(shown).removesuffix("\n")


def _strip(element: ET.Element, prefix: str) -> None:
    for part in element.iter():
        part.tag = part.tag.removeprefix(f"{prefix}:")


def _no_null(function: str, argument: str) -> errors.LibvirtError:
    return refusals.bad_argument(function, argument, f"{argument} in {function} must not be NULL")


def _unknown_kind(kind: int) -> errors.LibvirtError:
    return errors.invalid_argument(f"unknown metadata type '{kind}'", ErrorDomain.DOMAIN)
