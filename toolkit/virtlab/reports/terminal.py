"""A verdict for people: a table of the tests, then each lost point with its reason and a hint.

The text is whole without colour: every status is a symbol and a word. It fits any width from 60
columns on, and the commands that repeat a run are never cut, so that they can be copied.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from virtlab.model.finding import Finding
from virtlab.model.verdict import CriterionResult, PointLine, RunVerdict, Verdict
from virtlab.reports.items import cause_of, is_lost, moment_text, points_text

if TYPE_CHECKING:  # rich is slow to import, and only a page needs it
    from rich.box import Box
    from rich.console import Console, RenderableType
    from rich.table import Table

__all__ = ["load_page_parts", "run_text", "verdict_text"]

_SYMBOLS: Mapping[str, str] = {"met": "✓", "lost": "✗", "not run": "–", "narrow": "!"}
_PLAIN_SYMBOLS: Mapping[str, str] = {"met": "+", "lost": "x", "not run": "-", "narrow": "!"}
_STYLES: Mapping[str, str] = {
    "met": "green",
    "lost": "bold red",
    "not run": "yellow",
    "narrow": "yellow",
}


def load_page_parts() -> None:
    """Import what drawing a page needs: for callers that wait for something else just now."""
    import rich.box
    import rich.console
    import rich.markup
    import rich.padding
    import rich.table  # noqa: F401


def verdict_text(
    verdict: Verdict, *, width: int = 80, colour: bool = False, ascii_only: bool = False
) -> str:
    """Return a submission's verdict as text."""
    page = _Page(width, colour, ascii_only)
    page.line(f"[bold]{_plain(verdict.program)}[/]")
    page.line(f"{_plain(verdict.rubric)}, version {_plain(verdict.rubric_version)}")
    page.add(_marks_table(page, verdict))
    lost = [run for run in verdict.runs if _lost_lines(run) or run.status != "ok" or run.notes]
    lost_general = [line for line in verdict.general if line.points is not None and is_lost(line)]
    if lost or lost_general:
        page.heading("Where points were lost" if _any_lost(verdict) else "Notes")
    for line in lost_general:
        page.gap()
        page.line(f"{page.mark('lost')} [bold]{_plain(line.label)}[/]  {_change(line)}")
        page.add(_facts([("why", line.reason)]))
    for alike in _alike(lost):
        page.gap()
        _lost_run(page, alike[0], alike[1:])
    _sanitisers(page, verdict.runs)
    if verdict.borderline:
        page.gap()
        page.heading("Narrow")
        for note in verdict.borderline:
            page.add(_marked(page.mark("narrow"), note))
    page.gap()
    for sentence in _closing(verdict):
        page.line(sentence)
    return page.text()


def run_text(
    run: RunVerdict, *, width: int = 80, colour: bool = False, ascii_only: bool = False
) -> str:
    """Return the verdict of one run, criterion by criterion, as text."""
    page = _Page(width, colour, ascii_only)
    page.line(f"[bold]{_plain(run.scenario)}[/]: {_plain(run.title)}")
    clock = {"paced": ", paced clock", "real": ", real host"}.get(run.clock, "")
    page.line(f"{_plain(run.program)}, seed {run.seed}{clock}")
    page.gap()
    for result in run.criteria:
        status = {"passed": "met", "failed": "lost", "not_run": "not run"}[result.status]
        word = "not met" if status == "lost" else status
        narrow = ", narrowly" if result.borderline else ""
        page.line(f"{page.mark(status)} [bold]{_plain(result.name)}[/]: {word}{narrow}")
        page.add(_facts([("why", result.reason), *_lead(result)]))
    _ending(page, run)
    _sanitisers(page, [run])
    if run.lines:
        page.gap()
        page.line(f"[bold]{points_text(run.points)} of {points_text(run.points_max)} points[/]")
    page.gap()
    page.command(run.replay)
    return page.text()


# --- the table of the tests


def _marks_table(page: _Page, verdict: Verdict) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(
        box=_ascii_box() if page.ascii_only else box.SIMPLE_HEAD,
        expand=False,
        pad_edge=False,
        show_footer=True,
        padding=(0, 1),
    )
    points, points_max = points_text(verdict.points), points_text(verdict.points_max)
    table.add_column("Test", footer="Total", overflow="fold")
    table.add_column("Points", footer=points, justify="right", no_wrap=True)
    table.add_column("of", footer=points_max, justify="right", no_wrap=True)
    table.add_column("Result", footer="", overflow="fold")
    for line in verdict.general:
        table.add_row(*_general_row(page, line))
    for run in verdict.runs:
        table.add_row(*_run_row(page, run))
    return table


def _ascii_box() -> Box:
    """Return SIMPLE_HEAD in ASCII: a rule below the heads, and air around."""
    from rich.box import Box

    return Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


def _general_row(page: _Page, line: PointLine) -> tuple[str, str, str, str]:
    if line.points is None:
        shown, status, word = "", "not run", f"not run: {line.reason.removeprefix('not run: ')}"
    else:
        shown, status = points_text(line.points), "lost" if is_lost(line) else "met"
        # How it came to be built stands behind the fact: a Makefile under another name, say.
        note = line.reason.partition("; ")[2]
        word = "lost" if status == "lost" else f"met; {note}" if note else "met"
    # What is not run stands outside the total, and so do its points.
    of = (
        f"({points_text(line.points_max)})" if line.points is None else points_text(line.points_max)
    )
    return _plain(line.label), shown, of, f"{page.mark(status)} {_plain(word)}"


def _run_row(page: _Page, run: RunVerdict) -> tuple[str, str, str, str]:
    if run.status == "lab_fault":
        of = f"({points_text(sum(line.points_max for line in run.lines))})"
        return _plain(run.scenario), "", of, f"{page.mark('not run')} not run"
    lost = [line.label for line in _lost_lines(run)]
    word = f"{page.mark('lost')} lost: {', '.join(lost)}" if lost else f"{page.mark('met')} met"
    narrow = any(result.borderline for result in run.criteria)
    if narrow and not lost:
        word += f" {page.mark('narrow')} narrowly"
    word += {"paced": ", on the paced clock", "real": ", on a real host"}.get(run.clock, "")
    return _plain(run.scenario), points_text(run.points), points_text(run.points_max), word


# --- what was lost, and why


def _alike(runs: list[RunVerdict]) -> list[list[RunVerdict]]:
    """Gather runs that were lost in the same way, such as by the same crash in every test."""
    groups: dict[object, list[RunVerdict]] = {}
    for run in runs:
        lost = tuple((line.label, line.points, line.reason) for line in _lost_lines(run))
        story = (run.status, run.outcome, run.outcome_reason, run.notes)
        # Equal figures of two healthy runs would be chance; each is then told by itself.
        key = (lost, story) if run.status != "ok" else run.scenario
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def _lost_run(page: _Page, run: RunVerdict, alike: list[RunVerdict]) -> None:
    status = "not run" if run.status == "lab_fault" else "lost" if _lost_lines(run) else "met"
    page.line(f"{page.mark(status)} [bold]{_plain(run.scenario)}[/]: {_plain(run.title)}")
    if alike:
        names = ", ".join(other.scenario for other in alike)
        page.add(_indented(_plain(f"and in the same way {names}")))
    for lines in _same_reason(_lost_lines(run)):
        names = ", ".join(f"{_plain(line.label)} {_change(line)}" for line in lines)
        page.add(_indented(names))
        facts = [("why", lines[0].reason)]
        cause = cause_of(run, lines[0])
        if cause is not None:
            facts += _lead(cause)
        page.add(_facts(facts))
    _ending(page, run)
    page.command(run.replay)


def _ending(page: _Page, run: RunVerdict) -> None:
    """Tell how the program ended, where that was not as it should be."""
    facts = []
    if run.status != "ok":
        who = "lab" if run.status == "lab_fault" else "program"
        facts.append((who, f"{run.outcome.replace('_', ' ')}: {run.outcome_reason}"))
        facts += [("call", call) for call in run.last_calls]
    facts += [("note", note) for note in run.notes]
    if facts:
        page.add(_facts(facts))


def _lead(cause: CriterionResult) -> Iterator[tuple[str, str]]:
    """Yield what leads from a failed criterion into the run, and where to look next."""
    if cause.moment is not None:
        yield "first", moment_text(cause.moment)
        for call in cause.moment.calls:
            yield "calls", call
    if cause.hint is not None:
        yield "hint", cause.hint


def _same_reason(lines: list[PointLine]) -> list[list[PointLine]]:
    groups: dict[str, list[PointLine]] = {}
    for line in lines:
        groups.setdefault(line.reason, []).append(line)
    return list(groups.values())


def _lost_lines(run: RunVerdict) -> list[PointLine]:
    return [line for line in run.lines if line.points is not None and is_lost(line)]


def _any_lost(verdict: Verdict) -> bool:
    return any(is_lost(line) for line in verdict.general) or any(
        _lost_lines(run) for run in verdict.runs
    )


# --- what sanitisers found


def _sanitisers(page: _Page, runs: Sequence[RunVerdict]) -> None:
    """Tell what sanitised runs found: each mistake once, with the tests in which it showed."""
    seen: dict[Finding, list[str]] = {}
    lacking: dict[str, list[str]] = {}
    clean = []
    for run in runs:
        if run.sanitiser is None:
            continue
        if run.sanitiser.lacking is not None:
            lacking.setdefault(run.sanitiser.lacking, []).append(run.scenario)
        elif not run.sanitiser.findings:
            clean.append(run.scenario)
        for finding in run.sanitiser.findings:
            seen.setdefault(finding, []).append(run.scenario)
    if not (seen or lacking or clean):
        return
    page.gap()
    page.heading("What the sanitisers found (costs no points)")
    for finding, tests in seen.items():
        page.line(f"{page.mark('narrow')} [bold]{_plain(finding.where)}[/]: {_plain(finding.kind)}")
        page.add(_facts([("means", finding.meaning), ("in", ", ".join(tests))]))
    for reason, tests in lacking.items():
        page.add(_marked(page.mark("not run"), f"not run, as {reason}: {', '.join(tests)}"))
    if clean:
        page.add(_marked(page.mark("met"), f"nothing in {', '.join(clean)}"))


# --- the end


def _closing(verdict: Verdict) -> Iterator[str]:
    points, points_max = points_text(verdict.points), points_text(verdict.points_max)
    yield f"[bold]{points} of {points_max} points[/]"
    if len(verdict.seeds) > 1:
        listed = _ranges(verdict.seeds)
        yield f"The lowest of the seeds {listed} counts; shown is seed {verdict.seed}."
    if verdict.clock == "real":
        yield "Tests on a real host are not the same each time."
    if verdict.clock == "paced":
        yield "Tests on the paced clock are not the same each time; the others are."
    if verdict.partial:
        yield "Not everything was run, so this is not the whole mark."


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers as a short list: 1-20, 31."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = (str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
    return ", ".join(parts)


def _change(line: PointLine) -> str:
    return f"(-{points_text(line.points_max - (line.points or 0.0))})"


# --- the page


class _Page:
    """Collects the parts of a text and lays them out."""

    def __init__(self, width: int, colour: bool, ascii_only: bool) -> None:
        from rich.console import Console

        self.ascii_only = ascii_only
        self._symbols = _PLAIN_SYMBOLS if ascii_only else _SYMBOLS
        self._out = io.StringIO()
        # Everything is given, so that no variable of the environment changes the text.
        self._console: Console = Console(
            file=self._out,
            width=width,
            force_terminal=colour,
            no_color=not colour,
            color_system="standard" if colour else None,
            legacy_windows=False,
            highlight=False,
            emoji=False,
            _environ={},
        )

    def mark(self, status: str) -> str:
        """Return a status' symbol in its colour."""
        return f"[{_STYLES[status]}]{self._symbols[status]}[/]"

    def line(self, markup: str) -> None:
        """Add a line of markup."""
        self._console.print(markup)

    def heading(self, text: str) -> None:
        """Add a heading."""
        self._console.print(f"[bold underline]{text}[/]")

    def gap(self) -> None:
        """Add an empty line."""
        self._console.print()

    def add(self, part: RenderableType) -> None:
        """Add a part that lays itself out."""
        self._console.print(part)

    def command(self, command: str) -> None:
        """Add a command, whole on one line however long it is."""
        markup = f"      [dim]again[/]  [cyan]{_plain(command)}[/]"
        self._console.print(markup, soft_wrap=True)

    def text(self) -> str:
        """Return the page, without the blanks that fill its lines up."""
        return "".join(f"{line.rstrip()}\n" for line in self._out.getvalue().splitlines())


def _facts(facts: list[tuple[str, str]]) -> Table:
    """Return sentences beside their names; a name stands only where it changes."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=7, justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for name, sentence in facts:
        table.add_row("" if name == before else name, _plain(sentence))
        before = name
    return _shifted(table)


def _shifted(table: Table) -> Table:
    from rich.table import Table

    outer = Table.grid()
    outer.add_column(width=4)
    outer.add_column()
    outer.add_row("", table)
    return outer


def _marked(mark: str, text: str) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=1)
    table.add_column(overflow="fold")
    table.add_row(mark, _plain(text))
    return table


def _indented(markup: str) -> RenderableType:
    from rich.padding import Padding

    return Padding(markup, (0, 0, 0, 4))


def _plain(text: str) -> str:
    """Return text that no program can dress up: markup is escaped, control characters shown."""
    from rich.markup import escape

    return escape("".join(char if char.isprintable() else repr(char)[1:-1] for char in text))
