"""A grid of text: columns that stand below each other, or Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["markdown_grid", "text_grid"]

Row = Sequence[str]


def text_grid(head: Row, rows: Sequence[Row]) -> Iterator[str]:
    """Yield lines in which the first column stands at the left, and figures at the right."""
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


def markdown_grid(head: Row, rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of a table in Markdown."""
    yield _line(head)
    yield _line(["---", *["---:"] * (len(head) - 1)])
    for row in rows:
        yield _line(row)


def _line(cells: Row) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
