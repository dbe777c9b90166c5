"""Values as JSON has them, and what has changed from one to the next.

A journal keeps every tick of a host on which little changes, so it keeps differences: `changes`
takes two values apart, `applied` puts the later one together again. Lists of the same length are
compared place by place, others are kept whole.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Mapping, Set
from typing import Any, Final

from virtlab.policies.parameters import parameters_of

__all__ = ["SAME", "Json", "applied", "changes", "memory_of", "plain"]

# Lists, mappings with texts as keys, numbers, texts, truth values and None.
Json = Any

_WHOLE: Final = "="  # {"=": value}: take this instead
_PARTS: Final = "~"  # {"~": {key: change}}, with numbers of places as keys in a list
_GONE: Final = "-"  # beside _PARTS: keys that are no more

SAME: Final[dict[str, Json]] = {}


def plain(value: object) -> Json:
    """Return a value as JSON has it; what has no such form becomes the name of its type."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name.lstrip("_"): plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return [plain(item) for item in _in_order(value)]
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a key, which reads as one
        return str(value)
    if isinstance(value, list | tuple | deque):
        return [plain(item) for item in value]
    return type(value).__name__


def _in_order(items: Set[Any]) -> list[Any]:
    try:
        return sorted(items, key=lambda item: (str(type(item)), item))
    except TypeError:  # they have no order of their own
        return sorted(items, key=lambda item: (str(type(item)), str(plain(item))))


def memory_of(policy: object) -> dict[str, Json]:
    """Return what a policy remembers: its fields without those that a user may set."""
    tunables = {one.name for one in parameters_of(type(policy))}
    if dataclasses.is_dataclass(policy):
        names = [field.name for field in dataclasses.fields(policy)]
    else:
        names = list(getattr(policy, "__dict__", {}))
    return {
        name.lstrip("_"): plain(getattr(policy, name))
        for name in names
        if name not in tunables and hasattr(policy, name)
    }


def changes(before: Json, now: Json) -> dict[str, Json]:
    """Return what makes the earlier value the later one; `SAME` where nothing does."""
    if isinstance(before, dict) and isinstance(now, dict):
        parts = {
            key: changes(before[key], item) if key in before else {_WHOLE: item}
            for key, item in now.items()
        }
        gone = [key for key in before if key not in now]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        parts = {str(place): changes(one, other) for place, (one, other) in pairs}
        gone = []
    else:
        same = type(before) is type(now) and before == now
        return SAME if same else {_WHOLE: now}
    parts = {key: part for key, part in parts.items() if part}
    change: dict[str, Json] = {_PARTS: parts} if parts else {}
    return change | ({_GONE: gone} if gone else {})


def applied(before: Json, change: dict[str, Json]) -> Json:
    """Return the later value; the earlier one is left as it is.

    Raises:
        KeyError, IndexError, TypeError, ValueError: the change is of another value.
    """
    if _WHOLE in change:
        return change[_WHOLE]
    if not change:
        return before
    if isinstance(before, list):
        result = list(before)
        for place, part in change[_PARTS].items():
            result[int(place)] = applied(result[int(place)], part)
        return result
    gone = set(change.get(_GONE, ()))
    after = {key: item for key, item in before.items() if key not in gone}
    for key, part in change.get(_PARTS, {}).items():
        after[key] = applied(after.get(key), part)
    return after
