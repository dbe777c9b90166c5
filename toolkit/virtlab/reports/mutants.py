"""The page about the grader held against itself, from the results of `make mutants`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["mutants_page", "mutants_summary"]

_HEAD = """\
# The grader held against itself

`examples/mutants/` holds {count} small wrong changes to the reference programs, such as learners
make: a wrong sign, a wrong unit, a loop that ends too early, a threshold ten times too high. `make
mutants` applies each one to a copy, builds it and has it graded, first by `{first}`{others},
with seed {seed}; one that gets full marks is tried with {seeds} too. A mutant that loses no point
under any rubric is either no mistake as far as the rules go, or shows a hole in them.

`make mutants` writes this page; it is not written by hand. The figures are those of {versions}.
"""


def mutants_page(document: Mapping[str, Any]) -> str:
    """Return the page in Markdown for the results, as `mutation_json` gives them."""
    mutants: list[dict[str, Any]] = document["mutants"]
    rubrics: dict[str, str] = document["rubrics"]
    first, *others = rubrics
    seed, *more = document["seeds"]
    head = _HEAD.format(
        count=len(mutants),
        first=first,
        others="".join(f", then by `{name}`" for name in others),
        seed=seed,
        seeds=" and ".join(str(one) for one in more) or "no other",
        versions=" and ".join(f"version {v} of `{name}`" for name, v in rubrics.items()),
    )
    parts = [
        head,
        _totals(mutants, list(rubrics)),
        _by_criterion(mutants),
        _survivors(mutants),
        *_programs(mutants),
    ]
    return "\n".join(parts)


def mutants_summary(document: Mapping[str, Any]) -> str:
    """Return who caught how many, in one line a rubric."""
    mutants: list[dict[str, Any]] = document["mutants"]
    caught = Counter(mutant["catch"]["rubric"] for mutant in mutants if mutant["catch"])
    lines = [f"{caught[name]:4} caught by {name}" for name in document["rubrics"]]
    survived = len(mutants) - caught.total()
    share = 100 * caught.total() / len(mutants) if mutants else 0.0
    return "\n".join(
        [*lines, f"{survived:4} survive", f"{len(mutants):4} in all, {share:.1f} % caught", ""]
    )


def _totals(mutants: Sequence[dict[str, Any]], rubrics: Sequence[str]) -> str:
    rows = []
    for program in [*dict.fromkeys(mutant["program"] for mutant in mutants), None]:
        of_it = [m for m in mutants if program in (None, m["program"])]
        caught = Counter(m["catch"]["rubric"] for m in of_it if m["catch"])
        share = 100 * caught.total() / len(of_it)
        rows.append(
            [
                f"`{program}`" if program else "all",
                str(len(of_it)),
                *(str(caught[name]) for name in rubrics),
                str(len(of_it) - caught.total()),
                f"{share:.1f} %",
            ]
        )
    also = [f"caught by `{rubrics[0]}`", *(f"only by `{name}`" for name in rubrics[1:])]
    return _table(["program", "mutants", *also, "survive", "caught"], rows)


def _by_criterion(mutants: Sequence[dict[str, Any]]) -> str:
    lost = Counter(
        criterion
        for mutant in mutants
        if mutant["catch"]
        for criterion in {what.split("/")[1] for what in mutant["catch"]["lost"]}
    )
    rows = [
        [name, str(count)] for name, count in sorted(lost.items(), key=lambda kv: (-kv[1], kv[0]))
    ]
    text = "## Which criterion catches how many\n\nA mutant may lose several.\n\n"
    return text + _table(["criterion", "mutants that lose it"], rows)


def _survivors(mutants: Sequence[dict[str, Any]]) -> str:
    rows = [
        [
            mutant["name"],
            f"`{mutant['program']}`",
            mutant["why"],
            f"{mutant['survives']['kind']}: {mutant['survives']['why']}"
            if mutant["survives"]
            else "**not explained**",
        ]
        for mutant in mutants
        if not mutant["catch"]
    ]
    if not rows:
        return "## Survivors\n\nNone.\n"
    return "## Survivors\n\n" + _table(["mutant", "of", "what is wrong", "why it survives"], rows)


def _programs(mutants: Sequence[dict[str, Any]]) -> Iterator[str]:
    for program in dict.fromkeys(mutant["program"] for mutant in mutants):
        rows = [
            [mutant["name"], mutant["why"], _caught_by(mutant["catch"]), _points(mutant["catch"])]
            for mutant in mutants
            if mutant["program"] == program
        ]
        yield f"## `{program}`\n\n" + _table(["mutant", "what is wrong", "loses", "gets"], rows)


def _caught_by(catch: dict[str, Any] | None) -> str:
    """Return what a mutant lost, criterion by criterion: balanced in cpu-1, cpu-2."""
    if catch is None:
        return "nothing"
    tests: dict[str, list[str]] = {}
    for what in catch["lost"]:
        scenario, criterion = what.split("/")
        tests.setdefault(criterion, []).append("-".join(scenario.split("-")[:2]))
    return "; ".join(f"{name} in {', '.join(found)}" for name, found in tests.items())


def _points(catch: dict[str, Any] | None) -> str:
    if catch is None:
        return "all"
    seed = "" if catch["seed"] == 1 else f" (seed {catch['seed']})"
    return f"{catch['points']:g} of {catch['points_max']:g}{seed}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in lines)
