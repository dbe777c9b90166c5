"""A simulated host served on real sockets by a thread, with a clock that tests move by hand."""

from __future__ import annotations

import queue
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.recorder import Recorder
from virtlab.hosts.simulated.server import LibvirtServer
from virtlab.model.scenario import (
    CriterionSpec,
    Event,
    GuestSpec,
    HostSpec,
    Scenario,
    StartWorkload,
)
from virtlab.model.units import mib, ms, seconds
from virtlab.model.workload import Duty
from virtlab.simulator.host import SimulatedHost


def guest(name: str, **changes: Any) -> GuestSpec:
    values: dict[str, Any] = {
        "name": name,
        "vcpus": 1,
        "memory_kib": mib(512),
        "max_memory_kib": mib(2048),
        "affinity": (None,) * changes.get("vcpus", 1),
        "kernel_kib": mib(42),
        "processes_kib": mib(120),
        "cache_kib": mib(100),
    }
    return GuestSpec(**(values | changes))


def scenario(
    *guests: GuestSpec,
    events: tuple[Event, ...] | None = None,
    duration_s: int = 30,
    **host: Any,
) -> Scenario:
    """Return a host of 4 pCPUs on which each guest is loaded, unless events say otherwise."""
    chosen = guests or (
        guest("aos_vm1"),
        guest("aos_vm2", vcpus=2, affinity=((0, 1), None)),
        guest("aos_vm3", affinity=((3,),)),
        guest("aos_off", running=False),
    )
    if events is None:
        events = tuple(
            StartWorkload(0, one.name, Duty(0.21, ms(0.5))) for one in chosen if one.running
        )
    return Scenario(
        id="lab",
        title="A host to try calls on",
        why="none",
        program="vcpu_scheduler",
        seed=7,
        host=HostSpec(**({"pcpus": 4, "memory_kib": mib(6144), "used_kib": mib(600)} | host)),
        guests=chosen,
        events=events,
        interval_s=1,
        duration_s=duration_s,
        criteria=(CriterionSpec("balanced"),),
    )


class ManualClock:
    """Moves the host by what calls cost, and by what a test asks for."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.now_ns = 0
        self._advance = advance

    def charge(self, ns: int) -> None:
        self.move_to(self.now_ns + ns)

    def move_to(self, until_ns: int) -> None:
        self._advance(until_ns)
        self.now_ns = until_ns


class Lab:
    """The server's parts, and a thread that runs its loop."""

    def __init__(self, directory: Path, described: Scenario, **options: Any) -> None:
        self.directory = directory
        self.host = SimulatedHost(described)
        self.recorder = Recorder(self.host, described)
        self.recorder.advance(0)
        self.clock = ManualClock(self.recorder.advance)
        self.selector = selectors.DefaultSelector()
        self.driver = SimulatedDriver(self.host, self.recorder)
        self.server = LibvirtServer(
            self.selector,
            directory,
            self.driver,
            self.clock,
            on_call=self.recorder.call,
            **options,
        )
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake, woken = socket.socketpair()
        self._woken = woken
        self.selector.register(woken, selectors.EVENT_READ, self._run_tasks)
        self._stopping = False
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    @property
    def uri(self) -> str:
        return f"qemu+unix:///system?socket={self.directory / 'libvirt-sock'}"

    @property
    def uri_read_only(self) -> str:
        return f"qemu+unix:///system?socket={self.directory / 'libvirt-sock-ro'}"

    def within(self, task: Callable[[], Any]) -> Any:
        """Run a task in the server's thread and return what it returns."""
        results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                results.put((task(), None))
            except BaseException as error:
                results.put((None, error))

        self._tasks.put(run)
        self._wake.send(b".")
        value, error = results.get(timeout=20)
        if error is not None:
            raise error
        return value

    def move(self, span_s: float) -> None:
        """Let virtual time pass."""
        self.within(lambda: self.clock.move_to(self.clock.now_ns + seconds(span_s)))

    def stop(self) -> None:
        def stopping() -> None:
            self._stopping = True

        self.within(stopping)
        self._thread.join(20)
        self.server.close()
        self.selector.close()
        self._wake.close()
        self._woken.close()

    def _loop(self) -> None:
        while not self._stopping:
            for key, mask in self.selector.select():
                key.data(mask)

    def _run_tasks(self, _mask: int) -> None:
        self._woken.recv(64)
        while not self._tasks.empty():
            self._tasks.get()()
