"""Scenario files on disk: reading one."""

from __future__ import annotations

from pathlib import Path

from virtlab.errors import InputError, Problem, ScenarioError
from virtlab.model.scenario import Scenario
from virtlab.model.workload import Trace
from virtlab.scenario.build import built
from virtlab.scenario.checks import contradictions
from virtlab.scenario.located_yaml import Document, KeyPath, read_document
from virtlab.scenario.parts import Parts, parsed
from virtlab.scenario.phase_checks import phase_problems
from virtlab.scenario.problems import raise_if_any
from virtlab.scenario.schema import TraceFile
from virtlab.scenario.trace import load_trace

__all__ = ["load_scenario"]


def load_scenario(path: Path | str) -> Scenario:
    """Return the scenario in a file.

    Raises:
        InputError: the file cannot be read.
        ScenarioError: it has mistakes; all of them are listed, in file order.
    """
    document = read_document(Path(path), "scenario")
    file, parts, problems = parsed(document)
    traces, trace_problems = _traces(parts)
    raise_if_any([*document.problems, *problems, *contradictions(parts), *trace_problems])
    assert file is not None  # otherwise there were problems
    scenario = built(file, traces)
    raise_if_any(list(phase_problems(document, scenario)))
    return scenario


def _traces(parts: Parts) -> tuple[dict[str, Trace], list[Problem]]:
    """Return the traces that a file names, and what is wrong with them."""
    document = parts.document
    named: list[tuple[KeyPath, object]] = [
        *((("guests", i, "load", "trace"), guest.load) for i, guest in parts.guests),
        *((("events", i, "start_load", "trace"), event.start_load) for i, event in parts.events),
    ]
    traces: dict[str, Trace] = {}
    problems: list[Problem] = []
    for path, load in named:
        if not isinstance(load, TraceFile) or load.trace in traces:
            continue
        try:
            traces[load.trace] = load_trace(_beside(document, load.trace))
        except ScenarioError as err:
            problems += err.problems
        except InputError as err:
            what = f"{str(err).splitlines()[0]}"
            fix = "put the CSV file beside this one; its path is relative to this file."
            problems.append(document.problem(path, what, fix))
    return traces, problems


def _beside(document: Document, name: str) -> Path:
    return Path(document.file).parent / name
