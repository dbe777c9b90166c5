"""`virtlab report`: results in the formats that other systems read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.errors import UsageError

if TYPE_CHECKING:
    from virtlab.grading.store import StoredResults

__all__ = ["report"]


class Format(StrEnum):
    """The formats."""

    HTML = "html"
    GRADESCOPE = "gradescope"
    CHECK50 = "check50"
    JUNIT = "junit"
    CSV = "csv"
    MARKS = "marks"
    GITHUB_SUMMARY = "github-summary"
    GITHUB_ANNOTATIONS = "github-annotations"


class Shown(StrEnum):
    """When Gradescope shows test cases to the one who handed in."""

    VISIBLE = "visible"
    HIDDEN = "hidden"
    AFTER_DUE_DATE = "after_due_date"
    AFTER_PUBLISHED = "after_published"


_ONE_ONLY = (Format.GRADESCOPE, Format.CHECK50)


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR",
            help="Result folders of grade, or a folder that holds them.",
            show_default=False,
        ),
    ],
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            help="html: pages with charts. gradescope and check50: one submission as JSON. junit: "
            "XML. csv: a row for each item. marks: a row for each submission. github-summary: "
            "Markdown. github-annotations: workflow commands.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File to write; printed where not given. For the pages of several submissions, "
            "the folder.",
            show_default=False,
        ),
    ] = None,
    visibility: Annotated[
        Shown, typer.Option("--visibility", help="Of test cases, to students, in Gradescope.")
    ] = Shown.VISIBLE,
) -> None:
    """Write results in a format that another system reads; nothing is run.

    Example: virtlab report virtlab-results --format marks --out marks.csv
    """
    from virtlab.grading.results_folder import write_file
    from virtlab.grading.store import read_results, result_folders

    found = result_folders(folders)
    if form in _ONE_ONLY and len(found) > 1:
        raise UsageError(
            f"{form} is a format for one submission, and {len(found)} are named.",
            fix=f"name one of them, such as {found[0]}.",
        )
    if form is Format.HTML and len(found) > 1:
        _write_pages(found, out)
        return
    results = [read_results(folder, timelines=form is Format.HTML) for folder in found]
    text = _written(form, results, visibility)
    if out is None:
        print(text, end="")
    else:
        write_file(out, text)


def _write_pages(folders: list[Path], out: Path | None) -> None:
    """Write a page for each submission into a folder, and one for all of them."""
    from virtlab.grading.results_folder import translated, write_file
    from virtlab.grading.store import read_results
    from virtlab.reports.html import class_page, submission_page

    if out is None:
        raise UsageError(
            f"{len(folders)} submissions give {len(folders) + 1} pages, which are not printed.",
            fix="name a folder for them: --out pages",
        )
    # One broken folder is told before a page is written; timelines are read one after the other.
    verdicts = [read_results(folder, timelines=False).verdict for folder in folders]
    links = _page_names(folders)
    with translated(out):
        out.mkdir(parents=True, exist_ok=True)
    for folder, link in zip(folders, links, strict=True):
        one = read_results(folder)
        write_file(out / link, submission_page(one.verdict, one.marked_timelines))
    write_file(out / "index.html", class_page(verdicts, links))
    print(out / "index.html")


def _page_names(folders: list[Path]) -> list[str]:
    """Return a name for each page; equal names of folders are told apart by a number."""
    names: list[str] = []
    for folder in folders:
        stem, number = folder.resolve().name, 2
        name = f"{stem}.html"
        while name in (*names, "index.html"):
            name, number = f"{stem}-{number}.html", number + 1
        names.append(name)
    return names


def _written(form: Format, results: list[StoredResults], visibility: Shown) -> str:
    from virtlab.reports.check50 import check50_json
    from virtlab.reports.github import step_annotations, step_summary
    from virtlab.reports.gradescope import gradescope_json
    from virtlab.reports.html import submission_page
    from virtlab.reports.junit import junit_xml
    from virtlab.reports.table import lines_csv, marks_csv

    verdicts = [one.verdict for one in results]
    match form:
        case Format.HTML:
            return submission_page(verdicts[0], results[0].marked_timelines)
        case Format.GRADESCOPE:
            real_s = results[0].info.get("real_s")
            return gradescope_json(verdicts[0], real_s=real_s, visibility=visibility.value)
        case Format.CHECK50:
            return check50_json(verdicts[0])
        case Format.JUNIT:
            return junit_xml(verdicts)
        case Format.CSV:
            return lines_csv(verdicts)
        case Format.MARKS:
            return marks_csv(verdicts)
        case Format.GITHUB_SUMMARY:
            return step_summary(verdicts)
        case Format.GITHUB_ANNOTATIONS:
            return step_annotations(verdicts)
