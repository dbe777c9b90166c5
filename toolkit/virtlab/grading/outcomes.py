"""How a program fared, in words: crashed, exited, hung, silent, or ran to the end.

Only what happened before the scenario's end is a fault; what a program does after it was asked to
stop is a note.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.model.timeline import ProgramOutcome, RunStatus, Timeline
from virtlab.model.units import NS_PER_S
from virtlab.subjects.launch import ProcessExit

__all__ = ["Ended", "describe_outcome"]

# The clock library's own exit. The lab does not hang up on a program that uses the library, so a
# lost clock is the program's own doing.
_CLOCK_LOST_CODE = 97
_EXEC_FAILED_CODES = (126, 127)
_SUMMARY = "SUMMARY: "


@dataclass(frozen=True, slots=True)
class Ended:
    """What is known about the end of a program."""

    at_ns: int
    before_end: bool  # of the scenario
    exit: ProcessExit
    stall: str | None  # why the watchdog ended it
    flooded: bool
    excess: str | None  # what it made too much of in its folder
    clock_notes: tuple[str, ...]
    host_hidden: bool  # the clock library shows it the host, but does not reach the program
    ending_notes: tuple[str, ...]
    stderr: str


def describe_outcome(ended: Ended, timeline: Timeline) -> ProgramOutcome:
    """Return the outcome of a run from how its program ended."""
    status, kind, reason = _verdict(ended, timeline)
    notes = [*ended.clock_notes, *ended.ending_notes]
    # A program without a handler dies of SIGINT, as it should; any other signal is a crash.
    crashed = ended.exit.signal not in (None, "SIGINT", "SIGTERM", "SIGKILL")
    if kind == "completed" and not ended.before_end and crashed:
        notes.append(f"It crashed with {ended.exit.signal} while it was ending.")
    if kind == "completed" and ended.ending_notes:
        kind = "ignored_sigint"
    return ProgramOutcome(
        status=status,
        kind=kind,
        reason=reason,
        at_ns=ended.at_ns,
        exit_code=ended.exit.code,
        signal=ended.exit.signal,
        notes=tuple(notes),
    )


def _verdict(ended: Ended, timeline: Timeline) -> tuple[RunStatus, str, str]:
    at = f"at {ended.at_ns / NS_PER_S:.1f} s"
    if ended.host_hidden and timeline.calls_total == 0:
        return (
            "lab_fault",
            "lab_error",
            "It made no libvirt call, but could hardly: it cannot be given the clock library, by "
            "which programs find the simulated host where bubblewrap does not run; install "
            "bubblewrap, or link it dynamically.",
        )
    if ended.flooded:
        return "program_fault", "flooded", f"It printed more than the lab can take {at}."
    if ended.excess is not None:
        return "program_fault", "overfilled", f"It made {ended.excess} in its folder {at}."
    if ended.stall is not None:
        return "timeout", "hung", f"It hung {at}: {ended.stall}{_after(timeline)}."
    if ended.before_end:
        return _early_end(ended, timeline, at)
    if timeline.calls_total == 0:
        return "program_fault", "silent", "It never made a libvirt call."
    return "ok", "completed", "It ran to the end."


def _early_end(ended: Ended, timeline: Timeline, at: str) -> tuple[RunStatus, str, str]:
    last_words = _last_line(ended.stderr)
    said = f"; it last said: {last_words}" if last_words else ""
    code = ended.exit.code
    if ended.exit.sandbox_failed:
        return "lab_fault", "lab_error", f"The sandbox could not start it{said}."
    if ended.exit.out_of_memory:
        return "program_fault", "crashed", f"It used more memory than the lab gives it {at}."
    if (found := _sanitiser_summary(ended.stderr)) is not None:
        return "program_fault", "crashed", f"A sanitiser ended it {at}{_after(timeline)}: {found}."
    if ended.exit.signal is not None:
        return (
            "program_fault",
            "crashed",
            f"It crashed with {ended.exit.signal} {at}{_after(timeline)}{said}.",
        )
    if code == _CLOCK_LOST_CODE and last_words.startswith("virtlab clock:"):
        return "program_fault", "exited", f"It lost the virtual clock {at}{_after(timeline)}{said}."
    if ended.exit.not_executed:
        return "program_fault", "exited", f"It could not be started{said}."
    if code in _EXEC_FAILED_CODES and timeline.calls_total == 0:
        return "program_fault", "exited", f"It could not be started (exit code {code}){said}."
    return "program_fault", "exited", f"It exited {at} with code {code}{_after(timeline)}{said}."


def _after(timeline: Timeline) -> str:
    """Name the last libvirt call, which is where to begin to look."""
    if not timeline.calls:
        return ", before any libvirt call"
    last = timeline.calls[-1]
    return f", after {last.procedure}" + (f" on {last.guest}" if last.guest else "")


def _sanitiser_summary(output: str) -> str | None:
    """Return the line in which a sanitiser sums up what it found; many more stand around it."""
    found = [line for line in output.splitlines() if line.startswith(_SUMMARY)]
    return _last_line(found[-1]).removeprefix(_SUMMARY) if found else None


def _last_line(output: str) -> str:
    """Return the last line, or the one that it goes on from: what is indented explains another."""
    lines = output.strip().splitlines()
    whole = [line for line in lines if not line[:1].isspace()]
    return "".join(c for c in whole[-1] if c.isprintable())[:200] if lines else ""
