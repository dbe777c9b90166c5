"""What lies in a result folder, written and read.

verdict.json   what the program got and why: the same bytes for the same runs
run.json       what differs between two runs: versions, wall times, machine
build/PROGRAM.log
runs/SCENARIO-seed-N/{timeline.json, monitor.txt, stdout.log, stderr.log, sanitiser.log}
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtlab.errors import InputError, VirtlabError
from virtlab.grading.results_folder import (
    RESULTS_FORMAT,
    being_replaced,
    half_written,
    holds_results,
    identity,
    prepared,
    translated,
)
from virtlab.model.timeline import Timeline
from virtlab.model.verdict import Verdict

if TYPE_CHECKING:  # slow to import, and only reading needs it
    from pydantic import TypeAdapter

__all__ = [
    "ResultWriter",
    "StoredResults",
    "StoredRun",
    "read_info",
    "read_results",
    "read_timeline",
    "read_verdict",
    "result_folders",
    "verdict_json",
    "verdict_schema",
    "write_results",
]

_TIMELINE_VERSION = 1
_VERDICT_VERSION = 1
_PROBLEMS_SHOWN = 5
_READ_TRIES, _READ_PAUSE_S = 20, 0.01


# Writing.


def verdict_json(verdict: Verdict) -> str:
    """Return a verdict as JSON: the same bytes for the same verdict."""
    return json.dumps(asdict(verdict), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def verdict_schema() -> dict[str, Any]:
    """Return the JSON Schema of verdict.json, as published in docs/reference."""
    from pydantic import TypeAdapter

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TypeAdapter(Verdict).json_schema(mode="serialization"),
        "title": "virtlab verdict",
    }


@contextlib.contextmanager
def write_results(path: Path, *, overwrite: bool = False) -> Iterator[ResultWriter]:
    """Give a writer for a result folder, which appears under its name when the block is done.

    Raises:
        UsageError, EnvironmentLackError: as `results_folder.prepared` does.
    """
    with prepared(path, overwrite=overwrite) as folder:
        yield ResultWriter(folder, path.absolute())


class ResultWriter:
    """Writes the files of one result folder."""

    def __init__(self, folder: Path, shown: Path) -> None:
        """Take the folder to write in, and the one that it becomes."""
        self._folder = folder
        self._shown = shown

    def verdict(self, verdict: Verdict) -> None:
        """Write verdict.json."""
        self._write("verdict.json", _bytes(verdict_json(verdict)))

    def run_info(self, info: Mapping[str, Any]) -> None:
        """Write run.json: whatever the caller knows that may differ between two equal runs."""
        text = json.dumps({"format": RESULTS_FORMAT, **info}, indent=2, ensure_ascii=False)
        self._write("run.json", _bytes(text) + b"\n")

    def build_log(self, program: str, log: str) -> None:
        """Write what the build of a program printed."""
        self._write(f"build/{program}.log", _bytes(log))

    def run(self, timeline: Timeline, *, monitor: str, stdout: bytes, stderr: bytes) -> None:
        """Write the folder of one run."""
        folder = _run_folder(timeline)
        self._write(f"{folder}/timeline.json", timeline.to_json().encode())
        self._write(f"{folder}/monitor.txt", monitor.encode())
        self._write(f"{folder}/stdout.log", stdout)
        self._write(f"{folder}/stderr.log", stderr)

    def sanitiser_log(self, timeline: Timeline, said: bytes) -> None:
        """Write what the sanitised run beside a run printed, where there was one."""
        if said:
            self._write(f"{_run_folder(timeline)}/sanitiser.log", said)

    def file(self, name: str, content: bytes) -> None:
        """Write another file, such as a report."""
        self._write(name, content)

    def _write(self, name: str, content: bytes) -> None:
        with translated(self._shown):
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _bytes(text: str) -> bytes:
    """Return text as UTF-8; of a file's name that is none, the bytes are told as JSON does it."""
    return text.encode(errors="backslashreplace")


def _run_folder(timeline: Timeline) -> str:
    return f"runs/{timeline.scenario}-seed-{timeline.seed}"


# Reading.


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run of a result folder."""

    folder: Path
    timeline: Timeline


@dataclass(frozen=True, slots=True)
class StoredResults:
    """A result folder: enough to judge all of it again."""

    folder: Path
    verdict: Verdict
    info: Mapping[str, Any]
    runs: tuple[StoredRun, ...]

    @property
    def marked_timelines(self) -> dict[str, Timeline]:
        """Return what was recorded with the seed that gave the mark, by scenario."""
        timelines = (run.timeline for run in self.runs)
        return {one.scenario: one for one in timelines if one.seed == self.verdict.seed}


def read_results(folder: Path, *, timelines: bool = True) -> StoredResults:
    """Return what a result folder holds, all of it from one grading.

    Args:
        folder: that a grading has written.
        timelines: read them as well, which takes nearly all of the time; `runs` is empty otherwise.

    Raises:
        InputError: it is no result folder, or a file in it is broken.
    """
    for _ in range(_READ_TRIES):
        before = identity(folder)
        try:
            results = _read_results(folder, timelines)
        except InputError:
            if identity(folder) == before and not being_replaced(folder):
                raise
            time.sleep(_READ_PAUSE_S)
        else:
            if identity(folder) == before:
                return results
    raise InputError(
        f"{folder} is being replaced by a grading, or that was killed in the midst of it.",
        fix="look again later, or grade again, which puts the older results back first.",
    )


def _read_results(folder: Path, timelines: bool) -> StoredResults:
    if not folder.is_dir() or not holds_results(folder):
        if half_written(folder):
            raise InputError(
                f"{folder} is no folder of results: a grading into it is under way, or was killed "
                "before its end.",
                fix="wait for its end, or grade again.",
            )
        raise InputError(
            f"{folder} is no folder of results.",
            fix="name a folder that `virtlab grade` has written.",
        )
    if not (folder / "verdict.json").exists() and (folder / "run-verdict.json").exists():
        raise InputError(
            f"{folder} holds a single run, without points.",
            fix="read its run-verdict.json, or grade the program and name that folder.",
        )
    files = sorted((folder / "runs").glob("*/timeline.json")) if timelines else []
    return StoredResults(
        folder=folder,
        verdict=read_verdict(folder / "verdict.json"),
        info=read_info(folder / "run.json"),
        runs=tuple(StoredRun(file.parent, read_timeline(file)) for file in files),
    )


def read_info(path: Path) -> Mapping[str, Any]:
    """Return what a run.json says.

    Raises:
        InputError: it cannot be read.
    """
    try:
        info: Mapping[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as err:
        raise InputError(f"{path} cannot be read: {err}.", fix="grade again.") from err
    return info


def result_folders(paths: Sequence[Path]) -> list[Path]:
    """Return folders of results: those that are named, and those in a folder that holds several.

    Raises:
        InputError: a folder is none, and holds none.
    """
    found: list[Path] = []
    for path in paths:
        inside = [] if holds_results(path) or not path.is_dir() else sorted(path.iterdir())
        found += [folder for folder in inside if holds_results(folder)] or [path]
    return found


def read_verdict(path: Path) -> Verdict:
    """Return the verdict in a file.

    Raises:
        InputError: it cannot be read, or is no verdict of this version.
    """
    verdict: Verdict = _read(path, Verdict, "verdict", _VERDICT_VERSION)
    return verdict


def read_timeline(path: Path) -> Timeline:
    """Return the timeline in a file.

    Raises:
        InputError: it cannot be read, is no timeline of this version, or contradicts itself.
    """
    timeline: Timeline = _read(path, Timeline, "timeline", _TIMELINE_VERSION)
    problem = next(_contradictions(timeline), None)
    if problem is not None:
        raise _broken(path, "timeline", [problem])
    return timeline


def _read(path: Path, kind: type[Any], name: str, version: int) -> Any:
    from pydantic import ValidationError

    try:
        content = path.read_bytes()
    except OSError as err:
        reason = os.strerror(err.errno) if err.errno else str(err)
        raise InputError(f"{path} cannot be read: {reason}.", fix="check the path.") from err
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as err:
        raise _broken(path, name, [f"it is no JSON: {err}"]) from err
    found = data.get("version") if isinstance(data, dict) else None
    if isinstance(found, int) and found != version:
        raise InputError(
            f"{path}: a {name} of version {found}; this virtlab reads version {version}.",
            fix="use the virtlab that wrote it, or run it again.",
        )
    try:
        return _adapter(kind).validate_json(content)  # type: ignore[arg-type]  # it is hashable
    except ValidationError as err:
        details = err.errors(include_url=False, include_input=False)
        raise _broken(
            path,
            name,
            [f"{'.'.join(map(str, d['loc'])) or 'the file'}: {d['msg']}" for d in details],
        ) from err


@functools.cache  # as it is slow to make, and a class has thousands of timelines
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _contradictions(timeline: Timeline) -> Iterator[str]:
    """Yield what judging would trip over: columns of unequal length, moments out of order."""
    count = len(timeline.times_ns)
    if any(a >= b for a, b in zip(timeline.times_ns, timeline.times_ns[1:], strict=False)):
        yield "times_ns: the moments are not in order"
    if timeline.interval_ns <= 0 or timeline.duration_ns <= 0 or timeline.pcpus <= 0:
        yield "interval_ns, duration_ns and pcpus have to be above 0"
    if len(timeline.pcpu_busy_ns) != timeline.pcpus:
        yield f"pcpu_busy_ns: {len(timeline.pcpu_busy_ns)} series for {timeline.pcpus} pCPUs"
    columns: dict[str, tuple[Any, ...]] = {
        "host_free_kib": timeline.host_free_kib,
        "host_swap_kib": timeline.host_swap_kib,
        **{f"pcpu_busy_ns.{n}": series for n, series in enumerate(timeline.pcpu_busy_ns)},
    }
    for number, guest in enumerate(timeline.guests):
        where = f"guests.{number}"
        if len(guest.start_masks) != len(guest.vcpus):
            yield f"{where}.start_masks: {len(guest.start_masks)} for {len(guest.vcpus)} vCPUs"
        for name in (
            "running", "actual_kib", "target_kib", "unused_kib", "consumer_kib", "rss_kib",
        ):  # fmt: skip
            columns[f"{where}.{name}"] = getattr(guest, name)
        for vcpu_number, vcpu in enumerate(guest.vcpus):
            for field in fields(vcpu):
                columns[f"{where}.vcpus.{vcpu_number}.{field.name}"] = getattr(vcpu, field.name)
    for name, column in columns.items():
        if len(column) != count:
            yield f"{name}: {len(column)} entries for {count} moments"
    known = {guest.name for guest in timeline.guests}
    for event in timeline.events:
        if event.guest is not None and event.guest not in known:
            yield f"events: there is no guest {event.guest}"


def _broken(path: Path, name: str, problems: list[str]) -> VirtlabError:
    listed = "".join(f"\n  {problem}" for problem in problems[:_PROBLEMS_SHOWN])
    more = len(problems) - _PROBLEMS_SHOWN
    return InputError(
        f"{path} is no {name}:{listed}" + (f"\n  and {more} more" if more > 0 else ""),
        fix="run it again; these files are not meant to be edited.",
    )
