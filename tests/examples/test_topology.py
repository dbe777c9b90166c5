"""On a host with NUMA cells and SMT it matters where a program puts guests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtlab.grading.marks import plain_run
from virtlab.grading.run import run_program
from virtlab.model.timeline import Timeline
from virtlab.scenario import find_scenario
from virtlab.subjects.build import build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import make_work_directory

SUBMISSIONS = Path(__file__).parents[2] / "examples" / "submissions"


@pytest.fixture
def work() -> Iterator[Path]:
    folder = make_work_directory()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def ran(name: str, work: Path) -> Timeline:
    root = work / Path(name).name
    open_submission(SUBMISSIONS / name, root)
    program = build(find_programs(root)["vcpu_scheduler"], root, find_sandbox())
    scenario = find_scenario("topology-1-near-memory")
    return run_program(scenario, program, root, find_sandbox(), seed=1).timeline


def used_s(timeline: Timeline) -> float:
    """Return the CPU time that all guests took in the last ten seconds."""
    last = timeline.times_ns[-1]
    first = next(n for n, at_ns in enumerate(timeline.times_ns) if at_ns >= last - 10 * 10**9)
    vcpus = [vcpu for guest in timeline.guests for vcpu in guest.vcpus]
    return sum(vcpu.run_ns[-1] - vcpu.run_ns[first] for vcpu in vcpus) / 1e9


def test_guests_next_to_their_memory_take_a_sixth_less_cpu_time_for_the_same_work(
    work: Path,
) -> None:
    near, blind = ran("near-memory", work), ran("reference-python", work)

    for timeline in (near, blind):
        run = plain_run(timeline, program="x", replay="")
        assert [(r.name, r.reason) for r in run.criteria if r.status != "passed"] == []
    seats = {g.name: g.vcpus[0].pcpu[-1] for g in near.guests}
    assert sorted(seats.values()) == list(range(8))
    cells = {g.name: g.memory_cell for g in find_scenario("topology-1-near-memory").guests}
    assert {name: pcpu // 4 for name, pcpu in seats.items()} == cells
    assert used_s(near) == pytest.approx(0.83 * used_s(blind), rel=0.02)


def test_a_program_that_does_nothing_leaves_them_far_and_crowded(work: Path) -> None:
    idle = ran("flawed/does-nothing", work)

    run = plain_run(idle, program="x", replay="")
    assert [r.name for r in run.criteria if r.status != "passed"] == ["balanced"]
