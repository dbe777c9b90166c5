"""One scenario and one program on a real host, in real time.

As on the simulated host everything runs in one thread over one selector: the program's calls pass
the guard on their way to libvirtd, the recorder watches the host by connections of its own, and
time is the machine's. The loop goes on to the scenario's end also where the program has left
before, as then it is judged on what it left behind.
"""

from __future__ import annotations

import selectors
import signal
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from virtlab.grading.ending import EndLadder
from virtlab.grading.interrupts import check_interrupt
from virtlab.grading.outcomes import Ended, describe_outcome
from virtlab.grading.paced_clock import PacedRunClock
from virtlab.grading.run import RunRecord
from virtlab.grading.timing import GRACE_INTERVALS, OnPace
from virtlab.grading.watchdog import Stall, Watchdog, WatchdogLimits
from virtlab.hosts.real.proxy import GuardedHost
from virtlab.hosts.real.recorder import MakeLoads, Patience, RealRecorder
from virtlab.libvirt_rpc.call import Call
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.scenario import Scenario
from virtlab.model.timeline import ProgramOutcome
from virtlab.model.units import NS_PER_S
from virtlab.subjects.build import INSIDE, BuildResult
from virtlab.subjects.launch import Process, ProcessExit, launch
from virtlab.subjects.processes import cpu_seconds
from virtlab.subjects.room import Room
from virtlab.subjects.sandbox import Folder, Limits, Plan, Sandbox
from virtlab.subjects.trees import copy_tree

__all__ = ["HostInUse", "run_on_host"]

_LOOK_EVERY_S: Final = 0.25
_LAST_SAMPLE_NS: Final = 2 * NS_PER_S  # for which the end waits at most
_PEER: Final = struct.Struct("3i")  # of SO_PEERCRED: process, user, group


@dataclass(frozen=True, slots=True)
class HostInUse:
    """A real host whose guests are up."""

    socket: Path  # libvirtd's
    what: str  # in words, such as "an emulated host"
    pcpus: int
    guests: Mapping[str, DomainHandle]
    make_loads: MakeLoads
    outside_points_max: float  # what others may use of the pCPUs
    patience: Patience
    on_pace: OnPace


def run_on_host(
    scenario: Scenario,
    program: BuildResult,
    program_root: Path,
    sandbox: Sandbox,
    host: HostInUse,
    folder: Path,
    *,
    seed: int,
    limits: WatchdogLimits,
) -> RunRecord:
    """Run a built program; whatever it does, and the host, return a record.

    Args:
        scenario: what is played.
        program: what `subjects.build` made.
        program_root: our own copy of the submission, in which the program lies.
        sandbox: the layers to run it in; bubblewrap is among them.
        host: where.
        folder: an empty one that the program's user can enter.
        seed: as which the run is recorded.
        limits: what the program may use between two libvirt calls.
    """
    run = _RealRun(scenario, program, program_root, sandbox, host, folder, seed, limits)
    try:
        return run.result()
    finally:
        run.close()


class _RealRun:
    """The parties of one run, and the loop over them."""

    def __init__(
        self,
        scenario: Scenario,
        program: BuildResult,
        program_root: Path,
        sandbox: Sandbox,
        host: HostInUse,
        folder: Path,
        seed: int,
        limits: WatchdogLimits,
    ) -> None:
        self._began_s = time.monotonic()
        self._scenario = scenario
        self._sandbox = sandbox
        self._host = host
        self._stall: Stall | None = None
        self._process: Process | None = None
        self._selector = selectors.DefaultSelector()
        self._watchdog = Watchdog(limits.in_real_time())
        self._room = Room(folder / "program")
        self._calls_folder = folder / "libvirt"
        self._calls_folder.mkdir()
        self._calls_folder.chmod(0o755)
        self._libvirtd = _peer_of(host.socket)
        self._recorder = RealRecorder(
            self._selector,
            host.socket,
            scenario,
            host.guests,
            host.pcpus,
            host.make_loads,
            self._own_ns,
            seed=seed,
            patience=host.patience,
        )
        mine = {dom.uuid for dom in host.guests.values()}
        self._proxy = GuardedHost(
            self._selector, self._calls_folder, host.socket.parent, lambda: mine, self._on_call
        )
        self._clock = PacedRunClock(1.0, self._recorder.advance, self._on_end)
        self._clock.set_end(scenario.duration_ns)
        self._ladder = EndLadder(self._signal, self._clock.allow_until)
        self._recorder.advance(0)  # the loads of time 0 start with the program
        try:
            self._process = self._launch(program, program_root)
        except BaseException:
            self.close()
            raise

    def result(self) -> RunRecord:
        """Serve the program to its end, and the host to the scenario's; describe both."""
        process = self._process
        assert process is not None
        self._serve(lambda: process.exit is not None or self._recorder.failed is not None)
        ended_ns = min(self._clock.now_ns, self._scenario.duration_ns)
        process.close()
        self._room.look(())
        until_ns = self._scenario.duration_ns + _LAST_SAMPLE_NS
        self._serve(
            lambda: (
                self._recorder.complete
                or self._recorder.failed is not None
                or self._clock.now_ns > until_ns
            )
        )
        timeline = self._recorder.timeline(ProgramOutcome("ok", "completed", "", ended_ns))
        outcome = describe_outcome(
            Ended(
                at_ns=ended_ns,
                before_end=not self._ladder.begun,
                exit=process.exit or ProcessExit(None, None),
                stall=self._stall.what if self._stall else None,
                flooded=process.flooded,
                excess=self._room.excess,
                clock_notes=(
                    f"It ran on {self._host.what}, in real time; such runs are not the same each "
                    "time.",
                    self._recorder.outside(),
                ),
                host_hidden=False,
                ending_notes=self._ladder.notes(),
                stderr=process.stderr.text(),
            ),
            timeline,
        )
        return RunRecord(
            replace(timeline, outcome=self._unless_disturbed(outcome)),
            process.stdout.text().encode(),
            process.stderr.text().encode(),
            self._sandbox.layers(),
            time.monotonic() - self._began_s,
            self._recorder.outside_percent(),
        )

    def close(self) -> None:
        """End the program if it still runs, and free everything."""
        if self._process is not None:
            self._process.close()
        self._proxy.close()
        self._recorder.close()
        self._clock.close()
        self._selector.close()

    def _unless_disturbed(self, outcome: ProgramOutcome) -> ProgramOutcome:
        """Return an outcome, or that the run says nothing about the program."""
        if self._recorder.failed is not None:
            found = [self._recorder.failed]
        else:
            by_load = self._recorder.disturbance(self._host.outside_points_max)
            found = self._recorder.spoil() + ([] if by_load is None else [by_load])
        if not found:
            return outcome
        reason = f"The run was disturbed: {'; '.join(found)}."
        return replace(outcome, status="lab_fault", kind="disturbed", reason=reason)

    def _launch(self, program: BuildResult, program_root: Path) -> Process:
        root = self._room.folder
        copy_tree(program_root, root)
        self._sandbox.hand_over(root)
        plan = Plan(
            argv=(*program.argv, str(self._scenario.interval_s)),
            cwd=root / program.source.folder.relative_to(program_root),
            folders=(
                Folder(root, INSIDE, writable=True),
                Folder(self._calls_folder, "/run/libvirt"),
            ),
            # A program that names no URI means the system's host, as root gets.
            env={"LIBVIRT_DEFAULT_URI": "qemu:///system"},
            limits=Limits(address_space=not program.sanitised()),
        )
        return launch(plan, self._sandbox, self._selector)

    def _serve(self, over: Callable[[], bool]) -> None:
        next_look_s = 0.0
        while not over():
            wait_s = min(self._clock.turn(), self._recorder.patience_s)
            for key, mask in self._selector.select(wait_s):
                key.data(mask)
            now_s = time.monotonic()
            if now_s >= next_look_s:
                next_look_s = now_s + _LOOK_EVERY_S
                self._look(now_s)

    def _look(self, now_s: float) -> None:
        check_interrupt()
        duration_s = self._scenario.duration_ns // NS_PER_S
        at_s = min(self._clock.now_ns // NS_PER_S, duration_s)
        self._host.on_pace(self._scenario.id, at_s, duration_s)
        process = self._process
        assert process is not None
        if process.exit is not None:
            return
        stall = self._watchdog.look(
            sign_of_life=self._recorder.calls_total, real_s=now_s, cpu_s=process.cpu_seconds()
        )
        if process.flooded or self._room.look(process.pids()):
            process.kill_all()
        elif stall is not None and not self._ladder.begun:
            self._stall = stall
            process.kill_all()

    def _on_end(self) -> None:
        if self._process is not None and self._process.exit is None:
            self._ladder.step(
                self._clock.now_ns, GRACE_INTERVALS * self._scenario.interval_s * NS_PER_S
            )

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        if number == signal.SIGKILL:
            self._process.kill_all()
            return
        for pid in sorted(self._process.program_pids()):
            self._process.send_signal(number, pid)

    def _on_call(self, call: Call, error: str | None) -> None:
        self._clock.charge(0)  # to the present, as which the call is noted
        self._recorder.call(call, error)

    def _own_ns(self) -> int:
        """Return the CPU time of the program, of the lab and of libvirtd."""
        program_s = 0.0 if self._process is None else self._process.cpu_seconds()
        return time.process_time_ns() + round((program_s + cpu_seconds(self._libvirtd)) * NS_PER_S)


def _peer_of(path: Path) -> frozenset[int]:
    """Return the process that listens on a socket of this machine."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.connect(str(path))
        found = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return frozenset({_PEER.unpack(found)[0]})
