"""Who takes part in a league, as a user writes it.

even                       a policy that comes with the lab, or `file.py:Class`, `module:Class`
even gain_min=0.05         the same with a parameter set; so one policy may take part twice
"""

from __future__ import annotations

from collections.abc import Sequence

from virtlab.agent.plugins import describe_policy, find_policy
from virtlab.errors import UsageError
from virtlab.model.league import Entrant, PolicyKind
from virtlab.policies.parameters import configured, settings_of
from virtlab.policies.registry import BUILT_IN

__all__ = ["chosen_entrants"]


def chosen_entrants(texts: Sequence[str], kind: PolicyKind | None = None) -> tuple[Entrant, ...]:
    """Return who is named, or all policies that come with the lab where nobody is.

    Raises:
        UsageError: there is no such policy, parameter or value.
        InputError: a policy's file or module cannot be used.
    """
    found = [_entrant(text) for text in dict.fromkeys(texts or BUILT_IN)]
    return tuple(one for one in found if kind in (None, one.kind))


def _entrant(text: str) -> Entrant:
    name, *given = text.split()
    kind = describe_policy(name).kind
    settings = {}
    for setting in given:
        key, equals, value = setting.partition("=")
        if not equals:
            raise UsageError(
                f"{setting!r} of {text!r} sets nothing",
                fix=f'write --policy "{name} parameter=value".',
            )
        settings[key] = value
    policy = find_policy(name, kind)
    made = configured(policy, settings) if settings else policy()
    return Entrant(" ".join((name, *given)), kind, name, settings_of(made))
