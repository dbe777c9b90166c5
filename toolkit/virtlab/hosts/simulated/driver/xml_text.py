"""Elements as text in libvirt's hand: two spaces a level, single quotes, no blank before `/>`.

Programs that look for a piece of text in a description, such as `vcpu='0'`, depend on it. What
lies under `metadata` is not libvirt's own: libxml2 writes it, with double quotes and with the
names of namespaces before the attributes.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

__all__ = ["document", "foreign_document"]

# Characters that XML 1.0 has no way to write.
_NO_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def document(root: ET.Element) -> str:
    """Return an element as a document; its tree stays as it is."""
    return _document(root, foreign=False)


def foreign_document(root: ET.Element) -> str:
    """Return an element of metadata as a document of its own."""
    return _document(root, foreign=True)


def _document(root: ET.Element, *, foreign: bool) -> str:
    lines: list[str] = []
    _write(root, "", lines, foreign)
    return "\n".join(lines) + "\n"


def _write(element: ET.Element, indent: str, lines: list[str], foreign: bool) -> None:
    if not len(element) or _is_mixed(element, foreign):
        lines.append(indent + _inline(element, foreign))
        return
    lines.append(indent + _opening(element, foreign) + ">" + _escaped((element.text or "").strip()))
    for child in element:
        _write(child, indent + "  ", lines, foreign or element.tag == "metadata")
    lines.append(f"{indent}</{element.tag}>")


def _is_mixed(element: ET.Element, foreign: bool) -> bool:
    """Tell whether text stands between elements; in metadata blanks count as well."""
    between = [child.tail or "" for child in element]
    return any([element.text, *between] if foreign else map(str.strip, between))


def _inline(element: ET.Element, foreign: bool) -> str:
    """Return an element with the blanks that are in it and no others."""
    inside = _escaped(element.text or "") + "".join(
        _inline(child, foreign) + _escaped(child.tail or "") for child in element
    )
    opening = _opening(element, foreign)
    return f"{opening}>{inside}</{element.tag}>" if inside else f"{opening}/>"


def _opening(element: ET.Element, foreign: bool) -> str:
    """Return an element's name and attributes, after a `<`."""
    items = list(element.attrib.items())
    if foreign:
        items.sort(key=lambda item: item[0].partition(":")[0] != "xmlns")
    quote = '"' if foreign else "'"
    attributes = [f" {name}={quote}{_escaped(value, quote)}{quote}" for name, value in items]
    return f"<{element.tag}{''.join(attributes)}"


def _escaped(text: str, quote: str = "") -> str:
    """Return a text as XML has it; libvirt leaves out what no document can hold, and so do we."""
    text = _NO_XML.sub("", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if quote:
        entity = "&quot;" if quote == '"' else "&apos;"
        text = text.replace(quote, entity).replace("\n", "&#10;")
    return text
