"""`virtlab policies`: list the policies that come with the lab, and tell what each does and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.cli.show import print_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from virtlab.policies.parameters import Parameter
    from virtlab.policies.registry import Description

__all__ = ["app"]

app = typer.Typer(
    help="List and explain the policies that come with the lab.\n\n"
    "Exit codes: 0 done, 2 wrong usage, 3 a file of your own cannot be used.",
    no_args_is_help=True,
)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def _names(typed: str) -> list[tuple[str, str]]:
    """Return the policies whose names begin as typed, for completion, with their titles."""
    from virtlab.policies.registry import BUILT_IN, describe

    return [(name, describe(name).title) for name in BUILT_IN if name.startswith(typed)]


@app.command("list")
def list_policies(
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help="scheduling or coordination; both if left out.",
            autocompletion=lambda: ["scheduling", "coordination"],
        ),
    ] = None,
    as_json: _Json = False,
) -> None:
    """List the policies, by what they decide.

    Example: virtlab policies list --kind scheduling
    """
    from virtlab.errors import UsageError
    from virtlab.policies.registry import BUILT_IN, describe

    if kind not in (None, "scheduling", "coordination"):
        raise UsageError(f"no policy decides {kind}", fix="use scheduling or coordination.")
    found = [describe(name) for name in BUILT_IN]
    found = [one for one in found if kind in (None, one.kind)]
    found.sort(key=lambda one: one.kind, reverse=True)  # stable: as registered within a kind
    if as_json:
        print_json({"version": 1, "policies": [_row(one) for one in found]})
        return
    width = max(len(one.name) for one in found)
    for one in found:
        typer.echo(f"{one.name:<{width}}  {one.kind:<12}  {one.title}")


@app.command("show")
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a policy, or file.py[:Class], or module:Class.", autocompletion=_names
        ),
    ],
    as_json: _Json = False,
) -> None:
    """Show a policy's lesson, and the parameters that may be set; one of your own, too.

    Example: virtlab policies show even
    """
    from virtlab.agent.plugins import describe_policy

    about = describe_policy(name)
    if as_json:
        row = _row(about) | {
            "lesson": about.lesson,
            "parameters": [_parameter_row(one) for one in about.parameters],
        }
        print_json({"version": 1, "policy": row})
    else:
        typer.echo("\n".join(_lines(about)))


def _row(about: Description) -> dict[str, object]:
    return {"name": about.name, "kind": about.kind, "title": about.title}


def _parameter_row(one: Parameter) -> dict[str, object]:
    return {
        "name": one.name,
        "kind": one.kind.__name__,
        "default": one.default,
        "unit": one.unit,
        "effect": one.effect,
        "range": one.range,
    }


def _lines(about: Description) -> Iterator[str]:
    yield f"{about.name} ({about.kind}): {about.title}"
    yield ""
    yield about.lesson
    yield ""
    if not about.parameters:
        yield "It has no parameters."
        return
    yield "Parameters"
    for one in about.parameters:
        default = str(one.default).lower() if isinstance(one.default, bool) else one.default
        yield f"  {one.name}={default}  ({one.unit}; {one.range})"
        yield f"      {one.effect}"
