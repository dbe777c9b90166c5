"""The scenario's loads inside of real guests: started and stopped by their agents, and looked at.

Each load is a process of the micro-guest's `workload` program, which reports what it achieved to a
file in its guest. Once a second its report and its end are asked for; a memory load that was killed
there, and that nobody stopped, was ended by the guest's own out-of-memory killer.

Where guests are emulated, what an iteration costs is followed (`work_rate`), so that a duty costs
what it says. Under KVM it is not: there a pCPU that is slower, or whose sibling is busy, does less
in a second, and that is for the run to show.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, Protocol

from virtlab.hosts.real.agent import ask_status, read_file, start_program, write_file
from virtlab.hosts.real.link import HostLink
from virtlab.hosts.real.work_rate import WorkRate
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.units import KIB_PER_MIB, NS_PER_MS, NS_PER_S
from virtlab.model.workload import CpuWorkload, Duty, MemoryGrowth, Workload

__all__ = ["PROGRAM", "AgentLoads", "GuestEnd", "Loads", "OnLoadEvent", "loops_are_held"]

PROGRAM: Final = "/bin/workload"
_REPORTS: Final = "/run/workload"
_SIGKILL: Final = 9
_LOOKS_A_REPORT: Final = 2  # once a rate is told, as each look costs the guest time
_RATE_STEP: Final = 0.005  # a rate that is nearer to the old one is not told

# The kind of the event, the guest, and what happened, in words.
OnLoadEvent = Callable[[str, str, str], None]


class Loads(Protocol):
    """What runs in the guests, from the scenario's point of view."""

    def start(self, guest: str, workload: Workload, vcpus: Iterable[int]) -> None:
        """Start a load; on a vCPU it replaces the one that ran there."""

    def stop(self, guest: str, kind: Literal["cpu", "memory", "all"]) -> None:
        """End a guest's loads of one kind."""

    def look(self) -> None:
        """Ask for what the loads achieved; it comes in later."""

    def ran(self, guest: str, time_ns: int, run_ns: Sequence[int]) -> None:
        """Take how long the threads of a guest's vCPUs had run at a moment."""

    def held_kib(self, guest: str) -> int:
        """Return the memory that a guest's loads hold, as far as is known."""

    def loaded(self, guest: str, vcpu: int) -> bool:
        """Tell whether a CPU load runs on a vCPU."""

    def problems(self) -> list[str]:
        """Return which loads could not be started or stopped, in words."""


@dataclass(slots=True)
class GuestEnd:
    """How a guest is reached: its handle and the link to libvirtd that is its own."""

    dom: DomainHandle
    link: HostLink


@dataclass(slots=True)
class _Process:
    """One process of a load."""

    guest: str
    kind: Literal["cpu", "memory"]
    vcpu: int  # of a CPU load
    report: str  # its file in the guest
    pid: int | None = None  # None until the agent has told
    stopped: bool = False  # by the scenario
    over: bool = False
    held_kib: int = 0
    full: bool = False  # a memory load that has its size
    given_rate: float = 0.0  # of a CPU load: iterations a second that it began with
    told_rate: float = 0.0  # the one that it was told last
    rate: WorkRate | None = None  # of a loop that is followed


class AgentLoads:
    """Loads in micro-guests."""

    def __init__(
        self,
        ends: Mapping[str, GuestEnd],
        iterations_per_s: float,
        on_event: OnLoadEvent,
        *,
        follow: bool,
    ) -> None:
        """Take where the loads run.

        Args:
            ends: how guests are reached.
            iterations_per_s: what a whole pCPU does in a second.
            on_event: told what happens.
            follow: hold loops to their duty, as what an iteration costs changes.
        """
        self._ends = ends
        self._rate = iterations_per_s
        self._on_event = on_event
        self._follow = follow
        self._rates: dict[tuple[str, int], float] = {}  # by guest and vCPU, as it was told last
        self._looks = 0
        self._processes: list[_Process] = []
        self._problems: list[str] = []

    def start(self, guest: str, workload: Workload, vcpus: Iterable[int]) -> None:
        """Start a load; on a vCPU it replaces the one that ran there."""
        if isinstance(workload, MemoryGrowth):
            report = f"{_REPORTS}/memory.{len(self._processes)}"
            self._run(_Process(guest, "memory", -1, report), growth_words(workload))
            return
        assert isinstance(workload, CpuWorkload), "a trace was refused before the run"
        for vcpu in vcpus:
            for process in self._alive(guest, "cpu"):
                if process.vcpu == vcpu:
                    self._stop(process)
            process = _Process(guest, "cpu", vcpu, f"{_REPORTS}/main.{vcpu}")
            followed = self._follow and isinstance(workload, Duty) and workload.duty < 1
            rate = self._rates.get((guest, vcpu), self._rate) if followed else self._rate
            process.given_rate = process.told_rate = rate
            process.rate = WorkRate(rate) if followed else None
            self._run(process, cpu_words(workload, vcpu, rate))

    def stop(self, guest: str, kind: Literal["cpu", "memory", "all"]) -> None:
        """End a guest's loads of one kind."""
        for process in self._alive(guest, kind):
            self._stop(process)

    def look(self) -> None:
        """Ask for what the loads achieved; it comes in later."""
        self._looks += 1
        for process in self._processes:
            if process.over or process.pid is None:
                continue
            end = self._ends[process.guest]
            if process.kind == "memory":
                read_file(end.link, end.dom, process.report, partial(self._reported, process))
            elif process.rate is not None and (
                process.told_rate == process.given_rate or self._looks % _LOOKS_A_REPORT == 0
            ):
                read_file(end.link, end.dom, process.report, partial(self._worked, process))
            ask_status(end.link, end.dom, process.pid, partial(self._seen, process))

    def ran(self, guest: str, time_ns: int, run_ns: Sequence[int]) -> None:
        """Take how long the threads of a guest's vCPUs had run at a moment."""
        for process in self._alive(guest, "cpu"):
            if process.rate is not None:
                process.rate.ran(time_ns, run_ns[process.vcpu])

    def held_kib(self, guest: str) -> int:
        """Return the memory that a guest's loads hold, as far as is known."""
        return sum(process.held_kib for process in self._alive(guest, "memory"))

    def loaded(self, guest: str, vcpu: int) -> bool:
        """Tell whether a CPU load runs on a vCPU."""
        return any(process.vcpu == vcpu for process in self._alive(guest, "cpu"))

    def problems(self) -> list[str]:
        """Return which loads could not be started or stopped, in words."""
        waiting = [
            f"a load of {process.guest} was never seen to start"
            for process in self._processes
            if process.pid is None and not process.over
        ]
        return [*self._problems, *waiting]

    def _alive(self, guest: str, kind: Literal["cpu", "memory", "all"]) -> Iterator[_Process]:
        return (
            process
            for process in self._processes
            if process.guest == guest
            and kind in (process.kind, "all")
            and not process.over
            and not process.stopped
        )

    def _run(self, process: _Process, words: list[str]) -> None:
        self._processes.append(process)
        end = self._ends[process.guest]
        line = [*words, "--report", process.report]
        start_program(end.link, end.dom, PROGRAM, line, partial(self._started, process))

    def _started(self, process: _Process, pid: int | None) -> None:
        if pid is None:
            process.over = True
            self._problems.append(f"the agent of {process.guest} did not start a load")
            return
        process.pid = pid
        self._on_event("load_start", process.guest, _named(process))
        if process.stopped:
            self._kill(process)

    def _stop(self, process: _Process) -> None:
        process.stopped = True
        if process.pid is not None:
            self._kill(process)

    def _kill(self, process: _Process) -> None:
        end = self._ends[process.guest]

        def done(pid: int | None) -> None:
            if pid is None:
                self._problems.append(f"the agent of {process.guest} did not stop a load")
            else:
                self._on_event("load_end", process.guest, f"{_named(process)} stopped")

        start_program(end.link, end.dom, "/bin/kill", [str(process.pid)], done)

    def _reported(self, process: _Process, text: str | None) -> None:
        if process.over or not text:
            return
        found = json.loads(text)
        process.held_kib = round(found.get("held_mib", 0) * KIB_PER_MIB)
        if found["state"] == "holding" and not process.full:
            process.full = True
            self._on_event("load_done", process.guest, "memory load reached its size")

    def _worked(self, process: _Process, text: str | None) -> None:
        """Hold a loop to its duty."""
        if process.over or process.stopped or process.rate is None or not text:
            return
        found = json.loads(text)
        if found["state"] != "running":
            return  # the last words of the load that was here before
        if any(self._alive(process.guest, "memory")):
            process.rate = WorkRate(process.given_rate)  # what that costs is no part of the loop
            return
        process.rate.reported(found["elapsed_s"], found["work_s"] * process.given_rate)
        rate = process.rate.now()
        if rate is not None and abs(rate / process.told_rate - 1) > _RATE_STEP:
            process.told_rate = self._rates[process.guest, process.vcpu] = rate
            end = self._ends[process.guest]
            write_file(end.link, end.dom, f"{process.report}.rate", f"{rate:.0f}\n")

    def _seen(self, process: _Process, state: Any) -> None:
        if process.over or state is None or not state["exited"]:
            return
        process.over = True
        if process.stopped:
            return
        if state.get("signal") == _SIGKILL:
            self._on_event("oom_kill", process.guest, f"{_named(process)} was killed")
        elif state.get("exitcode") == 0:
            did = "did its work" if process.kind == "cpu" else "freed all"
            kind = "load_done" if process.kind == "cpu" else "load_end"
            self._on_event(kind, process.guest, f"{_named(process)} {did}")
        else:
            self._problems.append(f"{_named(process)} of {process.guest} failed")


def loops_are_held(accelerator: str) -> bool:
    """Tell whether loops are held to their duty in guests on an accelerator."""
    return accelerator != "kvm"


def cpu_words(workload: CpuWorkload, vcpu: int, rate: float) -> list[str]:
    """Return the workload program's arguments for a CPU load; `rate` is iterations a second."""
    if isinstance(workload, Duty):
        period_ms = workload.period_ns / NS_PER_MS
        words = ["duty", "--duty", f"{workload.duty:g}", "--period-ms", f"{period_ms:g}"]
    else:
        words = ["batch", "--work-s", f"{workload.work_ns / NS_PER_S:g}"]
    return [*words, "--rate", f"{rate:.0f}", "--vcpu", str(vcpu)]


def growth_words(workload: MemoryGrowth) -> list[str]:
    """Return the workload program's arguments for a memory load."""
    words = ["memory", "--mib-s", f"{workload.rate_kib_s / KIB_PER_MIB:g}"]
    if workload.until_kib is not None:
        words += ["--until-mib", str(workload.until_kib // KIB_PER_MIB)]
    words += ["--hold-s", f"{workload.hold_ns / NS_PER_S:g}"]
    return words if workload.then_release else [*words, "--keep"]


def _named(process: _Process) -> str:
    return "memory load" if process.kind == "memory" else f"load on vCPU {process.vcpu}"
