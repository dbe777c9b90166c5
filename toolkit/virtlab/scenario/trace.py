"""Trace files: utilisation and memory in use over time, as CSV beside the scenario."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from virtlab.errors import Problem, ScenarioError
from virtlab.model.units import mib, seconds
from virtlab.model.workload import Trace, TracePoint
from virtlab.scenario.located_yaml import read_bounded

__all__ = ["load_trace"]

_COLUMNS = ("time_s", "cpu", "memory_mib")
_ROWS_MAX = 20_000


def load_trace(path: Path) -> Trace:
    """Return the trace in a CSV file with the columns time_s, cpu (0 to 1) and memory_mib.

    `memory_mib` may be left out, or empty in a row: the trace then leaves memory alone there.

    Raises:
        InputError: the file cannot be read.
        ScenarioError: it has mistakes; all of them are listed.
    """
    text = read_bounded(path, "trace")
    reader = _Rows(str(path))
    points = list(reader.points(text))
    if not points and not reader.problems:
        reader.refuse(1, "", "the trace has no rows.", "give it at least one row of data.")
    if reader.problems:
        raise ScenarioError(reader.problems)
    return Trace(tuple(points))


@dataclass(frozen=True, slots=True)
class _Cell:
    line: int
    column: str
    text: str


class _Rows:
    def __init__(self, file: str) -> None:
        self._file = file
        self.problems: list[Problem] = []

    def refuse(self, line: int, column: str, what: str, fix: str) -> None:
        self.problems.append(Problem(self._file, line, column, what, fix))

    def points(self, text: str) -> Iterator[TracePoint]:
        rows = csv.reader(text.splitlines())
        try:
            header = [name.strip() for name in next(rows, [])]
            if not self._header_fits(header):
                return
            last_s = -1.0
            for row in rows:
                if rows.line_num > _ROWS_MAX:
                    what = f"the trace has more than {_ROWS_MAX} rows."
                    self.refuse(rows.line_num, "", what, "use longer steps.")
                    return
                if not row:
                    continue
                if len(row) != len(header):
                    what = f"this row has {len(row)} fields and the header has {len(header)}."
                    self.refuse(rows.line_num, "", what, "give one field a column.")
                    continue
                cells = dict(zip(header, row, strict=True))
                time_s = self._number(_Cell(rows.line_num, "time_s", cells["time_s"]), 86_400)
                cpu = self._number(_Cell(rows.line_num, "cpu", cells["cpu"]), 1)
                memory: float | None = None
                if (in_use := cells.get("memory_mib", "").strip()) != "":
                    memory = self._number(_Cell(rows.line_num, "memory_mib", in_use), 2.0**24)
                if time_s is None or cpu is None:
                    continue
                if time_s <= last_s:
                    what = f"{time_s:g} s is not after the row before, {last_s:g} s."
                    self.refuse(rows.line_num, "time_s", what, "order the rows by time.")
                last_s = time_s
                yield TracePoint(seconds(time_s), cpu, None if memory is None else mib(memory))
        except csv.Error as err:
            self.refuse(rows.line_num, "", f"this is not CSV: {err}.", "mend the row.")

    def _header_fits(self, header: list[str]) -> bool:
        wanted = set(_COLUMNS)
        fits = {"time_s", "cpu"} <= set(header) <= wanted and len(set(header)) == len(header)
        if not fits:
            what = f"the header is {', '.join(header) or 'missing'}."
            self.refuse(1, "", what, f"begin the file with the line {','.join(_COLUMNS)}.")
        return fits

    def _number(self, cell: _Cell, largest: float) -> float | None:
        try:
            value = float(cell.text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= largest:
            what = f'"{cell.text.strip()[:40]}" is not a number from 0 to {largest:g}.'
            self.refuse(cell.line, cell.column, what, "mend the field.")
            return None
        return value
