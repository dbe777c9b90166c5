"""Which programs run on which tests: the order in which a machine's time is spent.

The references run on every test; of the flawed examples, one on each that it is known to fail, so
that verdicts are compared where they differ from "met". What tells most comes first, as time may
run out: a reference on all schedulers' tests and on one coordinator's, then flawed programs on
those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from virtlab.errors import UsageError
from virtlab.model.scenario import Scenario
from virtlab.naming import known_or_nearest

__all__ = ["Example", "Planned", "chosen", "example", "plan"]

_FIRST, _SECOND = "reference-c", "reference-python"
# By the course's test; its smaller forms have the same.
_FLAWED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cpu-1-all-on-one": "does-nothing",
        "cpu-2-half-and-half": "swaps-for-ever",
        "cpu-3-balanced": "all-on-pcpu-0",
        "cpu-4-unpinned": "leaves-masks-wide",
        "cpu-5-heavy-and-light": "balances-by-count",
        "cpu-6-idle": "repins-on-noise",
        "cpu-7-load-changes": "balances-on-cumulative-time",
        "memory-1-one-consumes": "never-gives",
        "memory-2-all-consume": "gives-all-at-once",
        "memory-3-two-stop": "takes-all-at-once",
        "memory-4-one-stops": "never-takes-back",
    }
)


@dataclass(frozen=True, slots=True)
class Example:
    """A program, under the name by which contributions know it."""

    name: str  # such as "reference-c" or "flawed/does-nothing"
    path: Path


@dataclass(frozen=True, slots=True)
class Planned:
    """A run to make."""

    scenario: Scenario
    program: Example
    number: int  # of its repetitions, from 1

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what tells it from others."""
        return self.scenario.id, self.program.name, self.number


def plan(
    scenarios: Iterable[Scenario], examples: Path, *, own: Sequence[Path] = (), repeat: int = 1
) -> list[Planned]:
    """Return the runs to make, the most telling first.

    Args:
        scenarios: the tests that fit the machine.
        examples: the folder of the example submissions.
        own: run these programs instead.
        repeat: how often each runs.
    """
    tests = list(scenarios)
    if own:
        pairs = [(test, Example(path.resolve().name, path)) for path in own for test in tests]
    else:
        pairs = list(_pairs(tests, examples))
    return [
        Planned(test, program, number) for number in range(1, repeat + 1) for test, program in pairs
    ]


def chosen(runs: Sequence[Planned], names: Sequence[str]) -> list[Planned]:
    """Return the runs of the tests and programs that are named; all where none is.

    Raises:
        UsageError: no run has such a test or program.
    """
    tests = list(dict.fromkeys(run.scenario.id for run in runs))
    programs = list(dict.fromkeys(run.program.name for run in runs))
    for name in names:
        if name not in tests and name not in programs:
            raise UsageError(
                f"--only {name}: no run that fits this machine has such a test or program.",
                fix=known_or_nearest(name, (*tests, *programs), "test or program"),
            )
    some_tests = [name for name in names if name in tests] or tests
    some_programs = [name for name in names if name in programs] or programs
    return [
        run for run in runs if run.scenario.id in some_tests and run.program.name in some_programs
    ]


def example(name: str, examples: Path) -> Example | None:
    """Return an example by its name in a contribution, or None where it is not there."""
    # A contribution comes from somebody else: its names lead to our examples, or nowhere.
    known = (_FIRST, _SECOND, *(f"flawed/{flaw}" for flaw in _FLAWED.values()))
    path = examples / name
    return Example(name, path) if name in known and path.is_dir() else None


def _pairs(tests: list[Scenario], examples: Path) -> Iterator[tuple[Scenario, Example]]:
    cpu = [test for test in tests if test.program == "vcpu_scheduler"]
    memory = [test for test in tests if test.program == "memory_coordinator"]
    first, second = (Example(name, examples / name) for name in (_FIRST, _SECOND))
    yield from ((test, first) for test in (*cpu, *memory[:1]))
    yield from _flawed((*cpu[::2], *memory[:1], *cpu[1::2]), examples)
    yield from ((test, first) for test in memory[1:])
    yield from _flawed(memory[1:], examples)
    yield from ((test, second) for test in tests)


def _flawed(tests: Iterable[Scenario], examples: Path) -> Iterator[tuple[Scenario, Example]]:
    for test in tests:
        flaw = _FLAWED.get(test.scaled_from or test.id)
        if flaw is not None:
            name = f"flawed/{flaw}"
            yield test, Example(name, examples / name)
