"""`virtlab lesson`: list lessons, show what one says, run it, and copy it to change it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.cli.exit_codes import EPILOG
from virtlab.cli.show import page_options, print_json

if TYPE_CHECKING:
    from virtlab.policies.parameters import Parameter

__all__ = ["app"]

app = typer.Typer(
    help="Short lessons that run: each shows something, and has one thing to change.\n\n"
    "Example: virtlab lesson run ten-calls",
    epilog=EPILOG,
    no_args_is_help=True,
)


def _names(typed: str) -> list[tuple[str, str]]:
    """Return the lessons whose names begin as typed, for completion, with their titles."""
    from virtlab.lessons.catalogue import lesson_titles

    return [(name, title) for name, title in lesson_titles().items() if name.startswith(typed)]


def _keys(typed: str) -> list[tuple[str, str]]:
    """Return what may be set, and in which lesson, for completion."""
    from virtlab.lessons.catalogue import LESSONS, find_lesson

    known = [(name, one) for name in LESSONS for one in find_lesson(name).parameters]
    return [(f"{p.name}=", f"{name}: {p.effect}") for name, p in known if p.name.startswith(typed)]


_Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A lesson, or the folder of a copy.",
        autocompletion=_names,
        show_default=False,
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
_Plain = Annotated[
    bool, typer.Option("--plain", help="No colour, no layout, and ASCII alone in what is drawn.")
]


@app.command("list")
def list_lessons(as_json: _Json = False) -> None:
    """List the lessons in the order in which they are best read.

    Example: virtlab lesson list
    """
    from virtlab.lessons.catalogue import find_lesson, lesson_titles

    titles = lesson_titles()
    if as_json:
        rows = [
            {"name": name, "title": title, "set": [_row(p) for p in find_lesson(name).parameters]}
            for name, title in titles.items()
        ]
        print_json({"version": 1, "lessons": rows})
        return
    width = max(map(len, titles))
    for name, title in titles.items():
        typer.echo(f"{name:<{width}}  {title}")
    typer.echo(f"\nBegin with: virtlab lesson run {next(iter(titles))}")


@app.command("show")
def show(name: _Name, as_json: _Json = False, plain: _Plain = False) -> None:
    """Show what a lesson says, without running it, and what may be set.

    Example: virtlab lesson show balanced
    """
    from virtlab.lessons.catalogue import find_lesson
    from virtlab.lessons.page import passages_only

    lesson = find_lesson(name)
    if as_json:
        row = {"name": lesson.name, "title": lesson.title, "text": lesson.text}
        print_json({"version": 1, **row, "set": [_row(one) for one in lesson.parameters]})
        return
    options = page_options()
    plain = plain or options["ascii_only"]
    for piece in passages_only(
        lesson.text, width=options["width"], colour=options["colour"] and not plain, plain=plain
    ):
        print(piece, end="")
    for one in lesson.parameters:
        print(f"--set {one.name}={one.default}  ({one.unit}; {one.range}): {one.effect}")


@app.command("run")
def run(
    name: _Name,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="What to change; `lesson show` names it.",
            autocompletion=_keys,
            show_default=False,
        ),
    ] = None,
    as_json: _Json = False,
    plain: _Plain = False,
    step: Annotated[
        bool, typer.Option("--step", help="On a terminal: wait for Enter after each thing to see.")
    ] = False,
) -> None:
    """Run a lesson: its text, and between its passages what comes of it here and now.

    Example: virtlab lesson run balanced --set limit_points=2
    """
    from dataclasses import asdict

    from virtlab.lessons.catalogue import find_lesson
    from virtlab.lessons.page import lesson_pieces
    from virtlab.policies.parameters import settings_of

    found = find_lesson(name)
    lesson = found.made(_settings(settings or []))
    options = page_options()
    plain = plain or options["ascii_only"]
    step = step and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    rows = []
    with found.blamed():
        for piece, shown in lesson_pieces(
            found.text,
            lesson,
            width=options["width"],
            colour=options["colour"] and not plain,
            plain=plain,
        ):
            if shown is not None:
                rows.append({"kind": type(shown).__name__.lower(), **asdict(shown)})
            if not as_json:
                print(piece, end="", flush=True)
            if step and shown is not None:
                step = _went_on()
    if as_json:
        head = {"version": 1, "name": found.name, "title": found.title}
        print_json({**head, "settings": settings_of(lesson), "shown": rows})


@app.command("copy")
def copy(
    name: _Name,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Made where missing.", show_default=False)
    ],
) -> None:
    """Copy a lesson's text and code into a folder, to change them and run them from there.

    Example: virtlab lesson copy exokernel mine
    """
    from virtlab.lessons.catalogue import LESSONS, copied

    for path in copied(name, folder):
        print(path)
    place = f"./{folder}" if str(folder) in LESSONS else folder  # a lesson's name means the lesson
    print(f"\nChange them, then: virtlab lesson run {place}")


def _went_on() -> bool:
    """Wait for Enter; tell whether to wait again, which nobody asks for by ending the input."""
    try:
        input("Enter goes on ")
    except EOFError:
        print()
        return False
    return True


def _settings(texts: list[str]) -> dict[str, str]:
    from virtlab.errors import UsageError

    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {text!r} sets nothing", fix="write --set KEY=VALUE.")
        found[key] = value
    return found


def _row(one: Parameter) -> dict[str, object]:
    return {
        "name": one.name,
        "kind": one.kind.__name__,
        "default": one.default,
        "unit": one.unit,
        "effect": one.effect,
        "range": one.range,
    }
