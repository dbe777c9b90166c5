"""Handlers of what is written about a domain: title, description, elements of metadata."""

from __future__ import annotations

import re
from copy import deepcopy
from xml.etree import ElementTree as ET

from virtlab.hosts.simulated.driver import refusals, safe_xml
from virtlab.hosts.simulated.driver.config import Settings
from virtlab.hosts.simulated.driver.events import EventHub, metadata_changed
from virtlab.hosts.simulated.driver.state import CONFIG, LIVE, DriverState
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
        if live:
            _write(config.now, kind, metadata, key or "", uri or "")
        if stored:
            _write(config.stored, kind, metadata, key or "", uri or "")
        self._events.emit(metadata_changed(guest, kind, uri))
        return ()


def _write(settings: Settings, kind: int, metadata: str | None, key: str, uri: str) -> None:
    if kind == _DESCRIPTION:
        settings.note = metadata or ""
    elif kind == _TITLE:
        settings.title = metadata or ""
    elif kind != _ELEMENT:
        raise _unknown_kind(kind)
    elif metadata is None:
        settings.metadata.pop(uri, None)
    else:
        if not _PREFIX.fullmatch(key) or key.lower().startswith("xml"):
            detail = "failed to validate prefix for a new XML namespace"
            raise errors.internal_error(detail, ErrorDomain.XML)
        element = safe_xml.parse(metadata, None, "metadata_xml")
        _qualify(element, key)
        element.set(f"xmlns:{key}", uri)
        settings.metadata.pop(uri, None)
        settings.metadata[_namespace(element)] = element


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
