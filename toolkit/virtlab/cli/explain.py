"""`virtlab explain`: what a criterion or a scenario is for, and how it is judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.cli.show import page_options, print_folded, print_json
from virtlab.errors import UsageError

if TYPE_CHECKING:
    from virtlab.model.scenario import Scenario

__all__ = ["explain"]


def _known() -> list[str]:
    from virtlab.model.criteria import CRITERIA
    from virtlab.scenario import scenario_files

    return [*CRITERIA, *scenario_files()]


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="CRITERION|SCENARIO",
            help="A criterion such as balanced, a scenario's id, or the path of its file.",
            show_default=False,
            autocompletion=_known,
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Say what a criterion or a scenario is for, and which programs it catches.

    Example: virtlab explain balanced
    """
    from dataclasses import asdict

    from virtlab.model.criteria import CRITERIA
    from virtlab.naming import known_or_nearest
    from virtlab.reports.explanations import EXPLANATIONS, criterion_text

    if name in CRITERIA:
        if as_json:
            _print_json({**asdict(CRITERIA[name]), **asdict(EXPLANATIONS[name])})
        else:
            print_folded(criterion_text(name))
        return
    known = _known()
    if name not in known and not name.endswith((".yaml", ".yml")):
        raise UsageError(
            f"there is no criterion and no scenario {name!r}.",
            fix=known_or_nearest(name, known, "criterion or scenario"),
        )
    from virtlab.scenario import find_scenario

    scenario = find_scenario(name)
    if as_json:
        criteria = [asdict(CRITERIA[one.name]) for one in scenario.criteria]
        _print_json({"id": scenario.id, "why": scenario.why, "criteria": criteria})
    else:
        print_folded(_scenario_text(scenario))


def _scenario_text(scenario: Scenario) -> Iterator[str]:
    from virtlab.model.criteria import CRITERIA
    from virtlab.reports.loads import loads_picture

    yield f"{scenario.id}: {scenario.title}"
    yield ""
    yield f"Why: {scenario.why}"
    picture = list(loads_picture(scenario, ascii_only=page_options()["ascii_only"]))
    if picture:
        yield ""
        yield "What the guests' loads want over time (in full: a whole pCPU, or all memory):"
        yield from picture
    yield ""
    yield f"Judged by, for ./{scenario.program} {scenario.interval_s}:"
    for one in scenario.criteria:
        limits = ", ".join(f"{key} {value:g}" for key, value in one.limits.items())
        yield f"  {one.name}: {CRITERIA[one.name].meaning}" + (f" ({limits})" if limits else "")
    yield ""
    yield f"Try it: virtlab run {scenario.id} PROGRAM"


def _print_json(value: dict[str, object]) -> None:
    print_json({"version": 1, **value})
