"""What a lesson shows, as lines of text: tables, bars, and curves of one letter a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import fsum
from typing import Final

from virtlab.lessons.lesson import Bars, Cell, Curves, Listing, Said, Shown, Table

__all__ = ["cell_text", "lines_of"]

_LEVELS: Final = "▁▂▃▄▅▆▇█"
_PLAIN_LEVELS: Final = "_.:-=+*#"
_BAR_MAX: Final = 40
_NAME_MAX: Final = 30


def lines_of(one: Shown, *, width: int, ascii_only: bool) -> Iterator[str]:
    """Yield the lines of one thing to see; sentences are left to whoever folds them."""
    match one:
        case Table():
            yield from _table(one)
        case Bars():
            yield from _bars(one, width, "#" if ascii_only else "█")
        case Curves():
            yield from _curves(one, width, _PLAIN_LEVELS if ascii_only else _LEVELS)
        case Listing():
            yield from (_clipped(line, width) for line in one.lines)
        case Said():
            yield one.text


def cell_text(cell: Cell) -> str:
    """Return a cell; of a figure about three digits that count."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or abs(cell) >= 100:
        return f"{cell:,.0f}"
    return f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"


def _table(one: Table) -> Iterator[str]:
    """Yield rows in which words stand at the left and figures at the right."""
    texts = [[cell_text(cell) for cell in row] for row in one.rows]
    sides = [
        "<" if all(isinstance(row[n], str) for row in one.rows) else ">"
        for n in range(len(one.head))
    ]
    widths = [max(len(row[n]) for row in (one.head, *texts)) for n in range(len(one.head))]
    for row in (one.head, *texts):
        cells = zip(row, sides, widths, strict=True)
        yield "  ".join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip()


def _clipped(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 4]} ..."


def _bars(one: Bars, width: int, letter: str) -> Iterator[str]:
    names = max(map(len, one.values), default=0)
    figures = {name: cell_text(value) for name, value in one.values.items()}
    digits = max(map(len, figures.values()), default=0)
    top = max(one.values.values(), default=0.0)
    room = max(min(width - names - digits - len(one.unit) - 5, _BAR_MAX), 1)
    for name, value in one.values.items():
        length = round(room * value / top) if top > 0.0 else 0
        bar = letter * (max(length, 1) if value > 0.0 else 0)
        yield f"{name:<{names}}  {figures[name]:>{digits}} {one.unit}  {bar}".rstrip()


def _curves(one: Curves, width: int, levels: str) -> Iterator[str]:
    top = max((value for each in one.series.values() for value in each), default=0.0)
    names = min(max(map(len, one.series), default=0), _NAME_MAX)
    room = max(width - names - 2, 10)
    for name, values in one.series.items():
        points = _thinned(values, room)
        yield f"{name:<{names}}  " + "".join(_level(value, top, levels) for value in points)
    full = f"{cell_text(top)} {one.unit}"
    yield f"{'':<{names}}  {one.over}; {levels[-1]} is {full}"


def _level(value: float, top: float, levels: str) -> str:
    if top <= 0.0:
        return levels[0]
    return levels[min(int(value / top * len(levels)), len(levels) - 1)]


def _thinned(values: Sequence[float], room: int) -> list[float]:
    """Return means of as many neighbours each as it takes to fit."""
    step = -(-len(values) // room) if values else 1
    pieces = [values[at : at + step] for at in range(0, len(values), step)]
    return [fsum(piece) / len(piece) for piece in pieces]
