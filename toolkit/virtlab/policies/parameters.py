"""A policy's tunables: typed fields with unit, range and effect, and their values from text.

A policy declares each as a field: `gap_min: float = tunable(0.1, unit="share of a pCPU",
effect="smallest gap worth a move", at_least=0)`. Its other fields are what it remembers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from virtlab.errors import UsageError
from virtlab.naming import known_or_nearest

__all__ = ["Parameter", "Value", "configured", "parameters_of", "settings_of", "tunable"]

Value = bool | int | float | str
Policy = TypeVar("Policy")
Scalar = TypeVar("Scalar", bool, int, float, str)

_METADATA = "virtlab.parameter"
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tunable of a policy."""

    name: str
    kind: type[bool] | type[int] | type[float] | type[str]
    default: Value
    unit: str
    effect: str  # what a larger value does
    at_least: float | None = None
    at_most: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """Return the values that are accepted, in words."""
        if self.choices:
            return " | ".join(self.choices)
        if self.kind is bool:
            return "true | false"
        low = "" if self.at_least is None else f"{self.at_least:g}"
        high = "" if self.at_most is None else f"{self.at_most:g}"
        return f"{low}..{high}" if low or high else "any"


def tunable(
    default: Scalar,
    *,
    unit: str,
    effect: str,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: Sequence[str] = (),
) -> Scalar:
    """Declare a field of a policy that a user may set, with everything a user should know of it."""
    about = {
        "default": default,
        "unit": unit,
        "effect": effect,
        "at_least": at_least,
        "at_most": at_most,
        "choices": tuple(choices),
    }
    declared: Any = dataclasses.field(default=default, metadata={_METADATA: about})
    return declared  # type: ignore[no-any-return]  # a field, which the dataclass turns into a value


def parameters_of(policy: type) -> tuple[Parameter, ...]:
    """Return the tunables of a policy's class in the order of their declaration."""
    if not dataclasses.is_dataclass(policy):
        return ()
    kinds = get_type_hints(policy)
    return tuple(
        Parameter(field.name, kinds[field.name], **field.metadata[_METADATA])
        for field in dataclasses.fields(policy)
        if _METADATA in field.metadata
    )


def settings_of(policy: object) -> dict[str, Value]:
    """Return a policy's tunables and their present values."""
    return {one.name: getattr(policy, one.name) for one in parameters_of(type(policy))}


def configured(policy: Callable[..., Policy], settings: Mapping[str, str | Value]) -> Policy:
    """Return a new policy with some tunables set.

    Args:
        policy: Its class.
        settings: Values by name; texts are read as the parameter's kind.

    Raises:
        UsageError: No such parameter, or no such value; the sentence says what is accepted.
    """
    assert isinstance(policy, type)
    known = {one.name: one for one in parameters_of(policy)}
    values: dict[str, Value] = {}
    for name, given in settings.items():
        parameter = known.get(name)
        if parameter is None:
            raise UsageError(
                f"{policy.__name__} has no parameter {name!r}",
                fix=known_or_nearest(name, known, "parameter"),
            )
        values[name] = _checked(parameter, given)
    made: Policy = policy(**values)
    return made


def _checked(parameter: Parameter, given: str | Value) -> Value:
    value = _read(parameter, given)
    if value is None:
        kind = {bool: "yes or no", int: "a whole number", float: "a number", str: "a word"}
        raise _refused(parameter, given, f"is not {kind[parameter.kind]}")
    if parameter.choices and value not in parameter.choices:
        raise _refused(parameter, given, "is none of its values")
    if isinstance(value, int | float):
        low, high = parameter.at_least, parameter.at_most
        if (low is not None and value < low) or (high is not None and value > high):
            raise _refused(parameter, given, "is out of its range")
    return value


def _read(parameter: Parameter, given: str | Value) -> Value | None:
    """Return a value of the parameter's kind, or None where the given one cannot be that."""
    text = str(given).strip()
    if parameter.kind is bool:
        return given if isinstance(given, bool) else _WORDS.get(text.lower())
    if parameter.kind is str:
        return text
    try:
        number = int(text) if parameter.kind is int else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _refused(parameter: Parameter, given: object, what: str) -> UsageError:
    return UsageError(
        f"{parameter.name}={given} {what}",
        fix=f"{parameter.name} is {parameter.effect} ({parameter.unit}): {parameter.range}, "
        f"by default {parameter.default}.",
    )
