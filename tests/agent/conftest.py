"""A daemon and the simulated host that it serves, on one selector and a clock moved by hand.

Bytes go over real sockets. Time moves only when nobody has anything to say, and then to whatever is
due first; so a night takes a moment, and is the same each time.
"""

from __future__ import annotations

import selectors
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from virtlab.agent.change_log import Change, ChangeLog, read_changes
from virtlab.agent.coordinate_craft import CoordinateCraft
from virtlab.agent.daemon import Daemon, DaemonSettings
from virtlab.agent.deciding import Decider
from virtlab.agent.journal import Journal, RecordedTick, read_journal
from virtlab.agent.schedule_craft import ScheduleCraft
from virtlab.agent.undo import log_of
from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.recorder import Recorder
from virtlab.hosts.simulated.server import LibvirtServer
from virtlab.model.scenario import Scenario
from virtlab.model.timeline import ProgramOutcome, Timeline
from virtlab.model.units import BOOT_S, EPOCH_S, NS_PER_S, mib, seconds
from virtlab.policies.coordination.steady import Steady
from virtlab.policies.scheduling.even import Even
from virtlab.scenario import find_scenario
from virtlab.simulator.host import SimulatedHost


class _HostClock:
    """Time as the served host counts it; calls are free here."""

    def __init__(self) -> None:
        self.now_ns = 0

    def charge(self, ns: int) -> None:
        pass


class _DaemonClock:
    def __init__(self, host: SimulatedHost, clock: _HostClock) -> None:
        self._host = host
        self._clock = clock

    def now_ns(self) -> int:
        return BOOT_S * NS_PER_S + self._clock.now_ns

    def wall_s(self) -> float:
        stepped_ns = self._clock.now_ns + self._host.host_memory.clock_step_ns
        return EPOCH_S + stepped_ns / NS_PER_S


class Rig:
    """One daemon of either kind on a served scenario."""

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        *,
        policy: Callable[[], Any] | None = None,
        socket_name: str = "libvirt-sock",
        dry_run: bool = False,
        changes_per_hour: int | None = None,
        override_pins: bool = True,
        file_bytes_max: int = 1 << 20,
    ) -> None:
        self.folder = folder
        self.scenario = scenario
        self.selector = selectors.DefaultSelector()
        self.host = SimulatedHost(scenario, seed=1)
        self.recorder = Recorder(self.host, scenario, seed=1)
        self.clock = _HostClock()
        self.recorder.advance(0)
        self.driver = SimulatedDriver(self.host, self.recorder)
        self.calls: list[str] = []
        self.server = LibvirtServer(
            self.selector,
            folder,
            self.driver,
            self.clock,
            on_call=lambda call, _error, _ns: self.calls.append(call.procedure.name),
        )
        self.kind = "schedule" if scenario.program == "vcpu_scheduler" else "coordinate"
        craft: Any
        if self.kind == "schedule":
            craft, usual = ScheduleCraft(override_pins=override_pins), Even
        else:
            craft = CoordinateCraft(mib(200), mib(200), count_caches=False)
            usual = Steady  # type: ignore[assignment]  # of the other kind
        self.daemon = Daemon(
            settings=DaemonSettings(
                self.kind,
                folder / socket_name,
                "tried",
                scenario.interval_s * NS_PER_S,
                dry_run,
                changes_per_hour,
            ),
            selector=self.selector,
            clock=_DaemonClock(self.host, self.clock),
            craft=craft,
            decider=Decider(policy or usual, limit_s=5.0),
            journal=Journal(
                folder / "journal",
                self.kind,
                {"policy": "tried", "interval_s": scenario.interval_s, "settings": {}},
                file_bytes_max=file_bytes_max,
                files_max=5,
            ),
            changes=None if dry_run else ChangeLog(self.log),
        )
        self.daemon.start()

    @property
    def log(self) -> Path:
        return log_of(self.folder, self.kind)

    def run(self, until_s: float) -> None:
        """Let host and daemon go on until a moment, or until the daemon wants to end."""
        until_ns = seconds(until_s)
        while self.daemon.fatal is None:
            self._settle()
            due_ns = min(
                self.daemon.turn() - BOOT_S * NS_PER_S,
                self.server.next_word_ns or until_ns,
                self.clock.now_ns + NS_PER_S,
            )
            self._settle()
            if self.clock.now_ns >= until_ns:
                return
            self.clock.now_ns = min(max(due_ns, self.clock.now_ns + 1), until_ns)
            self.recorder.advance(self.clock.now_ns)

    def _settle(self) -> None:
        """Carry bytes until nobody has anything more to say at this instant."""
        while ready := self.selector.select(0):
            for key, mask in ready:
                key.data(mask)
            self.daemon.turn()

    @contextmanager
    def served(self) -> Iterator[None]:
        """Answer other clients' calls from a thread, at the instant at which the host stands."""
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                for key, mask in self.selector.select(0.01):
                    key.data(mask)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def ticks(self) -> list[RecordedTick]:
        return list(read_journal(self.folder / "journal"))

    def changes(self) -> list[Change]:
        return list(read_changes(self.log))

    def timeline(self) -> Timeline:
        self.recorder.advance(self.scenario.duration_ns)
        return self.recorder.timeline(
            ProgramOutcome("ok", "completed", "", self.scenario.duration_ns)
        )

    def close(self) -> None:
        self.daemon.close()
        self.server.close()
        self.selector.close()


MakeRig = Callable[..., Rig]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[MakeRig]:
    made: list[Rig] = []

    def make(scenario: Scenario | str, **options: Any) -> Rig:
        folder = tmp_path / f"rig{len(made)}"
        folder.mkdir()
        found = find_scenario(scenario) if isinstance(scenario, str) else scenario
        made.append(Rig(found, folder, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
