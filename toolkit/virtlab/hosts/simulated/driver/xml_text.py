"""Elements as text in libvirt's hand: two spaces a level, single quotes, no blank before `/>`.

Programs that look for a piece of text in a description, such as `vcpu='0'`, depend on it.
"""

from __future__ import annotations

from copy import deepcopy
from xml.etree import ElementTree as ET

__all__ = ["document"]


def document(root: ET.Element) -> str:
    """Return an element as a document; its tree stays as it is."""
    lines: list[str] = []
    _write(root, "", lines)
    return "\n".join(lines) + "\n"


def _write(element: ET.Element, indent: str, lines: list[str]) -> None:
    attributes = "".join(
        f" {name}='{_escaped(value, quoted=True)}'" for name, value in element.attrib.items()
    )
    text = element.text or ""
    if any((child.tail or "").strip() for child in element):
        # Metadata may mix text and elements, where blanks count.
        mixed = deepcopy(element)
        mixed.tail = None
        lines.append(indent + ET.tostring(mixed, encoding="unicode"))
    elif len(element):
        lines.append(f"{indent}<{element.tag}{attributes}>{_escaped(text.strip())}")
        for child in element:
            _write(child, indent + "  ", lines)
        lines.append(f"{indent}</{element.tag}>")
    elif text:
        lines.append(f"{indent}<{element.tag}{attributes}>{_escaped(text)}</{element.tag}>")
    else:
        lines.append(f"{indent}<{element.tag}{attributes}/>")


def _escaped(text: str, *, quoted: bool = False) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("'", "&apos;").replace("\n", "&#10;") if quoted else text
