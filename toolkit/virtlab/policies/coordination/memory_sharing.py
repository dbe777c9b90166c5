"""Dividing what there is among those that want it, by shares; for `steady`."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["divided"]


def divided(
    have_kib: int, wanted_kib: Mapping[str, int], shares: Mapping[str, int]
) -> dict[str, int]:
    """Return what each gets: nobody more than it wants, and the others by their shares.

    This is weighted max-min fairness. Who wants the least for its shares is served first, so that
    what it leaves goes to the others. All that there is goes to somebody, or all that is wanted.
    """
    left_kib = max(have_kib, 0)
    weights = {name: max(shares[name], 1) for name in wanted_kib}
    left_weight = sum(weights.values())
    given: dict[str, int] = {}
    for name in sorted(wanted_kib, key=lambda name: (wanted_kib[name] / weights[name], name)):
        part_kib = left_kib * weights[name] // left_weight
        given[name] = min(wanted_kib[name], part_kib)
        left_kib -= given[name]
        left_weight -= weights[name]
    return given
