"""A submission with one of each: met, narrow, lost, crashed, drained, not built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from timeline_builder import CpuLab, MemoryGuest, MemoryLab, Points

from virtlab.grading.marks import BuildOutcome, build_verdict, mark_run
from virtlab.grading.rubric import Rubric, RubricTest, find_rubric
from virtlab.model.timeline import CallRecord, ProgramOutcome, Timeline
from virtlab.model.verdict import RunVerdict, Verdict

DEALT = tuple((4.001, guest, (guest % 4,)) for guest in range(8))
IN_TURN = tuple((guest % 4,) for guest in range(8))
ANYWHERE = ((0, 1, 2, 3),) * 8
CRASH = ProgramOutcome(
    "program_fault", "crashed", "it was killed by SIGSEGV", 3_200_000_000, None, "SIGSEGV"
)
CALLS = (
    CallRecord(3_100_000_000, "CONNECT_LIST_ALL_DOMAINS", None, "", None),
    CallRecord(3_200_000_000, "DOMAIN_PIN_VCPU", "aos_vm3", "aos_vm3 vcpu=0 map=0x200", "invalid"),
)
IDLE = MemoryGuest(actual=((0, 512), (1, 612), (2, 612), (3, 512)))


def ladder(low: float = 350, step_up: float = 100, step_down: float = 50) -> Points:
    """Return the course's curve: up every second iteration, down in each one after the end."""
    points, iteration, size = [(0.0, 512.0), (3.0, 512.0)], 3.0, 512.0
    while size < 2048:
        size = min(size + step_up, 2048)
        points += [(iteration + 0.4, size), (iteration + 2, size)]
        iteration += 2
    iteration = 62
    points.append((iteration, size))
    while size > low:
        size = max(size - step_down, low)
        points += [(iteration + 0.4, size), (iteration + 1, size)]
        iteration += 1
    return points


def consumer(end: float = 62, most: float = 1860) -> Points:
    return ((0, 0), (3, 0), (end - 0.25, most), (end, 0))


def good_memory() -> MemoryLab:
    grown = MemoryGuest(actual=ladder(), consumer=consumer())
    return MemoryLab(guests=(grown, IDLE, IDLE, IDLE), kills=((61.75, 0),))


def starved_memory() -> MemoryLab:
    starved = MemoryGuest(consumer=consumer(14, 330))
    return MemoryLab(guests=(starved, IDLE), kills=((13.75, 0),))


def rubric() -> Rubric:
    return find_rubric("fall-2026")


def find_test(name: str) -> RubricTest:
    return next(test for test in rubric().tests if test.scenario.id == name)


def as_test(test: RubricTest, timeline: Timeline, seed: int = 1) -> Timeline:
    asked = tuple(
        {"name": one.name, "limits": dict(one.limits), "hint": one.hint}
        for one in test.scenario.criteria
    )
    return replace(
        timeline,
        scenario=test.scenario.id,
        title=test.scenario.title,
        criteria=asked,
        seed=seed,
    )


def marked(name: str, timeline: Timeline, seed: int = 1) -> RunVerdict:
    test = find_test(name)
    replay = f"virtlab run {name} --program ./cpu/vcpu_scheduler --seed {seed}"
    kind = test.scenario.program
    return mark_run(test, as_test(test, timeline, seed), program=kind, replay=replay)


def one_of_each(seed: int) -> list[RunVerdict]:
    crashed = replace(CpuLab(start=ANYWHERE, outcome=CRASH).timeline(), calls=CALLS)
    runs: list[tuple[str, Callable[[], Timeline]]] = [
        ("cpu-1-all-on-one", CpuLab(pins=DEALT).timeline),
        ("cpu-2-half-and-half", CpuLab(loads=(30.8, *(20,) * 7), pins=DEALT).timeline),
        ("cpu-3-balanced", CpuLab(start=IN_TURN, pins=[(9.5, 1, (2,))]).timeline),
        ("cpu-4-unpinned", CpuLab(start=ANYWHERE).timeline),
        ("cpu-5-heavy-and-light", lambda: crashed),
        ("memory-1-one-consumes", good_memory().timeline),
        ("memory-2-all-consume", starved_memory().timeline),
    ]
    return [marked(name, timeline(), seed) for name, timeline in runs]


def submission() -> Verdict:
    return build_verdict(
        rubric(),
        program="First_Last_p1",
        builds={
            "vcpu_scheduler": BuildOutcome(True, "make built it"),
            "memory_coordinator": BuildOutcome(False, "make ended with exit status 2"),
        },
        runs={1: one_of_each(1), 2: one_of_each(2)},
    )
