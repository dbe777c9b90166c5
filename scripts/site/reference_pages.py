"""Pages of the reference that are made of the code: commands, criteria, formats, policies.

Each function gives one page as Markdown. What they tell is read off the objects that the lab
itself uses, so there is nothing to keep in step by hand.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from blocks import REASONS, blocks_of, pages
from schema_pages import schema_page

from virtlab.cli.app import app
from virtlab.cli.exit_codes import EPILOG, ExitCode
from virtlab.grading.rubric import Rubric, find_rubric, rubric_files
from virtlab.grading.rubric_file import rubric_schema
from virtlab.model import plan, snapshot, timeline, verdict
from virtlab.model.criteria import CRITERIA
from virtlab.model.scenario import Scenario
from virtlab.policies import parameters, policy
from virtlab.policies.registry import BUILT_IN, Description, describe
from virtlab.reports.explanations import criterion_text
from virtlab.scenario import scenario_schema, shipped_scenarios

__all__ = ["reference_pages"]


def reference_pages() -> dict[str, str]:
    """Return the text of each page by its place in the site."""
    made = {
        "cli": _commands(),
        "exit-codes": _exit_codes(),
        "criteria": _criteria(),
        "scenarios": _scenarios(),
        "scenario-files": schema_page(
            scenario_schema(),
            "Scenario files",
            "What a scenario file may hold. `virtlab scenarios check FILE` tells every mistake, "
            "and `virtlab scenarios schema` prints this as JSON Schema, "
            "[scenario.schema.json](scenario.schema.json), which editors use for completion. "
            "How to begin: [Write a scenario](../how-to/write-a-scenario.md).",
        ),
        "rubric-files": schema_page(
            rubric_schema(),
            "Rubric files",
            "What a rubric file may hold. As JSON Schema: `virtlab scenarios schema rubric`, "
            "[rubric.schema.json](rubric.schema.json). What the shipped ones ask for: "
            "[The rules](rules.md).",
        ),
        "verdict": _listing(
            "verdict.json",
            "What came of a grading: the same bytes for the same program, rubric and seeds, as "
            "long as its `clock` is `lockstep`. The file is one JSON object with the fields of "
            "`Verdict` below. As JSON Schema: [verdict.schema.json](verdict.schema.json).",
            verdict,
        ),
        "timeline": _listing(
            "timeline.json",
            "What a run recorded. A timeline is enough to judge the run again (`virtlab judge`) "
            "and to draw every report again. The file is one JSON object with the fields of "
            "`Timeline` below; values in it are objects with the fields of their classes, tuples "
            "are lists.",
            timeline,
        ),
        "policies": _policies(),
        "not-tried": _not_tried(),
        "policy-api": _listing(
            "What a policy sees, and what it answers",
            "These are the declarations themselves. How to write a policy of your own: "
            "[policies](../how-to/policies.md).",
            policy,
            snapshot,
            plan,
            parameters,
        ),
    }
    return {f"reference/{name}.md": text for name, text in made.items()}


# Commands.


def _commands() -> str:
    root = typer.main.get_command(app)
    return "\n".join(
        [
            "# Commands",
            "",
            "`virtlab COMMAND --help` says the same. Colour appears on a terminal only, and never "
            "under `NO_COLOR`; results go to stdout, progress and errors to stderr.",
            "",
            EPILOG,
            "",
            *_of_group("virtlab", root),
        ]
    )


def _of_group(path: str, group: Any) -> Iterator[str]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield f"## {path} {name}\n\n{_text(command.help)}\n"
            yield from (
                line.replace("## ", "### ", 1) for line in _of_group(f"{path} {name}", command)
            )
        else:
            yield from _of_command(f"{path} {name}", command)


def _of_command(path: str, command: Any) -> Iterator[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield f"## {path}\n\n{_text(command.help)}\n"
    yield f"```text\n{usage}\n```\n"
    records = [one.get_help_record(context) for one in command.params if one.name != "help"]
    rows = [f"| `{names}` | {_cell(said)} |" for names, said in filter(None, records)]
    yield from ["| argument or option | meaning |\n|---|---|", *rows, ""] if rows else ()


def _text(text: str | None) -> str:
    """Return a docstring's paragraphs, its example as code."""
    paragraphs = inspect.cleandoc(text or "").replace("\f", "")
    return re.sub(r"Examples?: (virtlab .*)$", r"Example: `\1`", paragraphs, flags=re.MULTILINE)


def _exit_codes() -> str:
    meanings = dict(re.findall(r"(\d+) ([^;.]+)", EPILOG))
    rows = [f"| {code.value} | {meanings[str(code.value)]} |" for code in ExitCode]
    return "\n".join(
        [
            "# Exit codes",
            "",
            "All commands have the same ones.",
            "",
            "| code | meaning |",
            "|---:|---|",
            *rows,
            "",
            "A grading that loses points ends with 1, so that `virtlab grade X && ...` goes on at "
            "full marks only. What could not be judged ends with 3 or 4, and is never a mark of 0.",
        ]
    )


# What is judged.


def _criteria() -> str:
    parts = [
        "# Criteria",
        "",
        "What each is for, how it is worked out and which programs fail it, as "
        "`virtlab explain NAME` tells it. What time, phases and marks are: [the rules](rules.md).",
        "",
    ]
    for name in CRITERIA:
        text = "\n".join(criterion_text(name))
        parts += [f"## {name}", "", "```text", text.removeprefix(f"{name}: "), "```", ""]
    return "\n".join(parts)


def _scenarios() -> str:
    rubrics = [find_rubric(name) for name in rubric_files()]
    parts = ["# Scenarios and rubrics that come with the lab", "", "## Rubrics", ""]
    for one in rubrics:
        parts += [
            f"### {one.id}",
            "",
            f"{one.title}: {one.points_max:g} points, version {one.version}.",
            "",
        ]
        parts += ["| test | points |", "|---|---|", *_tests(one), ""]
    parts += ["## Scenarios", "", "`virtlab scenarios show ID` has the whole of each.", ""]
    for scenario in shipped_scenarios():
        parts += _scenario(scenario)
    return "\n".join(parts)


def _tests(rubric: Rubric) -> Iterator[str]:
    for item in rubric.general:
        by_hand = ", by hand and not counted" if item.kind == "by_hand" else ""
        yield f"| {item.label} | {item.points:g}{by_hand} |"
    for test in rubric.tests:
        joint = " and " if test.together else ", "
        points = joint.join(f"{name} {value:g}" for name, value in test.points.items())
        yield f"| [{test.scenario.id}](#{test.scenario.id}) | {points} |"


def _scenario(one: Scenario) -> Iterator[str]:
    judged = ", ".join(f"[{c.name}](criteria.md#{c.name})" for c in one.criteria)
    yield f"### {one.id}\n"
    yield f"{one.title}. For `./{one.program} {one.interval_s}`, {one.duration_s} s.\n"
    yield f"{one.why}\n"
    yield f"Judged: {judged}.\n"


# What of these pages is not tried.


def _not_tried() -> str:
    root = Path(__file__).resolve().parents[2]
    found = [block for page in pages(root) for block in blocks_of(page, root)]
    tried = sum(block.kind in ("run", "file", "part of", "edit", "output") for block in found)
    slow = sum(block.kind == "run" and block.slow for block in found)
    left_out = [block for block in found if block.kind == "not run"]
    parts = [
        "# Commands of these pages that no test tries",
        "",
        f"{tried} blocks of code of these pages are tried by tests, {slow} of them by "
        f"`make docs-all` alone. {len(left_out)} are not; of those the names of virtlab's commands "
        "and options are checked.",
        "",
        "| why | how many | where |",
        "|---|---:|---|",
    ]
    for reason, meaning in REASONS.items():
        places = [block.place for block in left_out if block.value == reason]
        if places:
            listed = ", ".join(f"`{place}`" for place in places)
            parts.append(f"| {meaning} | {len(places)} | {listed} |")
    return "\n".join(parts)


# Policies, and declarations.


def _policies() -> str:
    found = [describe(name) for name in BUILT_IN]
    parts = [
        "# Policies that come with the lab",
        "",
        "As `virtlab policies show NAME` tells it. How they compare: "
        "[policies](../explanation/policies.md).",
        "",
    ]
    for kind in ("scheduling", "coordination"):
        parts += [f"## {kind.capitalize()}", ""]
        for one in (about for about in found if about.kind == kind):
            parts += _policy(one)
    return "\n".join(parts)


def _policy(one: Description) -> Iterator[str]:
    yield f"### {one.name}\n\n{one.title}\n"
    yield f"```text\n{one.lesson}\n```\n"
    if not one.parameters:
        return
    yield "| parameter | default | unit | range | what a larger value does |\n|---|---|---|---|---|"
    for par in one.parameters:
        cells = (f"`{par.name}`", str(par.default), par.unit, par.range, par.effect)
        yield "| " + " | ".join(map(_cell, cells)) + " |"
    yield ""


def _listing(title: str, introduction: str, *modules: Any) -> str:
    parts = [f"# {title}", "", introduction, ""]
    for module in modules:
        parts += [
            f"## {module.__name__}",
            "",
            "```python",
            inspect.getsource(module).rstrip(),
            "```",
            "",
        ]
    return "\n".join(parts)


def _cell(text: str) -> str:
    """Return text that may stand in a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;").replace("[", "\\[")
