"""YAML text as plain data that remembers its lines.

The text is read as a stream of events, which needs no recursion in the parser; the tree of nodes
is built here, with its depth bounded. Anchors are expanded with a bound on the values that result,
so a small file cannot grow without end, and an alias inside its own anchor is refused.

Plain scalars follow the core schema of YAML 1.2: `true` and `false` are the only booleans, so a
guest may be called `on`; numbers are decimal or hexadecimal; dates stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from virtlab.errors import InputError, Problem, ScenarioError

__all__ = ["Document", "KeyPath", "dotted", "read_bounded", "read_document"]

KeyPath = tuple[str | int, ...]

SIZE_MAX = 256 * 1024  # bytes; the largest shipped file has 3 KiB
DEPTH_MAX = 24  # the deepest key that any schema has is 6 levels down
VALUES_MAX = 20_000  # after the anchors have been expanded

_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STR_TAG = "tag:yaml.org,2002:str"
_INT = re.compile(r"[-+]?[0-9]+")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,15}")
_DIGITS_READ = 300  # of a whole number; with more it is out of every range, and of a float's
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_CONSTANTS: dict[str, object] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".inf": float("inf"),
    "-.inf": float("-inf"),
    ".nan": float("nan"),
}


def dotted(path: KeyPath) -> str:
    """Return a key path as it is written in messages, such as `guests[0].start_on[2]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data, the line of every key path in it, and what is wrong with it as YAML."""

    file: str
    data: dict[str, object]
    lines: dict[KeyPath, int]
    problems: list[Problem]

    def line_of(self, path: KeyPath) -> int:
        """Return the line of a key path, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def problem(self, path: KeyPath, what: str, fix: str) -> Problem:
        """Return a problem at a key path of this file."""
        return Problem(self.file, self.line_of(path), dotted(path), what, fix)


def read_bounded(path: Path, noun: str) -> str:
    """Return a file's text, which has to be UTF-8 and of a sensible size.

    Raises:
        InputError: the file cannot be read.
        ScenarioError: it is too long or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_MAX + 1)
    except (OSError, ValueError) as err:  # ValueError: the path has a NUL in it
        reason = getattr(err, "strerror", None) or err
        raise InputError(
            f"{noun} {path} cannot be read: {reason}.",
            fix="check the path and its permissions.",
        ) from err
    if len(raw) > SIZE_MAX:
        raise _refusal(
            str(path),
            1,
            f"the file has more than {SIZE_MAX // 1024} KiB.",
            "keep it short; long series belong into a trace file.",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = raw.count(b"\n", 0, err.start) + 1
        what = f"byte 0x{raw[err.start]:02x} is not UTF-8."
        raise _refusal(str(path), line, what, "save the file as UTF-8.") from err


def read_document(path: Path, noun: str) -> Document:
    """Return a YAML file as plain data with lines.

    Mistakes that leave the rest readable (such as a key given twice) are in `problems`.

    Raises:
        InputError: the file cannot be read.
        ScenarioError: its text is not YAML, or is no mapping of keys.
    """
    file = str(path)
    text = read_bounded(path, noun)
    try:
        root = _Reader(file, _events(text)).document()
    except yaml.YAMLError as err:
        raise _translated(file, text, err) from err
    if root is None:
        raise _refusal(file, 1, "the file is empty.", f"write a {noun}.")
    if not isinstance(root, _Mapping):
        what = f"a {noun} is a mapping of keys, and this is not one."
        raise _refusal(file, root.line, what, "write it as lines of `key: value`.")
    document = Document(file, {}, {(): root.line}, [])
    _Expansion(document).fill(root)
    return document


# Nodes: what the events say, before anchors are expanded.


@dataclass(slots=True)
class _Scalar:
    line: int
    value: object


@dataclass(slots=True)
class _Sequence:
    line: int
    items: list[_Node] = field(default_factory=list)


@dataclass(slots=True)
class _Mapping:
    line: int
    pairs: list[tuple[_Node, _Node]] = field(default_factory=list)


_Node = _Scalar | _Sequence | _Mapping


def _events(text: str) -> Iterator[yaml.Event]:
    events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
    return events


class _Reader:
    """Builds the tree of nodes from a stream of YAML events."""

    def __init__(self, file: str, events: Iterator[yaml.Event]) -> None:
        self._file = file
        self._events = events
        self._anchors: dict[str, _Node] = {}

    def document(self) -> _Node | None:
        root: _Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    what = "a second document begins here, and a file holds one."
                    raise self._refused(event, what, "put it into a file of its own.")
                root = self._node(next(self._events), 0)
        if isinstance(root, _Scalar) and root.value is None:
            return None
        return root

    def _node(self, event: yaml.Event, depth: int) -> _Node:
        if depth > DEPTH_MAX:
            what = f"values are nested more than {DEPTH_MAX} deep."
            raise self._refused(event, what, "remove brackets or indentation.")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        node: _Node
        if isinstance(event, yaml.ScalarEvent):
            node = _Scalar(_line(event), self._scalar(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._refuse_tag(event)
            node = _Sequence(_line(event))
            while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
                node.items.append(self._node(inner, depth + 1))
        else:
            assert isinstance(event, yaml.MappingStartEvent)
            self._refuse_tag(event)
            node = _Mapping(_line(event))
            while not isinstance(inner := next(self._events), yaml.MappingEndEvent):
                key = self._node(inner, depth + 1)
                node.pairs.append((key, self._node(next(self._events), depth + 1)))
        if event.anchor is not None:
            # Only now: an alias inside its own anchor finds nothing, so no node contains itself.
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, event: yaml.AliasEvent) -> _Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            what = f"alias *{event.anchor} has no anchor that ends above it."
            raise self._refused(
                event, what, f"write &{event.anchor} before the value it stands for."
            )
        return node

    def _scalar(self, event: yaml.ScalarEvent) -> object:
        if event.tag not in (None, "!", _STR_TAG):
            raise self._refused(event, f"tag {event.tag} is not used here.", "remove the tag.")
        # The first flag: the scalar is plain and has no tag, so its type follows from its text.
        return _resolved(event.value) if event.implicit[0] else event.value

    def _refuse_tag(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent) -> None:
        if event.tag is not None:
            raise self._refused(event, f"tag {event.tag} is not used here.", "remove the tag.")

    def _refused(self, event: yaml.Event, what: str, fix: str) -> ScenarioError:
        return _refusal(self._file, _line(event), what, fix)


class _Expansion:
    """Fills a document from nodes: plain values, the line of each, and keys given twice."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._values = 0

    def fill(self, root: _Mapping) -> None:
        self._document.data.update(self._mapping(root, ()))

    def _value(self, node: _Node, path: KeyPath) -> object:
        self._values += 1
        if self._values > VALUES_MAX:
            what = f"the file has more than {VALUES_MAX} values once its anchors are expanded."
            raise _refusal(self._document.file, node.line, what, "use fewer aliases.")
        if isinstance(node, _Scalar):
            return node.value
        if isinstance(node, _Mapping):
            return self._mapping(node, path)
        items: list[object] = []
        for index, item in enumerate(node.items):
            self._document.lines[(*path, index)] = item.line
            items.append(self._value(item, (*path, index)))
        return items

    def _mapping(self, node: _Mapping, path: KeyPath) -> dict[str, object]:
        data: dict[str, object] = {}
        first_lines: dict[str, int] = {}
        for key_node, value in node.pairs:
            key = key_node.value if isinstance(key_node, _Scalar) else None
            line = key_node.line
            if key == "<<":
                continue
            if not isinstance(key, str):
                shown = "a list or mapping" if not isinstance(key_node, _Scalar) else _shown(key)
                self._problem(line, path, f"key {shown} is not a word.", "write a key of letters.")
            elif key in first_lines:
                what = f"key {key} is given twice, first in line {first_lines[key]}."
                self._problem(line, (*path, key), what, "remove one of the two.")
            else:
                first_lines[key] = line
                self._document.lines[(*path, key)] = line
                data[key] = self._value(value, (*path, key))
        for merged in _merged(node):
            if isinstance(merged, _Mapping):
                self._merge(merged, path, data)
            else:
                what = "<< takes a mapping or a list of mappings."
                self._problem(merged.line, path, what, "give it aliases of mappings.")
        return data

    def _merge(self, merged: _Mapping, path: KeyPath, data: dict[str, object]) -> None:
        """Add the pairs of a merged mapping whose keys are not there yet."""
        inner = Document(self._document.file, {}, {}, self._document.problems)
        expansion = _Expansion(inner)
        expansion._values = self._values
        pairs = expansion._mapping(merged, path)
        self._values = expansion._values + 1
        new = pairs.keys() - data.keys()
        for inner_path, line in inner.lines.items():
            if inner_path[len(path)] in new:
                self._document.lines[inner_path] = line
        # In the file's order: sets of words have another one in each run.
        data.update((key, value) for key, value in pairs.items() if key in new)

    def _problem(self, line: int, path: KeyPath, what: str, fix: str) -> None:
        # Anchors that are expanded twice tell a mistake twice: `in_file_order` removes those.
        self._document.problems.append(Problem(self._document.file, line, dotted(path), what, fix))


def _merged(node: _Mapping) -> Iterator[_Node]:
    for key, value in node.pairs:
        if isinstance(key, _Scalar) and key.value == "<<":
            if isinstance(value, _Sequence):
                yield from value.items
            else:
                yield value


def _resolved(text: str) -> object:
    """Return a plain scalar's value by the core schema of YAML 1.2."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text[:_DIGITS_READ])
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _shown(value: object) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return int(mark.line) + 1 if mark is not None else 1


def _refusal(file: str, line: int, what: str, fix: str) -> ScenarioError:
    return ScenarioError([Problem(file, line, "", what, fix)])


def _translated(file: str, text: str, err: yaml.YAMLError) -> ScenarioError:
    line = 1
    said = " ".join(str(err).split())
    if isinstance(err, yaml.MarkedYAMLError):
        mark = err.problem_mark or err.context_mark
        line = mark.line + 1 if mark is not None else 1
        said = ", ".join(part for part in (err.problem, err.context) if part)
    elif isinstance(err, yaml.reader.ReaderError):
        # It tells the place in bytes, and the parser may have been given lines further on.
        line = text.encode()[: err.position].count(b"\n") + 1
        said = err.reason
    fix = "mend the YAML; look at indentation, quotes, brackets and tabs on this line and above."
    return _refusal(file, line, f"this is not YAML: {said}.", fix)
