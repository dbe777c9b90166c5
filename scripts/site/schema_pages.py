"""A JSON Schema as a page: a table of keys for each kind of object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["schema_page"]


def schema_page(schema: dict[str, Any], title: str, introduction: str) -> str:
    """Return the page of a schema: the whole file first, then the objects in it."""
    parts = [f"# {title}", "", introduction, "", "## The whole file", "", *_object(schema)]
    for name, definition in schema.get("$defs", {}).items():
        parts += [f"## {_spoken(name)}", "", *_object(definition)]
    return "\n".join(parts)


def _object(schema: dict[str, Any]) -> Iterator[str]:
    if said := schema.get("description"):
        yield f"{_cell(said)}\n"
    required = schema.get("required", [])
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    for key, value in schema.get("properties", {}).items():
        default = "**required**" if key in required else _json(value.get("default"))
        yield f"| `{key}` | {_kind(value)} | {default} | {_meaning(value)} |"
    yield ""


def _meaning(value: dict[str, Any]) -> str:
    said = _cell(value.get("description", ""))
    examples = ", ".join(_json(one) for one in value.get("examples", []))
    return f"{said}; such as {examples}" if said and examples else said or examples


def _kind(value: dict[str, Any]) -> str:
    """Return what a value may be, in words."""
    if "$ref" in value:
        name = _spoken(value["$ref"].rpartition("/")[2])
        return f"[{name}](#{re.sub(r'[^a-z0-9]+', '-', name.lower())})"
    if "const" in value:
        return _json(value["const"])
    if "enum" in value:
        return " or ".join(_json(one) for one in value["enum"])
    for key in ("anyOf", "oneOf"):
        if key in value:
            kinds = [_kind(one) for one in value[key] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    return _plain_kind(value)


def _plain_kind(value: dict[str, Any]) -> str:
    kind = value.get("type", "any value")
    if kind == "array":
        items = value.get("items") or {}
        return f"list of {_kind(items)}" if items else "list"
    if kind == "object":
        inner = value.get("additionalProperties")
        return f"mapping to {_kind(inner)}" if isinstance(inner, dict) else "mapping"
    return f"{ {'string': 'text', 'boolean': 'true or false'}.get(kind, kind) }{_bounds(value)}"


def _bounds(value: dict[str, Any]) -> str:
    low = value.get("minimum", value.get("exclusiveMinimum"))
    high = value.get("maximum", value.get("exclusiveMaximum"))
    above = "more than " if "exclusiveMinimum" in value else ""
    if low is not None and high is not None:
        return f", {above}{low:,} to {high:,}"
    if low is not None:
        return f", {above}{low:,}" if above else f", at least {low:,}"
    return "" if high is None else f", at most {high:,}"


def _spoken(name: str) -> str:
    """Return a class's name as a heading: DutyFile is duty, PointLine is point line."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("File")).capitalize()


def _json(value: Any) -> str:
    return "" if value is None else f"`{_cell(json.dumps(value))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
