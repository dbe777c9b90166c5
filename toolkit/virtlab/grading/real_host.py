"""A real host to grade on: one grading has it for itself, and it looks afterwards as before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.grading.real_run import HostInUse, run_on_host
from virtlab.grading.run import RunRecord
from virtlab.grading.timing import REAL_PACE, Pacing
from virtlab.grading.watchdog import WatchdogLimits
from virtlab.hosts.real.connection import HostConnection, socket_of
from virtlab.hosts.real.journal import Journal
from virtlab.hosts.real.launch import PlaybookLaunch, accelerator_here, iterations_per_s
from virtlab.hosts.real.loads import AgentLoads, loops_are_held
from virtlab.hosts.real.recorder import PATIENCE, MakeLoads, Patience
from virtlab.hosts.real.requirements import HostFigures, host_figures, lacks
from virtlab.hosts.real.run_guests import Launch, RunGuests
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.scenario import Scenario
from virtlab.scenario import scenario_files
from virtlab.subjects.build import BuildResult
from virtlab.subjects.sandbox import Sandbox
from virtlab.subjects.work_directory import work_directory

__all__ = ["OUTSIDE_POINTS_MAX", "RealHost", "open_real_host"]

# A tenth of the machine makes guests wait as much as the criteria's own tolerance.
OUTSIDE_POINTS_MAX: Final = 10.0
_WORDS: Final = {"kvm": "a real host with KVM", "qemu": "a real host that emulates its guests"}

Prepare = Callable[[dict[str, DomainHandle]], MakeLoads]


@dataclass(frozen=True, slots=True)
class RealHost:
    """A host that this grading has for itself; made by `open_real_host`."""

    socket: Path
    journal: Journal
    figures: HostFigures
    accelerator: str
    launch: Launch
    prepare: Prepare
    outside_points_max: float
    patience: Patience

    def check(self, scenarios: Iterable[Scenario]) -> None:
        """Refuse scenarios that this host cannot offer, all at once.

        Raises:
            EnvironmentLackError: names each, why, and what to run instead.
        """
        found = [(scenario, lacks(scenario, self.figures)) for scenario in scenarios]
        refused = [(scenario, why) for scenario, why in found if why]
        if not refused:
            return
        text = "\n".join(f"{scenario.id} {'; it '.join(why)}." for scenario, why in refused)
        raise EnvironmentLackError(text, fix=self._instead([scenario for scenario, _ in refused]))

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
        """Run a built program as `run_program` does on the simulated host.

        Raises:
            EnvironmentLackError: the host cannot offer the scenario, or guests do not come up.
        """
        self.check([scenario])
        if sandbox.weaker:
            raise EnvironmentLackError(
                "Without bubblewrap a program would reach libvirtd itself, and with it the whole "
                "machine; so it does not run on a real host.",
                fix="install bubblewrap, and let it make namespaces",
            )
        guests = RunGuests(self.socket, scenario, self.journal, self.launch)
        try:
            handles = guests.bring_up()
            host = HostInUse(
                self.socket,
                _WORDS.get(self.accelerator, "a real host"),
                self.figures.pcpus,
                handles,
                self.prepare(handles),
                self.outside_points_max,
                self.patience,
                pacing.on_pace,
            )
            with work_directory() as folder:  # the program runs as another user
                record = run_on_host(
                    scenario, program, program_root, sandbox, host, folder,
                    seed=seed, limits=watchdog or WatchdogLimits(),
                )  # fmt: skip
        except BaseException:
            guests.put_back()
            raise
        left = guests.put_back()
        return record if left is None else _with_note(record, left)

    def _instead(self, refused: list[Scenario]) -> str:
        """Return what to run here instead of what was refused."""
        pcpus = self.figures.pcpus
        shipped = scenario_files()
        scaled = [f"{one.id}-{pcpus}pcpu" for one in refused if f"{one.id}-{pcpus}pcpu" in shipped]
        if not scaled:
            return "run it on the simulated host, or write a scenario that fits this one"
        if len(refused) == 1:
            return f"run {scaled[0]}, which is made for {pcpus} pCPUs"
        return f"use the forms for {pcpus} pCPUs: {', '.join(scaled)}; grade with their rubric"


@contextmanager
def open_real_host(
    uri: str,
    *,
    outside_points_max: float = OUTSIDE_POINTS_MAX,
    progress: Callable[[str], None] = lambda _step: None,
    launch: Launch | None = None,
    prepare: Prepare | None = None,
    patience: Patience = PATIENCE,
) -> Iterator[RealHost]:
    """Have a host for oneself.

    Args:
        uri: of a libvirtd on this machine.
        outside_points_max: what others may use of its pCPUs, in percent, before a run is disturbed.
        progress: told of each step that takes time.
        launch: brings guests up; the playbooks where left out.
        prepare: finds what starts loads in guests; the guests' agents where left out.
        patience: with a host that fails.

    Raises:
        UsageError: the URI is none of this machine's.
        EnvironmentLackError: libvirtd does not answer, another run is at work, or one was killed.
    """
    socket = socket_of(uri)
    with HostConnection(socket) as connection:
        figures = host_figures(connection)
    accelerator = accelerator_here()
    with Journal(socket) as journal:
        if journal.left_behind() is not None:
            raise EnvironmentLackError(
                "A run on this host was killed, and what it changed was not put back yet.",
                fix=f"virtlab host clean --uri '{uri}'",
            )
        yield RealHost(
            socket,
            journal,
            figures,
            accelerator,
            launch or PlaybookLaunch(socket, accelerator, progress),
            prepare or _by_agents(socket, accelerator, progress),
            outside_points_max,
            patience,
        )


def _with_note(record: RunRecord, note: str) -> RunRecord:
    outcome = record.timeline.outcome
    outcome = replace(outcome, notes=(*outcome.notes, note))
    return replace(record, timeline=replace(record.timeline, outcome=outcome))


def _by_agents(socket: Path, accelerator: str, progress: Callable[[str], None]) -> Prepare:
    """Return what measures how fast the first guest works, and starts loads by agents."""

    def prepare(guests: dict[str, DomainHandle]) -> MakeLoads:
        rate = iterations_per_s(socket, next(iter(guests)), accelerator, progress)
        follow = loops_are_held(accelerator)
        return lambda ends, on_event: AgentLoads(ends, rate, on_event, follow=follow)

    return prepare
