"""Start a program in the sandbox and watch it, without ever waiting.

The program is born held: a shell waits for a line, so that limits and control groups are in place
before anything of the program runs, and then becomes bubblewrap or the program itself. Its output
and its end come as events of the caller's selector.

Ending: the caller sends SIGINT and SIGTERM to the program's own number; `kill_all` ends whatever
is left with SIGKILL. In bubblewrap that reaches every process; without it a process that made
itself a session of its own is found only where there are control groups.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from selectors import EVENT_READ, BaseSelector, DefaultSelector
from time import monotonic

from virtlab.errors import EnvironmentLackError
from virtlab.subjects.capture import Capture
from virtlab.subjects.cgroups import Cgroup
from virtlab.subjects.processes import cpu_seconds, processes_of_user, tree_of
from virtlab.subjects.room import LOOK_EVERY_S, Room
from virtlab.subjects.sandbox import ENVIRONMENT, Limits, Plan, Sandbox

__all__ = ["Process", "ProcessExit", "launch", "run_to_end"]

_READ_BYTES = 65_536
_SHELL_SIGNAL_BASE = 128  # a shell's and bubblewrap's exit code for a program ended by signal n
_CLOSING_TRIES = 1_000
_COMPLAINT = 1  # bubblewrap's exit code for all that it could not do
_EXEC_REFUSED = "bwrap: execvp "


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """How a program came to its end; exactly one of `code` and `signal` is set."""

    code: int | None
    signal: str | None  # such as "SIGSEGV"
    out_of_memory: bool = False  # the kernel ended it as it reached the memory bound
    sandbox_failed: bool = False  # bubblewrap never came to start the program
    not_executed: bool = False  # the program's file could not be executed

    def __str__(self) -> str:
        if self.out_of_memory:
            return "ended by the kernel at its memory bound"
        return f"ended by {self.signal}" if self.signal else f"exit code {self.code}"


class Process:
    """A program that runs; made by `launch`."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        selector: BaseSelector,
        sandbox: Sandbox,
        limits: Limits,
        cgroup: Cgroup | None,
        on_exit: Callable[[], None] | None,
        status: int | None,
    ) -> None:
        self.exit: ProcessExit | None = None
        self.flooded = False
        self.stdout = Capture(limits.kept_output_bytes)
        self.stderr = Capture(limits.kept_output_bytes)
        self._child = child
        self._selector = selector
        self._sandbox = sandbox
        self._limits = limits
        self._cgroup = cgroup
        self._on_exit = on_exit
        self._status = status  # where bubblewrap tells what became of the program
        self._cpu_s = 0.0
        self._killed = False
        assert child.stdout is not None and child.stderr is not None
        self._streams = {child.stdout.fileno(): self.stdout, child.stderr.fileno(): self.stderr}
        self._pidfd = os.pidfd_open(child.pid)
        for descriptor in self._streams:
            os.set_blocking(descriptor, False)
            selector.register(descriptor, EVENT_READ, self._reader(descriptor))
        selector.register(self._pidfd, EVENT_READ, self._on_pidfd)

    @property
    def pid(self) -> int:
        """Return the number of the process that we started: bubblewrap, or the program."""
        return self._child.pid

    def pids(self) -> frozenset[int]:
        """Return the processes of the run that are alive, bubblewrap's own among them."""
        if self._cgroup is not None:  # complete: a process cannot leave its group
            return self._cgroup.pids()
        return frozenset(tree_of(self.pid)) if self.exit is None else frozenset()

    def program_pid(self) -> int | None:
        """Return the number of the program itself; None before it was started, and at its end.

        In bubblewrap it is the only child of the namespace's first process, which is the only
        child of the one that we started.
        """
        if self.exit is not None:
            return None
        if self._sandbox.bubblewrap is None:
            return self.pid
        pid = self.pid
        for _ in range(2):
            children = sorted(tree_of(pid, depth=1) - {pid})
            if not children:
                return None
            pid = children[0]
        return pid

    def program_pids(self) -> frozenset[int]:
        """Return the program's own processes: itself and what descends from it."""
        pid = self.program_pid()
        return frozenset() if pid is None else frozenset(tree_of(pid))

    def cpu_seconds(self) -> float:
        """Return the processor time that the run has used, in steps of 10 ms; it never falls."""
        if self.exit is None:
            self._cpu_s = max(self._cpu_s, cpu_seconds(self.pids()))
        return self._cpu_s

    def send_signal(self, number: signal.Signals, pid: int | None = None) -> bool:
        """Send a signal to the program; tell whether it was there to get it.

        Args:
            number: the signal.
            pid: the program's number where the caller knows it, from the clock server.
        """
        if self.exit is not None:
            return False
        target = self.program_pid() if pid is None else pid
        # A number of before may belong to a stranger by now; only our own are signalled.
        if target is None or target not in self.pids():
            return False
        try:
            os.kill(target, number)
        except ProcessLookupError:
            return False
        return True

    def kill_all(self) -> None:
        """End every process of the run at once; the exit comes as an event."""
        self._killed = True
        for pid in sorted(self.pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.exit is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """End what still runs, wait for it and give everything back; may be called again."""
        self.kill_all()
        if self.exit is None:
            self._finish()

    def _reader(self, descriptor: int) -> Callable[[int], None]:
        def read(_mask: int) -> None:
            self._read(descriptor)

        return read

    def _read(self, descriptor: int) -> bool:
        """Take one piece of output; tell whether there may be more right now."""
        if descriptor not in self._streams:  # closed by an event just before, of the same look
            return False
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._selector.unregister(descriptor)
            del self._streams[descriptor]
            return False
        self._streams[descriptor].add(data)
        if self.stdout.total + self.stderr.total > self._limits.output_bytes and not self.flooded:
            self.flooded = True
            self.kill_all()
        return True

    def _on_pidfd(self, _mask: int) -> None:
        if self.exit is None:
            self._finish()

    def _finish(self) -> None:
        """Take the exit status, what output is left, and the group away."""
        status = self._wait()
        if self._cgroup is not None or self._sandbox.weaker:
            self._kill_orphans()
        for descriptor in list(self._streams):
            # A stray process could write for ever; what fits into the bound is enough.
            while descriptor in self._streams and self._read(descriptor) and not self.flooded:
                pass
            if descriptor in self._streams:
                self._selector.unregister(descriptor)
        self._streams.clear()
        self._selector.unregister(self._pidfd)
        os.close(self._pidfd)
        assert self._child.stdout is not None and self._child.stderr is not None
        self._child.stdout.close()
        self._child.stderr.close()
        self.exit = self._decode(status, executed=self._was_executed())
        if self._cgroup is not None:
            self._cgroup.remove()
        if self._on_exit is not None:
            self._on_exit()

    def _wait(self) -> int:
        """Return the exit status as `subprocess` counts it, and note the processor time used."""
        _pid, status, usage = os.wait4(self.pid, 0)
        self._cpu_s = max(self._cpu_s, usage.ru_utime + usage.ru_stime)
        self._child.returncode = os.waitstatus_to_exitcode(status)
        return self._child.returncode

    def _kill_orphans(self) -> None:
        """End processes that outlive the program; new ones may be born meanwhile."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for _ in range(_CLOSING_TRIES):
            pids = self._cgroup.pids() if self._cgroup is not None else frozenset()
            if not pids:
                break
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _was_executed(self) -> bool:
        """Tell whether the program began, by bubblewrap's own word, which no program can take."""
        if self._status is None:
            return True
        try:
            told = os.read(self._status, _READ_BYTES)
        except BlockingIOError:
            told = b""
        os.close(self._status)
        return b'"exit-code"' in told

    def _decode(self, status: int, *, executed: bool) -> ProcessExit:
        memory_kills = self._cgroup.memory_kills() if self._cgroup is not None else 0
        number = -status if status < 0 else 0
        if self._sandbox.bubblewrap is not None and status > _SHELL_SIGNAL_BASE:
            number = status - _SHELL_SIGNAL_BASE
        try:
            name = signal.Signals(number).name if number else None
        except ValueError:
            name = None  # an exit code above 128 that stands for no signal
        # Where the program never began, the words are bubblewrap's.
        complained = not executed and status == _COMPLAINT
        refused = complained and self.stderr.text().startswith(_EXEC_REFUSED)
        return ProcessExit(
            code=None if name else status,
            signal=name,
            out_of_memory=memory_kills > 0 and name == "SIGKILL" and not self._killed,
            sandbox_failed=complained and not refused,
            not_executed=refused,
        )


def launch(
    plan: Plan,
    sandbox: Sandbox,
    selector: BaseSelector,
    *,
    on_exit: Callable[[], None] | None = None,
) -> Process:
    """Start a program; output and end are taken in by the selector's callbacks.

    Args:
        plan: what to run.
        sandbox: the layers to use, from `find_sandbox`.
        selector: its keys' data are called with the event mask.
        on_exit: called once `Process.exit` is set.

    Raises:
        EnvironmentLackError: the system refuses to start a process.
    """
    limits = plan.limits
    with contextlib.ExitStack() as stack:
        files = {
            path: stack.enter_context(_readable(text))
            for path, text in sandbox.generated_files().items()
        }
        status = writer = None
        if sandbox.bubblewrap is not None:
            status, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            stack.callback(os.close, writer)
        command = sandbox.command(plan, files, status=writer)
        try:
            cgroup = _cgroup_for(sandbox, limits)
            child = subprocess.Popen(
                ["/bin/sh", "-c", _holder(sandbox, limits), "sh", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/" if sandbox.bubblewrap is not None else plan.cwd,
                env=dict(ENVIRONMENT),
                user=sandbox.uid,
                group=sandbox.uid,
                extra_groups=None if sandbox.uid is None else [],
                pass_fds=(*files.values(), *(() if writer is None else (writer,))),
                start_new_session=True,
                bufsize=0,
                umask=0o022,
            )
        except (OSError, subprocess.SubprocessError) as error:
            if status is not None:
                os.close(status)
            raise EnvironmentLackError(f"the program cannot be started: {error}") from error
    process = Process(child, selector, sandbox, limits, cgroup, on_exit, status)
    try:
        if cgroup is not None:
            cgroup.add(child.pid)
    except OSError as error:
        process.close()
        raise EnvironmentLackError(
            f"the program cannot be put into its control group: {error}"
        ) from error
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        child.stdin.write(b"\n")
    child.stdin.close()
    return process


def run_to_end(
    plan: Plan, sandbox: Sandbox, timeout_s: float, room: Room | None = None
) -> tuple[Process, bool]:
    """Run a program, wait for its end and return it, and whether the time was up before.

    For builds; `Process.exit` is set on return. A program that makes too much is ended at once, as
    if its time were up; the room tells.
    """
    deadline = monotonic() + timeout_s
    next_look = monotonic() + LOOK_EVERY_S
    with DefaultSelector() as selector:
        process = launch(plan, sandbox, selector)
        try:
            while process.exit is None and (left := deadline - monotonic()) > 0:
                for key, mask in selector.select(min(left, LOOK_EVERY_S)):
                    key.data(mask)
                if room is None or process.exit is not None or monotonic() < next_look:
                    continue
                if room.look(process.pids()):
                    break
                next_look = monotonic() + LOOK_EVERY_S
            timed_out = process.exit is None
        finally:
            process.close()
    return process, timed_out


def _cgroup_for(sandbox: Sandbox, limits: Limits) -> Cgroup | None:
    if sandbox.cgroups is None:
        return None
    return sandbox.cgroups.create(memory_kib=limits.memory_kib, processes=limits.processes)


def _holder(sandbox: Sandbox, limits: Limits) -> str:
    """Return the shell script that waits, bounds itself and becomes the program.

    The shell bounds itself, as bounding another user's process takes a capability that root in a
    container seldom has.
    """
    steps = [
        "read -r go",
        "ulimit -c 0",
        _at_most("t", limits.cpu_s),
        _at_most("f", limits.file_kib * 2),  # POSIX counts blocks of 512 bytes
        _at_most("n", limits.open_files),
    ]
    bounded = sandbox.cgroups is not None and sandbox.cgroups.bounds_memory
    if not bounded and limits.address_space:
        steps.append(_at_most("v", limits.memory_kib))
    if sandbox.cgroups is None or not sandbox.cgroups.bounds_processes:
        # The kernel counts all processes of the user, so those of others come on top.
        processes = processes_of_user(sandbox.owner) + limits.processes
        # The option is called u in bash and p in dash.
        steps.append(f"{{ ulimit -u {processes} || ulimit -p {processes} || :; }} 2>/dev/null")
    return " && ".join([*steps, 'exec "$@" </dev/null'])


def _at_most(option: str, value: int) -> str:
    """Lower a limit, and leave one alone that is lower already."""
    return f"{{ ulimit -{option} {value} 2>/dev/null || :; }}"


@contextlib.contextmanager
def _readable(text: str) -> Iterator[int]:
    """Offer a short text for reading from a descriptor that a child may inherit."""
    reader, writer = os.pipe()
    try:
        os.write(writer, text.encode())
        os.close(writer)
        yield reader
    finally:
        os.close(reader)
