"""Hosts with a topology: the speed of pCPUs, the way to memory, and where vCPUs go."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hosts import guest, host, loops, paired, run_shares

from virtlab.model.scenario import Event, PinVcpu, StartWorkload
from virtlab.model.topology import FULL_CAPACITY, Cell, Topology, flat
from virtlab.model.units import NS_PER_MS, NS_PER_S, mib
from virtlab.model.workload import Batch, Duty, MemoryGrowth
from virtlab.simulator import scheduler
from virtlab.simulator.cell_memory import free_by_cell
from virtlab.simulator.host import SimulatedHost
from virtlab.simulator.numa_law import latency, speeds_by_cell
from virtlab.simulator.smt_law import beside
from virtlab.simulator.speed_law import rounds_at, stretched


def _slow(*capacity: int) -> Topology:
    count = len(capacity)
    whole = flat(count, mib(16_384))
    return Topology(cells=whole.cells, cores=whole.cores, capacity=capacity)


def _ends_s(simulated: SimulatedHost) -> dict[str | None, float]:
    """Let a host run for a minute; return when each guest's batch ended."""
    ended: dict[str | None, float] = {}
    simulated.on_event = lambda e: (
        ended.update({e.guest: e.time_ns / 1e9}) if e.kind == "load_done" else None
    )
    simulated.advance(60 * NS_PER_S)
    return ended


# The law of the closed loop.


@given(duty=st.floats(0.0, 1.0), speed=st.floats(0.01, 1.0))
def test_a_slower_loop_wants_more_and_goes_round_less_often(duty: float, speed: float) -> None:
    assert duty <= stretched(duty, speed) + 1e-12 <= 1.0 + 2e-12
    assert rounds_at(duty, speed) <= 1.0 + 1e-12


@given(duty=st.floats(0.01, 0.99), speed=st.floats(0.01, 1.0))
def test_work_done_is_rounds_times_the_work_of_one(duty: float, speed: float) -> None:
    assert stretched(duty, speed) * speed == pytest.approx(rounds_at(duty, speed) * duty)


# Capacity.


def test_work_takes_twice_as_long_on_a_pcpu_of_half_the_capacity() -> None:
    simulated = host(
        [guest("fast", (0,)), guest("slow", (1,))],
        [StartWorkload(0, name, Batch(5 * NS_PER_S)) for name in ("fast", "slow")],
        pcpus=2,
        topology=_slow(1024, 512),
    )

    assert _ends_s(simulated) == {"fast": pytest.approx(5.0), "slow": pytest.approx(10.0)}


def test_a_batch_that_moves_to_a_slower_pcpu_takes_its_work_along() -> None:
    simulated = host(
        [guest("g", (0,))],
        [StartWorkload(0, "g", Batch(5 * NS_PER_S)), PinVcpu(3 * NS_PER_S, "g", 0, (1,))],
        pcpus=2,
        topology=_slow(1024, 256),
    )

    # Three seconds of work are done, and the rest takes four times as long, the move included.
    assert _ends_s(simulated) == {"g": pytest.approx(3.0 + 4 * 2.0002)}


def test_a_loop_uses_more_of_a_slower_pcpu_and_waits_no_more() -> None:
    simulated = loops([0.3], [(1,)], pcpus=2, topology=_slow(1024, 512))

    assert run_shares(simulated, 400) == [pytest.approx(0.6 / 1.3, abs=0.003)]
    assert simulated.guests["g0"].vcpus[0].delay_ns() == 0


def test_unpinned_work_goes_to_the_fastest_pcpu_that_is_free() -> None:
    simulated = loops([1.0, 1.0], pcpus=4, topology=_slow(512, 1024, 512, 1024))
    simulated.advance(2 * NS_PER_S)

    assert sorted(g.vcpus[0].pcpu for g in simulated.guests.values()) == [1, 3]


def test_a_busy_vcpu_leaves_a_slow_pcpu_when_a_fast_one_falls_free() -> None:
    events = [PinVcpu(NS_PER_S, "g0", 0, (0,)), PinVcpu(2 * NS_PER_S, "g0", 0, (0, 1, 2))]
    simulated = loops([1.0], pcpus=3, topology=_slow(512, 512, 1024), events=events)

    simulated.advance(5 * NS_PER_S)

    vcpu = simulated.guests["g0"].vcpus[0]
    assert (vcpu.pcpu, vcpu.moved_ns) == (2, 2_400_000_000)


# Memory.


def test_latency_follows_the_distance() -> None:
    # 81.3 and 131.1 ns were measured with Intel's Memory Latency Checker.
    assert latency(10, 131.1 / 81.3) == 1.0
    assert latency(20, 131.1 / 81.3) == pytest.approx(131.1 / 81.3)
    assert latency(30, 1.6) == pytest.approx(2.2)


def test_work_that_only_waits_for_memory_takes_as_much_longer_as_memory_does() -> None:
    topology = paired(4, cells=2)

    assert speeds_by_cell(topology, [0], 1.0) == (1.0, pytest.approx(1 / 1.6))
    assert speeds_by_cell(topology, [1], 0.5) == (pytest.approx(1 / 1.3), 1.0)
    assert speeds_by_cell(topology, [1], 0.0) == (1.0, 1.0)
    assert speeds_by_cell(topology, [0, 1], 0.5) == (pytest.approx(1 / 1.15),) * 2


def test_a_guest_far_from_its_memory_needs_longer_for_its_work() -> None:
    far = {"memory_cell": 1, "memory_bound": 0.5}
    simulated = host(
        [guest("near", (4,), **far), guest("far", (0,), **far)],
        [StartWorkload(0, name, Batch(5 * NS_PER_S)) for name in ("near", "far")],
        pcpus=8,
        topology=paired(8, cells=2),
    )

    assert _ends_s(simulated) == {"near": pytest.approx(5.0), "far": pytest.approx(6.5)}


def test_memory_lies_where_the_first_vcpu_starts_and_stays_there() -> None:
    simulated = host(
        [guest("g", (5,), memory_bound=0.5)],
        [StartWorkload(0, "g", Batch(5 * NS_PER_S)), PinVcpu(NS_PER_S, "g", 0, (0,))],
        pcpus=8,
        topology=paired(8, cells=2),
    )

    assert simulated.guests["g"].memory_cells == (1,)
    assert _ends_s(simulated) == {"g": pytest.approx(1.0 + 1.3 * 4.0002)}


def test_pages_are_touched_more_slowly_on_a_slow_pcpu() -> None:
    grown = []
    for capacity in (1024, 102):
        load = StartWorkload(0, "g", MemoryGrowth(mib(16), None))
        simulated = host([guest("g", (0,))], [load], pcpus=1, topology=_slow(capacity))
        simulated.advance(10 * NS_PER_S)
        grown.append(simulated.guests["g"].memory.figures(simulated.now_ns).consumer_kib)

    # A twentieth of the time at full speed, ten times as long at a tenth: 1 / (0.5 + 0.95).
    assert grown == [mib(160), pytest.approx(mib(160) / (0.05 * 1024 / 102 + 0.95), rel=1e-4)]


@given(
    sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=4),
    own=st.integers(0, 500),
    data=st.data(),
)
def test_free_memory_of_the_cells_is_the_hosts_and_never_negative(
    sizes: list[int], own: int, data: st.DataObject
) -> None:
    count = len(sizes)
    cells = tuple(
        Cell((n,), size, tuple(10 if n == m else 20 + abs(n - m) for m in range(count)))
        for n, size in enumerate(sizes)
    )
    topology = Topology(cells, tuple((n,) for n in range(count)), (1024,) * count)
    places = st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True)
    held = data.draw(st.lists(st.tuples(places, st.integers(0, 3000)), max_size=4))
    free = max(sum(sizes) - own - sum(kib for _, kib in held), 3)

    by_cell = free_by_cell(topology, own, held, free)

    assert sum(by_cell) == free
    assert min(by_cell) >= 0


def test_what_a_cell_cannot_hold_lies_in_the_nearest_one() -> None:
    cells = (
        Cell((0,), 100, (10, 30, 20)),
        Cell((1,), 100, (30, 10, 20)),
        Cell((2,), 100, (20, 20, 10)),
    )
    topology = Topology(cells, ((0,), (1,), (2,)), (1024,) * 3)

    assert free_by_cell(topology, 0, [((0,), 150)], 150) == [0, 100, 50]
    assert free_by_cell(topology, 30, [((0,), 60), ((1, 2), 40)], 170) == [30, 70, 70]


def test_free_memory_of_a_cell_follows_what_its_guests_hold() -> None:
    load = StartWorkload(0, "g", MemoryGrowth(mib(16), None))
    simulated = host(
        [guest("g", (0,), memory_cell=1, memory_kib=mib(2048))],
        [load],
        pcpus=8,
        topology=paired(8, cells=2),
    )
    free = [simulated.cells_free_kib()]
    simulated.advance(10 * NS_PER_S)
    free.append(simulated.cells_free_kib())

    assert free[0][0] == free[1][0]
    assert free[0][1] - free[1][1] == pytest.approx(mib(160), rel=1e-3)
    assert sum(free[1]) == simulated.memory().free_kib


# Where Linux would put them.


def test_busy_vcpus_take_a_core_each_before_they_share_one() -> None:
    simulated = loops([1.0] * 4, pcpus=8, topology=paired(8))
    simulated.advance(NS_PER_S)

    assert sorted(g.vcpus[0].pcpu // 2 for g in simulated.guests.values()) == [0, 1, 2, 3]


def test_busy_vcpus_that_may_run_anywhere_again_leave_a_core_they_share() -> None:
    events: list[Event] = [
        *(PinVcpu(1, f"g{n}", 0, (n,)) for n in range(2)),
        *(PinVcpu(NS_PER_S, f"g{n}", 0, tuple(range(4))) for n in range(2)),
    ]
    simulated = loops([1.0] * 2, pcpus=4, topology=paired(4), events=events)
    simulated.advance(NS_PER_S)
    together = [g.vcpus[0].pcpu // 2 for g in simulated.guests.values()]
    simulated.advance(2 * NS_PER_S)

    assert together == [0, 0]
    assert sorted(g.vcpus[0].pcpu // 2 for g in simulated.guests.values()) == [0, 1]


def test_loops_that_sleep_wake_up_in_their_own_cell() -> None:
    simulated = loops([0.3] * 6, pcpus=8, topology=paired(8, cells=2))
    simulated.advance(NS_PER_MS)
    cells = [g.vcpus[0].pcpu // 4 for g in simulated.guests.values()]
    seen = set()
    for second in range(1, 20):
        simulated.advance(second * NS_PER_S)
        pcpus = [g.vcpus[0].pcpu for g in simulated.guests.values()]
        seen.update(pcpus)
        assert [pcpu // 4 for pcpu in pcpus] == cells

    assert len(seen) > 6


def test_overfull_cells_give_to_others() -> None:
    events: list[Event] = [
        *(PinVcpu(1, f"g{n}", 0, (n % 2,)) for n in range(4)),
        *(PinVcpu(NS_PER_S, f"g{n}", 0, (0, 1, 2, 3)) for n in range(4)),
    ]
    simulated = loops([1.0] * 4, pcpus=4, topology=paired(4, cells=2), events=events)
    simulated.advance(4 * NS_PER_S)

    assert sorted(g.vcpus[0].pcpu for g in simulated.guests.values()) == [0, 1, 2, 3]


# The same, however it is worked out.


@st.composite
def _topologies(draw: st.DrawFn) -> Topology:
    """Draw two cells of four pCPUs, of which some are pairs."""
    pairs = draw(st.sets(st.sampled_from(((0, 1), (2, 3), (4, 7), (5, 6)))))
    paired_up = {pcpu for pair in pairs for pcpu in pair}
    far = draw(st.sampled_from((11, 20, 31)))
    return Topology(
        cells=(
            Cell((0, 1, 2, 3), mib(10_000), (10, far)),
            Cell((4, 5, 6, 7), mib(6384), (far, 10)),
        ),
        cores=tuple(sorted([*pairs, *((n,) for n in range(8) if n not in paired_up)])),
        capacity=tuple(draw(st.lists(st.sampled_from((1024, 512)), min_size=8, max_size=8))),
        smt_yield=draw(st.sampled_from((1.0, 1.15, 2.0))),
    )


@settings(max_examples=30, deadline=None)
@given(
    topology=_topologies(),
    duties=st.lists(st.sampled_from((0.05, 0.3, 0.7, 1.0)), min_size=1, max_size=12),
    bound=st.booleans(),
    looks_ms=st.lists(st.integers(0, 6000), max_size=5),
)
def test_speeds_agree_with_how_busy_siblings_are(
    topology: Topology, duties: list[float], bound: bool, looks_ms: list[int]
) -> None:
    masks = [(3 * n % 8,) for n in range(len(duties))] if bound else None
    simulated = loops(duties, masks, pcpus=8, topology=topology)

    for look_ms in sorted(looks_ms):
        simulated.advance(look_ms * NS_PER_MS)
        for pcpu in simulated.scheduler.pcpus:
            assert -1e-9 <= pcpu.used <= 1.0 + 1e-9
            beside_used = 0.0 if pcpu.sibling is None else pcpu.sibling.used
            speed = pcpu.capacity / FULL_CAPACITY * beside(beside_used, topology.smt_yield)
            for vcpu in pcpu.residents:
                assert vcpu.speed == pytest.approx(speed, abs=1e-3)
    busy_ns = simulated.pcpu_busy_ns()
    assert all(0 <= ns <= simulated.now_ns for ns in busy_ns)


@settings(max_examples=20, deadline=None)
@given(topology=_topologies(), looks_ms=st.lists(st.integers(0, 4000), max_size=6))
def test_looking_more_often_changes_nothing(topology: Topology, looks_ms: list[int]) -> None:
    ends = []
    for looks in ([], sorted(looks_ms)):
        simulated = host(
            [guest(f"g{n}", None if n % 2 else (n,), memory_bound=0.3) for n in range(6)],
            [
                *(StartWorkload(0, f"g{n}", Duty(0.4, 500_000)) for n in range(4)),
                StartWorkload(0, "g4", Batch(2 * NS_PER_S)),
                StartWorkload(0, "g5", MemoryGrowth(mib(16), None)),
            ],
            pcpus=8,
            topology=topology,
        )
        for look_ms in looks:
            simulated.advance(look_ms * NS_PER_MS)
        simulated.advance(5 * NS_PER_S)
        ends.append([(g.vcpus[0].pcpu, g.vcpus[0].duty) for g in simulated.guests.values()])

    assert ends[0] == ends[1]


@pytest.mark.parametrize("kind", ["pinned", "free", "mixed"])
def test_a_large_host_does_the_same_without_numpy(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numpy")
    with_numpy = _figures(kind)
    monkeypatch.setattr(scheduler, "numpy_or_none", lambda: None)

    assert with_numpy == _figures(kind)


def _figures(kind: str) -> str:
    rng = Random(7)
    names = [f"g{n}" for n in range(300)]
    masks = [(n % 64,) if kind == "pinned" or (kind == "mixed" and n % 9) else None
             for n in range(300)]  # fmt: skip
    guests = [
        guest(name, mask, noise=0.03, memory_bound=rng.choice((0.0, 0.5)))
        for name, mask in zip(names, masks, strict=True)
    ]
    events: list[Event] = [
        StartWorkload(0, name, Duty(rng.choice((0.05, 0.1, 0.3, 1.0)), 500_000)) for name in names
    ]
    if kind == "mixed":
        events += [StartWorkload(1, name, Batch(NS_PER_S)) for name in names[:20]]
        events += [StartWorkload(1, name, MemoryGrowth(mib(4), None)) for name in names[20:40]]
    events += [
        PinVcpu(n * 37 * NS_PER_MS + 2, rng.choice(names), 0, (rng.randrange(64),))
        for n in range(100)
    ]
    capacity = tuple(rng.choice((1024, 600)) for _ in range(64))
    simulated = host(
        guests,
        events,
        pcpus=64,
        memory_mib=300_000,
        topology=paired(64, cells=4, capacity=capacity, cores=tuple(
            [(n, n + 1) for n in range(0, 32, 2)] + [(n,) for n in range(32, 64)]
        )),
    )  # fmt: skip
    rows: list[object] = []
    for second in range(1, 6):
        simulated.advance(second * NS_PER_S)
        vcpus = [vcpu for g in simulated.guests.values() for vcpu in g.vcpus]
        rows.append([(v.run_ns(), v.delay_ns(), v.speed, v.demand, v.pcpu) for v in vcpus])
        rows.append([g.memory.figures(simulated.now_ns) for g in simulated.guests.values()])
        rows.append(simulated.pcpu_busy_ns())
    return hashlib.sha256(repr(rows).encode()).hexdigest()
