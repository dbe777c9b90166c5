"""Runs on a host in real time. A simulated one, served as libvirtd would be, stands for the host.

Its guests get the lab's mark, as if the playbooks had made them, and it plays their loads itself;
its clock follows the run's seconds. What a real guest's agent does is tried in tests/realhost.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.grading.grade import grade_submission
from virtlab.grading.preparation import Preparation
from virtlab.grading.real_host import RealHost, open_real_host
from virtlab.grading.rubric import find_rubric
from virtlab.grading.run import RunRecord, run_program
from virtlab.grading.single import run_single
from virtlab.grading.timing import Pacing
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.guests import MARK
from virtlab.hosts.real.journal import Journal
from virtlab.hosts.real.loads import OnLoadEvent
from virtlab.hosts.real.recorder import Patience
from virtlab.hosts.real.run_guests import RunGuests
from virtlab.model.faults import GuestFault, GuestFaultKind, HostFault
from virtlab.model.scenario import GuestSpec, Scenario
from virtlab.model.timeline import Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import RunVerdict
from virtlab.model.workload import Workload
from virtlab.scenario import load_scenario
from virtlab.subjects.sandbox import find_sandbox

pytestmark = pytest.mark.skipif(
    find_sandbox().weaker, reason="bubblewrap does not work here, and real runs need it"
)

SCENARIO = """\
schema_version: 1
id: two-on-one
title: Two guests on one of two pCPUs
why: a try
program: {program}
host: {{pcpus: 2, memory_mib: 8192}}
guests:
  - names: [web, db]
    memory_mib: 512
    max_memory_mib: 1024
    start_on: [0]
    load: {{duty: 0.4, period_ms: 20}}
run: {{duration_s: {duration}, interval_s: 1}}
criteria: [{{name: no-crash}}, {{name: bound, limits: {{settle_intervals: 2}}}}]
"""
# Binds one guest to each pCPU at its first look, and then only looks on.
SCHEDULER = """\
import libvirt, sys, time
connection = libvirt.open("qemu:///system")
for number, domain in enumerate(connection.listAllDomains()):
    domain.pinVcpu(0, tuple(pcpu == number for pcpu in range(2)))
while True:
    for domain in connection.listAllDomains():
        domain.vcpus()
    time.sleep(int(sys.argv[1]))
"""
GIVER = """\
import libvirt, sys, time
web = libvirt.open("qemu:///system").lookupByName("web")
while True:
    web.setMemory(900 * 1024)
    time.sleep(int(sys.argv[1]))
"""
EXAMPLES = Path(__file__).parents[2] / "examples" / "submissions"
IMPATIENT = Patience(away_s=10, silent_s=1, stuck_s=1)
Kind = Literal["vcpu_scheduler", "memory_coordinator"]


class OwnLoads:
    """The loads of a host that plays them by itself: they are there, and cannot be changed."""

    def __init__(self, _ends: object, on_event: OnLoadEvent) -> None:
        self._on_event = on_event
        self._loaded: set[tuple[str, int]] = set()

    def start(self, guest: str, workload: Workload, vcpus: Iterable[int]) -> None:
        self._loaded |= {(guest, vcpu) for vcpu in vcpus}
        self._on_event("load_start", guest, "a load")

    def stop(self, guest: str, kind: Literal["cpu", "memory", "all"]) -> None:
        raise AssertionError("no scenario here stops a load")

    def look(self) -> None:
        """Do nothing."""

    def ran(self, guest: str, time_ns: int, run_ns: Sequence[int]) -> None:
        """Do nothing."""

    def held_kib(self, guest: str) -> int:
        return 0

    def loaded(self, guest: str, vcpu: int) -> bool:
        return (guest, vcpu) in self._loaded

    def problems(self) -> list[str]:
        return []


class TheyRun:
    """Binds and sizes the host's guests, which run already, as the playbook does."""

    def __init__(self, virsh: Callable[..., str]) -> None:
        self._virsh = virsh

    def fits(self, description: ElementTree.Element, spec: GuestSpec) -> bool:
        return int(description.findtext("memory", "0")) == spec.max_memory_kib

    def up(self, scenario: Scenario, kept: Collection[str]) -> None:
        for guest in scenario.guests:
            assert guest.name in kept
            (pcpus,) = guest.affinity
            assert pcpus is not None
            self._virsh("vcpupin", guest.name, "0", ",".join(map(str, pcpus)), "--live")
            self._virsh("setmem", guest.name, str(guest.memory_kib), "--live")


class Served:
    """A host that is served, and runs on it."""

    def __init__(self, lab: Any, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.uri: str = lab.uri
        self.timeline: Timeline | None = None
        self._base_ns: int | None = None
        with HostConnection(lab.directory / "libvirt-sock") as connection:
            for dom in connection.call("CONNECT_LIST_ALL_DOMAINS", 1, 0).domains:
                mark = f"<guest xmlns='{MARK}'/>"
                connection.call("DOMAIN_SET_METADATA", dom, 2, mark, "lab", MARK, 0)

    def virsh(self, *words: str) -> str:
        command = ["virsh", "--quiet", "-c", self.uri, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def places(self) -> list[str]:
        return [self.virsh("vcpupin", name, "0").split()[1] for name in ("web", "db")]

    def happen(self, fault: GuestFault | HostFault) -> None:
        self.lab.within(lambda: self.lab.host.faults.happen(fault, self.lab.host.now_ns))

    def left_behind(self) -> object:
        with Journal(self.lab.directory / "libvirt-sock") as journal:
            return journal.left_behind()

    def opened(self, patience: Patience = IMPATIENT) -> contextlib.AbstractContextManager[RealHost]:
        return open_real_host(
            self.uri,
            outside_points_max=100.0,  # the machine of the tests may have other work
            launch=TheyRun(self.virsh),
            prepare=lambda _guests: OwnLoads,
            patience=patience,
        )

    def run(
        self,
        program: str = SCHEDULER,
        *,
        kind: Kind = "vcpu_scheduler",
        duration_s: int = 4,
        at: Callable[[int], None] = lambda _at_s: None,
    ) -> RunVerdict:
        """Run a Python program, and let `at` happen at each second once."""
        source = self.folder / f"{kind}.py"
        source.write_text(program)
        scenario = self.folder / "played.yaml"
        scenario.write_text(SCENARIO.format(program=kind, duration=duration_s))
        seen: list[int] = []

        def on_pace(_scenario: str, at_s: int, _of_s: int) -> None:
            if at_s not in seen:
                seen.append(at_s)
                self.lab.move(1)
                at(at_s)

        def keep(timeline: Timeline) -> str:
            self.timeline = timeline
            return ""

        with Preparation(source, kind) as preparation, self.opened() as host:
            return run_single(
                load_scenario(scenario), preparation, source="played", seed=1,
                out=self.folder / "out", overwrite=True, monitor_text=keep,
                pacing=Pacing(on_pace=on_pace), runner=host,
            )  # fmt: skip


@pytest.fixture
def served(make_lab: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setenv("VIRTLAB_STATE_DIR", str(tmp_path / "state"))
    file = tmp_path / "served.yaml"
    file.write_text(SCENARIO.format(program="vcpu_scheduler", duration=600))
    return Served(make_lab(load_scenario(file)), tmp_path)


def once(at_s: int, act: Callable[[], object]) -> Callable[[int], None]:
    """Return what lets something happen at one second."""

    def at(now_s: int) -> None:
        if now_s == at_s:
            act()

    return at


def test_a_program_is_run_recorded_and_judged_as_on_the_simulated_host(served: Served) -> None:
    verdict = served.run()

    assert (verdict.status, verdict.clock, verdict.outcome_reason) == (
        "ok", "real", "It ran to the end.",
    )  # fmt: skip
    assert [(result.name, result.status) for result in verdict.criteria] == [
        ("no-crash", "passed"), ("bound", "passed"),
    ]  # fmt: skip
    assert verdict.replay.endswith("--host real")
    timeline = served.timeline
    assert timeline is not None
    assert [round(ns / 1e9) for ns in timeline.times_ns] == [0, 1, 2, 3, 4]
    web, db = timeline.guests
    assert (web.start_masks, db.start_masks) == (((0,),), ((0,),))
    assert web.actual_kib[-1] == 512 * 1024
    assert web.unused_kib[-1] > 100 * 1024
    assert web.vcpus[0].loaded == (True,) * 5
    assert web.vcpus[0].run_ns[0] == 0 < web.vcpus[0].run_ns[-1]
    (pin,) = [pin for pin in timeline.pins if pin.effective]
    assert (pin.by, pin.pcpus) == ("program", (1,))
    assert timeline.calls_total == len(timeline.calls) > 8
    # What ran on a pCPU is what its vCPUs ran.
    busy_ns = sum(series[-1] for series in timeline.pcpu_busy_ns)
    ran_ns = sum(vcpu.run_ns[-1] for guest in timeline.guests for vcpu in guest.vcpus)
    assert abs(busy_ns - ran_ns) <= len(timeline.pcpu_busy_ns)


def test_what_a_guest_had_is_put_back(served: Served) -> None:
    served.virsh("vcpupin", "web", "0", "1", "--live")
    served.virsh("setmem", "web", "600M", "--live")
    served.virsh("dommemstat", "web", "--period", "7", "--live")
    served.lab.move(5)
    before = served.virsh("dumpxml", "web", "--inactive")

    assert served.run(duration_s=2).status == "ok"
    assert served.places() == ["1", "0"]
    served.lab.move(5)
    assert served.run(GIVER, kind="memory_coordinator", duration_s=2).status == "ok"

    assert served.virsh("dumpxml", "web", "--inactive") == before
    assert served.timeline is not None
    assert served.timeline.guest("web").target_kib[-1] == 900 * 1024
    served.lab.move(5)
    stats = dict(line.split() for line in served.virsh("dommemstat", "web").splitlines())
    assert stats["actual"] == str(600 * 1024)
    assert "<stats period='7'/>" in served.virsh("dumpxml", "web")
    assert served.left_behind() is None


def test_they_are_put_back_after_ctrl_c_too(served: Served) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        served.run(duration_s=60, at=once(2, interrupt))

    assert served.places() == ["0", "0"]
    assert served.left_behind() is None


def test_a_killed_run_is_put_back_by_clean_and_before_it_no_other_begins(served: Served) -> None:
    child = multiprocessing.get_context("fork").Process(target=_run_and_die, args=(served,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert sorted(served.places()) == ["0", "1"]

    with pytest.raises(EnvironmentLackError, match="A run on this host was killed") as caught:
        served.run()
    assert f"virtlab host clean --uri '{served.uri}'" in str(caught.value)
    command = [Path(sys.executable).with_name("virtlab"), "host", "clean", "--uri", served.uri]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == "put back web\nput back db\n"
    assert served.places() == ["0", "0"]
    assert set(served.virsh("list", "--name").split()) == {"web", "db"}
    assert served.run(duration_s=1).status == "ok"


def _run_and_die(served: Served) -> None:
    served.lab.move = lambda _s: None  # the thread that serves is the parent's
    served.run(duration_s=60, at=once(2, lambda: os.kill(os.getpid(), signal.SIGKILL)))


def test_a_second_run_is_refused_while_one_is_at_work(served: Served) -> None:
    with served.opened(), pytest.raises(EnvironmentLackError, match="Another run is at work"):
        served.run()


def test_a_domain_that_the_lab_did_not_make_is_not_touched(served: Served) -> None:
    served.virsh("metadata", "db", MARK, "--key", "lab", "--remove")

    with pytest.raises(EnvironmentLackError, match=r"a domain db .* that the lab did not make"):
        served.run()

    assert served.places() == ["0", "0"]
    assert served.left_behind() is None


def test_what_the_host_cannot_offer_is_refused_before_anything_starts(served: Served) -> None:
    nothing = served.folder / "nothing.py"
    nothing.write_text("")
    command = [Path(sys.executable).with_name("virtlab"), "run", "cpu-1-all-on-one", nothing]

    done = subprocess.run(
        [*command, "--host", f"real={served.uri}"], capture_output=True, text=True
    )

    assert done.returncode == 4
    assert "cpu-1-all-on-one needs 4 pCPUs, and this host has 2" in done.stderr
    assert "fix: run cpu-1-all-on-one-2pcpu, which is made for 2 pCPUs" in done.stderr


def test_a_journal_that_cannot_be_written_is_told_before_anything_changes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    (served.folder / "file").write_text("")
    monkeypatch.setenv("VIRTLAB_STATE_DIR", str(served.folder / "file" / "below"))

    with pytest.raises(EnvironmentLackError, match="the journal of the run cannot be written"):
        served.run()

    assert served.places() == ["0", "0"]


# --- a host that fails says nothing about the program


def test_a_guest_that_is_killed_ends_the_run_without_a_score(served: Served) -> None:
    verdict = served.run(duration_s=60, at=once(1, lambda: served.virsh("destroy", "db")))

    assert (verdict.status, verdict.outcome) == ("lab_fault", "disturbed")
    assert "db went down, by nothing that the program can do" in verdict.outcome_reason
    assert {result.status for result in verdict.criteria} == {"not_run"}
    assert served.virsh("list", "--name").split() == ["web"]
    assert served.left_behind() is None


def test_a_guest_that_hangs_ends_the_run_without_a_score(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_back = RunGuests.put_back

    def put_back_later(guests: RunGuests) -> str | None:
        served.lab.move(60)  # nobody else moves the host's clock once the run is over
        return put_back(guests)

    monkeypatch.setattr(RunGuests, "put_back", put_back_later)

    verdict = served.run(duration_s=60, at=once(1, lambda: broken(served, "blocked", for_s=50)))

    assert verdict.outcome == "disturbed"
    assert "web hangs: its QEMU process has not answered for" in verdict.outcome_reason
    assert served.left_behind() is None


def test_a_balloon_that_does_not_move_leaves_the_run_without_a_score(served: Served) -> None:
    verdict = served.run(
        GIVER, kind="memory_coordinator", at=once(0, lambda: broken(served, "balloon-stuck"))
    )

    assert verdict.outcome == "disturbed"
    assert "the balloon of web does not move: it stays at 512 of 900 MiB" in verdict.outcome_reason


def test_a_libvirtd_that_restarts_leaves_the_run_without_a_score(served: Served) -> None:
    outage = HostFault(0, "libvirtd-restart", NS_PER_S)

    verdict = served.run(duration_s=5, at=once(1, lambda: served.happen(outage)))

    assert verdict.outcome == "disturbed"
    assert "libvirtd was away from" in verdict.outcome_reason
    assert served.timeline is not None
    kinds = [event.kind for event in served.timeline.events]
    assert kinds[-2:] == ["host_lost", "host_back"]
    assert round(served.timeline.times_ns[-1] / NS_PER_S) == 5  # it goes on to the end
    assert served.places() == ["0", "0"]


def broken(served: Served, kind: GuestFaultKind, *, for_s: int | None = None) -> None:
    for_ns = None if for_s is None else for_s * NS_PER_S
    served.happen(GuestFault(0, "web", kind, for_ns))


def test_a_test_that_the_host_lets_down_is_not_run_and_the_others_are(tmp_path: Path) -> None:
    rubric = find_rubric("fall-2026-2pcpu")
    rubric = replace(rubric, tests=rubric.tests[:2])

    def runner(scenario: Scenario, *words: Any, **options: Any) -> RunRecord:
        if scenario.id == "cpu-1-all-on-one-2pcpu":
            raise EnvironmentLackError("aos_vm3 did not come up")
        return run_program(scenario, *words, **options)

    graded = grade_submission(
        EXAMPLES / "reference-python", rubric, tmp_path / "out", seeds=[1], jobs=1,
        only="vcpu_scheduler", monitor_text=lambda _timeline: "", runner=runner,
    )  # fmt: skip

    first, second = graded.verdict.runs
    assert (first.status, first.outcome) == ("lab_fault", "host_lacking")
    assert [line.points for line in first.lines] == [None, None]
    assert (second.points, second.points_max) == (1.0, 1.0)
    assert second.notes[0].startswith("This is cpu-2-half-and-half in a smaller form")
    assert graded.verdict.partial
