"""The page about what rubrics give for nothing, from the files of `make floor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["floors_page"]

_HEAD = """\
# What each rubric gives for nothing

A rubric is worth no more than what it denies to programs that know nothing. `make floor` grades
them with several seeds, as luck has a part in them, and writes this page and `NAME.floor.json`
beside each rubric, where the points of every test and seed stand. `virtlab scenarios show RUBRIC`
prints the lowest marks.

The course's own rubrics, `fall-2026` and `rubric-2023`, give the points of *stable* apart from
those of *balanced*. A scheduler that never moves anything keeps the former, and gets both in the
two tests in which nothing is to be done: more than half of the points. They are the course's, so
they stay. `generality` gives both together, and next to nothing for standing still.
"""


def floors_page(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return the page in Markdown for the floors of some rubrics, as `floor_json` gives them."""
    return "\n".join([_HEAD, *(_section(document) for document in documents)])


def _section(document: Mapping[str, Any]) -> str:
    lines = [
        f"## `{document['rubric']}`, version {document['rubric_version']}, "
        f"{len(document['seeds'])} seeds\n",
        "| what it does | program | lowest mark | median | of |",
        "|---|---|---|---|---|",
        *(
            f"| {line['does']} | {line['program']} | {line['lowest']:g} | {line['median']:g} | "
            f"{line['points_max']:g} |"
            for line in document["floor"]
        ),
    ]
    return "\n".join(lines) + "\n"
