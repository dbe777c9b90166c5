"""The policies that come with the lab, by name, and what can be told of each."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from virtlab.errors import UsageError
from virtlab.naming import known_or_nearest
from virtlab.policies.parameters import Parameter, parameters_of

__all__ = ["BUILT_IN", "Description", "Kind", "describe", "describe_class", "find_policy"]

Kind = Literal["scheduling", "coordination"]

# Name: what it decides, and its class. The module is the name with `_` for `-`, in the folder of
# its kind; it is imported when it is asked for.
BUILT_IN: dict[str, tuple[Kind, str]] = {
    "leave-alone": ("scheduling", "LeaveAlone"),
    "even": ("scheduling", "Even"),
    "even-wide": ("scheduling", "EvenWide"),
    "greedy": ("scheduling", "Greedy"),
    "largest-first": ("scheduling", "LargestFirst"),
    "numad": ("scheduling", "Numad"),
    "at-random": ("scheduling", "AtRandom"),
    "back-and-forth": ("scheduling", "BackAndForth"),
    "steady": ("coordination", "Steady"),
    "static": ("coordination", "Static"),
    "course": ("coordination", "Course"),
    "mom": ("coordination", "Mom"),
    "proxmox": ("coordination", "Proxmox"),
    "squeezed": ("coordination", "Squeezed"),
    "qmemman": ("coordination", "Qmemman"),
    "esx": ("coordination", "Esx"),
    "selfballoon": ("coordination", "Selfballoon"),
}


@dataclass(frozen=True, slots=True)
class Description:
    """What a user should know of a policy before choosing it."""

    name: str
    kind: Kind
    title: str  # first line of the lesson
    lesson: str  # the rest of it
    parameters: tuple[Parameter, ...]


def find_policy(name: str, kind: Kind) -> type:
    """Return the class of a policy that comes with the lab.

    Raises:
        UsageError: There is none of this name, or it decides something else.
    """
    found, class_name = BUILT_IN.get(name, (None, ""))
    if found is None:
        known = sorted(other for other, (its, _) in BUILT_IN.items() if its == kind)
        raise UsageError(
            f"no {kind} policy is called {name!r}", fix=known_or_nearest(name, known, "policy")
        )
    if found != kind:
        raise UsageError(
            f"{name} is a {found} policy, and a {kind} policy is wanted",
            fix="`virtlab policies list` shows which are which.",
        )
    module = import_module(f"virtlab.policies.{kind}.{name.replace('-', '_')}")
    policy: type = getattr(module, class_name)
    return policy


def describe(name: str) -> Description:
    """Return what is to be told of a policy that comes with the lab.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in BUILT_IN:
        raise UsageError(
            f"no policy is called {name!r}", fix=known_or_nearest(name, BUILT_IN, "policy")
        )
    kind = BUILT_IN[name][0]
    return describe_class(name, kind, find_policy(name, kind))


def describe_class(name: str, kind: Kind, policy: type) -> Description:
    """Return what is to be told of a policy, from its class; its module's docstring teaches."""
    lesson = inspect.cleandoc(inspect.getmodule(policy).__doc__ or policy.__doc__ or "")
    title, _, rest = lesson.partition("\n")
    return Description(name, kind, title, rest.strip(), parameters_of(policy))
