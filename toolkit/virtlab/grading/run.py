"""One scenario, one program, one seed: the loop that ties host, clock and process together.

Everything runs in one thread over one selector. Virtual time moves only in the run's clock, which
takes the recorder (and with it the simulated host) along before the program can see the instant.
Which of two clocks that is depends on the program (`timing`).
The loop ends when the program has ended; the host then goes on alone to the scenario's end, so that
a program which left early is judged on what it left behind.
"""

from __future__ import annotations

import selectors
import shutil
import signal
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from virtlab.errors import EnvironmentLackError
from virtlab.grading.ending import EndLadder
from virtlab.grading.outcomes import Ended, describe_outcome
from virtlab.grading.paced_clock import PacedRunClock
from virtlab.grading.timing import REAL_PACE, Lockstep, OutOfReachError, Paced, Pacing, Timing
from virtlab.grading.watchdog import Stall, Watchdog, WatchdogLimits
from virtlab.hosts.clock import FILE_COST_NS
from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.files import (
    node_files,
    proc_files,
    qemu_command_line,
    sys_links,
    sys_texts,
)
from virtlab.hosts.simulated.recorder import Recorder
from virtlab.hosts.simulated.server import LibvirtServer
from virtlab.libvirt_rpc import Call
from virtlab.model.scenario import Scenario
from virtlab.model.timeline import ProgramOutcome, Timeline
from virtlab.simulator.host import SimulatedHost
from virtlab.subjects.build import INSIDE, BuildResult
from virtlab.subjects.clock_library import clock_library, preload_environment
from virtlab.subjects.clock_reach import why_start_is_out_of_reach
from virtlab.subjects.clock_server import ClockServer
from virtlab.subjects.host_view import HostView
from virtlab.subjects.launch import Process, ProcessExit, launch
from virtlab.subjects.room import LOOK_EVERY_S, Room
from virtlab.subjects.sandbox import Folder, Limits, Plan, Sandbox
from virtlab.subjects.stand_ins import StandIn, StandIns
from virtlab.subjects.trees import copy_tree
from virtlab.subjects.work_directory import work_directory

__all__ = ["RunRecord", "Runner", "record_without_run", "run_program"]

# Where a program in bubblewrap sees what the lab gives it.
_CLOCK_INSIDE = "/run/virtlab"
_LIBRARY = "libvirtlab-clock.so"
_STAND_INS = "stand-ins.sock"
_SPARE_PROCESSES = 64


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What one run left behind."""

    timeline: Timeline
    stdout: bytes
    stderr: bytes
    layers: tuple[str, ...]  # of the sandbox
    real_s: float
    outside_percent: float | None = None  # what others used of a real host's pCPUs, on average


class Runner(Protocol):
    """Runs a built program on some host, as `run_program` does on the simulated one."""

    def __call__(
        self,
        scenario: Scenario,
        program: BuildResult,
        program_root: Path,
        sandbox: Sandbox,
        *,
        seed: int,
        watchdog: WatchdogLimits | None = None,
        pacing: Pacing = REAL_PACE,
    ) -> RunRecord:
        """Run a program; whatever it does, return a record."""


def run_program(
    scenario: Scenario,
    program: BuildResult,
    program_root: Path,
    sandbox: Sandbox,
    *,
    seed: int,
    watchdog: WatchdogLimits | None = None,
    pacing: Pacing = REAL_PACE,
) -> RunRecord:
    """Run a built program on a scenario's simulated host; whatever it does, return a record.

    Args:
        scenario: the host, its guests and what happens to them.
        program: what `subjects.build` made.
        program_root: our own copy of the submission, in which the program lies.
        sandbox: the layers to run it in.
        seed: of the run.
        watchdog: what the program may use between two signs of life.
        pacing: of a run on the paced clock, for a program that lockstep does not reach.

    Raises:
        EnvironmentLackError: the scenario asks for what the sandbox does not have here.
    """
    if scenario.host.qemu_processes and sandbox.weaker:
        raise EnvironmentLackError(
            f"{scenario.id}: its host has processes for its guests (host.qemu_processes), which "
            "takes a sandbox with processes of its own",
            fix="install bubblewrap, and let it make namespaces",
        )

    def ran(out_of_reach: str | None) -> RunRecord:
        with work_directory(sockets=True) as folder:  # the program runs as another user
            run = _Run(
                scenario,
                program,
                program_root,
                sandbox,
                seed,
                folder,
                watchdog or WatchdogLimits(),
                pacing,
                out_of_reach,
            )
            try:
                return run.result()
            finally:
                run.close()

    try:
        return ran(program.out_of_reach)
    except OutOfReachError as found:
        return ran(str(found))


def record_without_run(scenario: Scenario, seed: int, outcome: ProgramOutcome) -> RunRecord:
    """Return the record of a program that never started: the host goes through it alone."""
    recorder = Recorder(SimulatedHost(scenario, seed=seed), scenario, seed=seed)
    recorder.advance(scenario.duration_ns)
    return RunRecord(recorder.timeline(outcome), b"", b"", (), 0.0)


class _Run:
    """The parties of one run, and the loop over them."""

    def __init__(
        self,
        scenario: Scenario,
        program: BuildResult,
        program_root: Path,
        sandbox: Sandbox,
        seed: int,
        folder: Path,
        limits: WatchdogLimits,
        pacing: Pacing,
        out_of_reach: str | None,
    ) -> None:
        self._began_s = time.monotonic()
        self._scenario = scenario
        self._sandbox = sandbox
        self._calls = 0
        self._lives_seen = 0  # how much had changed when the stand-ins followed last
        self._stall: Stall | None = None
        self._out_of_reach: str | None = None  # why lockstep turned out not to do
        self._folder = folder
        for name in ("libvirt", "clock"):
            (folder / name).mkdir()
            (folder / name).chmod(0o755)
        self._room = Room(folder / "program")
        with ExitStack() as held:  # whatever fails on the way frees what was opened
            self._selector = held.enter_context(selectors.DefaultSelector())
            self._host = SimulatedHost(scenario, seed=seed)
            self._recorder = Recorder(self._host, scenario, seed=seed)
            self._timing = self._start_clock(limits, pacing, out_of_reach)
            self._clock = held.enter_context(closing(self._timing.clock))
            self._watchdog = Watchdog(self._timing.limits)
            self._host.on_clock_step = self._clock.step_realtime
            self._recorder.advance(0)  # the loads of time 0 start with the program
            self._clock.set_end(scenario.duration_ns)
            self._server = held.enter_context(closing(self._start_server()))
            self._view = held.enter_context(closing(self._make_view()))
            self._stand_ins: StandIns | None = None
            if scenario.host.qemu_processes:
                self._stand_ins = held.enter_context(closing(self._make_stand_ins()))
            self._ladder = EndLadder(self._signal, self._clock.allow_until)
            self._process = held.enter_context(
                closing(self._launch(program, program_root, sandbox))
            )
            self._held = held.pop_all()

    def _start_server(self) -> LibvirtServer:
        return LibvirtServer(
            self._selector,
            self._folder / "libvirt",
            SimulatedDriver(self._host, self._recorder),
            self._clock,
            on_call=self._on_call,
            admit=self._timing.admit,
        )

    def _make_view(self) -> HostView:
        return HostView(
            self._selector,
            {**proc_files(self._host), **node_files(self._host)},
            sys_texts(self._scenario.host),
            sys_links(self._scenario.host),
            on_look=lambda: self._clock.charge(FILE_COST_NS),
        )

    def _make_stand_ins(self) -> StandIns:
        return StandIns(
            self._selector,
            self._folder / "clock" / _STAND_INS,
            self._folder / "libvirt" / "qemu",
            self._wanted_processes,
        )

    def _most_processes(self) -> int:
        """Return how many threads QEMU has at most, with room for some guests of the program's."""
        guests = self._host.declared.values()
        return sum(guest.spec.vcpus + 1 for guest in guests) + _SPARE_PROCESSES

    def _wanted_processes(self) -> dict[int, StandIn]:
        return {
            guest.id: StandIn(guest.name, len(guest.vcpus), qemu_command_line(guest))
            for guest in self._host.guests.values()
            if guest.id >= 0
        }

    def _start_clock(
        self, limits: WatchdogLimits, pacing: Pacing, out_of_reach: str | None
    ) -> Timing:
        if out_of_reach is not None:
            paced = PacedRunClock(pacing.pace, self._advance, self._on_end)
            return Paced(paced, pacing, out_of_reach, limits)
        lockstep = ClockServer(
            self._selector,
            self._folder / "clock",
            self._advance,
            busy_sockets=lambda: self._server.sockets(),
            on_end=self._on_end,
            next_word=lambda: self._server.next_word_ns,
            hang_ups=lambda: self._server.hang_ups,
            on_leave=self._on_leave,
        )
        return Lockstep(lockstep, limits, self._leave_lockstep)

    def _launch(self, program: BuildResult, program_root: Path, sandbox: Sandbox) -> Process:
        libvirt, clock = self._folder / "libvirt", self._folder / "clock"
        # The program may write files where it stands, such as a log, without another run seeing.
        root = self._room.folder
        copy_tree(program_root, root)
        sandbox.hand_over(root)
        # The cache may lie in a home folder, where the program's user cannot go.
        shutil.copyfile(clock_library(), clock / _LIBRARY)
        seen = clock if sandbox.weaker else Path(_CLOCK_INSIDE)
        # In bubblewrap the program's own /run/libvirt is the simulated host; without it the
        # preloaded library sends the program's connection there.
        environment = preload_environment(
            seen / _LIBRARY,
            libvirt_dir=libvirt if sandbox.weaker else None,
            **self._timing.files(seen),
        )
        folders = (
            Folder(root, INSIDE, writable=True),
            Folder(libvirt, "/run/libvirt"),
            Folder(clock, _CLOCK_INSIDE),
            *self._view.folders(),
        )
        argv = (*program.argv, str(self._scenario.interval_s))
        limits = Limits(address_space=not program.sanitised())
        if self._stand_ins is not None:
            argv = self._stand_ins.command(argv)
            environment |= self._stand_ins.environment(seen / _STAND_INS)
            limits = self._stand_ins.limits(limits, self._most_processes())
        plan = Plan(
            argv=argv,
            cwd=root / program.source.folder.relative_to(program_root),
            folders=folders,
            env={
                **environment,
                # A program that names no URI means the system's host, as root on a real one gets.
                "LIBVIRT_DEFAULT_URI": "qemu:///system",
                "VIRTLAB_PCPUS": str(self._scenario.host.pcpus),
                "VIRTLAB_HOST_FILES": str(self._view.root) if sandbox.weaker else "/",
            },
            limits=limits,
        )
        return launch(plan, sandbox, self._selector)

    def result(self) -> RunRecord:
        """Serve the program to its end, let the host go on to the scenario's, and describe both."""
        self._serve()
        self._room.look(())
        ended_ns = self._clock.now_ns
        if ended_ns < self._scenario.duration_ns:
            self._recorder.advance(self._scenario.duration_ns)
        timeline = self._recorder.timeline(
            ProgramOutcome("ok", "completed", "", ended_ns),
            clock=self._timing.kind,
            pace=self._timing.pace,
        )
        outcome = describe_outcome(
            Ended(
                at_ns=min(ended_ns, self._scenario.duration_ns),
                before_end=not self._ladder.begun,
                exit=self._process.exit or ProcessExit(None, None),
                stall=self._stall.what if self._stall else None,
                flooded=self._process.flooded,
                excess=self._room.excess,
                clock_notes=self._timing.notes,
                host_hidden=self._sandbox.weaker and self._timing.kind == "paced",
                ending_notes=self._ladder.notes(),
                stderr=self._process.stderr.text(),
            ),
            timeline,
        )
        return RunRecord(
            replace(timeline, outcome=outcome),
            self._process.stdout.text().encode(),
            self._process.stderr.text().encode(),
            self._sandbox.layers(),
            time.monotonic() - self._began_s,
        )

    def close(self) -> None:
        """End the program if it still runs, and free everything."""
        self._held.close()

    def _advance(self, until_ns: int) -> None:
        self._recorder.advance(until_ns)
        self._show_host()

    def _show_host(self) -> None:
        """Have what the program sees beside libvirt follow the host."""
        if self._view.files.held:
            self._view.files.refresh()
        if self._stand_ins is not None and self._lives_seen != self._host.changes:
            self._lives_seen = self._host.changes
            self._stand_ins.follow()

    def _serve(self) -> None:
        next_look_s = 0.0
        while self._process.exit is None:
            pause_s = self._clock.turn()
            wait_s = LOOK_EVERY_S if pause_s is None else min(pause_s, LOOK_EVERY_S)
            for key, mask in self._selector.select(wait_s):
                key.data(mask)
            if self._out_of_reach is not None:
                raise OutOfReachError(self._out_of_reach)
            now_s = time.monotonic()
            if now_s >= next_look_s:
                next_look_s = now_s + LOOK_EVERY_S
                self._look(now_s)

    def _look(self, now_s: float) -> None:
        stall = self._watchdog.look(
            sign_of_life=self._calls + self._clock.waits,
            real_s=now_s,
            cpu_s=self._process.cpu_seconds(),
            lab_cpu_s=time.process_time(),
        )
        self._timing.look(self._scenario.id, self._scenario.duration_ns)
        if self._process.flooded or self._room.look(self._process.pids()):
            self._process.kill_all()
        elif stall is not None and self._ladder.begun:
            self._on_end()  # it does not come to its flag: the next, harder signal
            self._watchdog = Watchdog(self._timing.ending_limits)
        elif stall is not None:
            self._stall = stall
            self._process.kill_all()

    def _on_end(self) -> None:
        if not self._ladder.begun:
            self._watchdog = Watchdog(self._timing.ending_limits)
        self._ladder.step(self._clock.now_ns, self._timing.grace_ns(self._scenario.interval_s))

    def _signal(self, number: signal.Signals) -> None:
        if number == signal.SIGKILL:
            self._process.kill_all()
            return
        for pid in self._timing.targets(self._process):
            self._process.send_signal(number, pid)

    def _on_leave(self, path: str, reach: int) -> None:
        self._leave_lockstep(why_start_is_out_of_reach(path, reach))

    def _leave_lockstep(self, reason: str) -> None:
        # What a program leaves behind when it is told to stop does not make the run a wrong one.
        if not self._ladder.begun:
            self._out_of_reach = reason

    def _on_call(self, call: Call, error: str | None, time_ns: int) -> None:
        self._calls += 1
        self._recorder.call(call, error, time_ns)
        self._show_host()  # what a call did shows before its answer is read
