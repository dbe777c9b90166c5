"""What is kept so that large hosts are quick gives the same as looking at everything."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from small_hosts import guest, host, loops

from virtlab.model.scenario import SetMemory, StartWorkload, StopWorkload
from virtlab.model.units import NS_PER_MS, NS_PER_S, mib
from virtlab.model.workload import MemoryGrowth
from virtlab.simulator.cpu_law import EQUAL_WEIGHT
from virtlab.simulator.engine import EventQueue
from virtlab.simulator.pcpu import Pcpu
from virtlab.simulator.placement import emptiest, even_out
from virtlab.simulator.vcpu import SimulatedVcpu


@settings(max_examples=25, deadline=None)
@given(
    starts_s=st.lists(st.integers(0, 8), min_size=1, max_size=4),
    targets_mib=st.lists(st.integers(200, 2048), min_size=4, max_size=4),
    looks_ms=st.lists(st.integers(0, 12_000), max_size=8),
)
def test_the_host_holds_the_sum_of_its_guests_at_every_moment(
    starts_s: list[int], targets_mib: list[int], looks_ms: list[int]
) -> None:
    growth = MemoryGrowth(mib(64), None)
    names = [f"g{n}" for n in range(len(starts_s))]
    events = sorted(
        [
            *(StartWorkload(s * NS_PER_S, n, growth) for s, n in zip(starts_s, names, strict=True)),
            *(SetMemory((n + 2) * NS_PER_S, name, mib(targets_mib[n]))
              for n, name in enumerate(names)),
            StopWorkload(9 * NS_PER_S, "g0", "memory"),
        ],
        key=lambda event: event.time_ns,
    )  # fmt: skip
    simulated = host([guest(name) for name in names], events, memory_mib=4096, swap_mib=512)

    for look_ms in sorted(looks_ms):
        simulated.advance(look_ms * NS_PER_MS)
        held = [g.memory.rss_at(simulated.now_ns) for g in simulated.guests.values()]
        assert simulated.host_memory.held_kib() == sum(held)


@settings(max_examples=25, deadline=None)
@given(duties=st.lists(st.sampled_from((0.1, 0.5, 1.0)), max_size=7), seed=st.integers(0, 99))
def test_a_pcpu_was_busy_for_what_vcpus_ran_on_it(duties: list[float], seed: int) -> None:
    simulated = loops(duties, pcpus=3, seed=seed)
    for moment_ms in (0, 700, 1300, 5000):
        simulated.advance(moment_ms * NS_PER_MS)

        vcpus = [vcpu for g in simulated.guests.values() for vcpu in g.vcpus]
        ran = [sum(vcpu.time_per_pcpu_ns[pcpu] for vcpu in vcpus) for pcpu in range(3)]
        assert simulated.pcpu_busy_ns() == ran
        assert [sum(v.time_per_pcpu_ns) for v in vcpus] == [v.run_ns() for v in vcpus]


def _seated(seats: list[tuple[int, frozenset[int], int]]) -> list[Pcpu]:
    pcpus = [Pcpu(index) for index in range(6)]
    for number, (ppm, mask, moved) in enumerate(seats):
        vcpu = SimulatedVcpu("g", number, number, mask, 6, EventQueue(), Random(0), 0.0)
        assert vcpu.weight == EQUAL_WEIGHT
        vcpu.duty, vcpu.wanted_ppm, vcpu.moved_ns = ppm / 1e6, ppm, moved
        vcpu.note_roaming()
        pcpus[vcpu.pcpu].add(vcpu)
    return pcpus


def _evened_by_looking_at_all(pcpus: list[Pcpu]) -> list[tuple[int, int]]:
    moves = []
    for _ in pcpus:
        fullest = max(pcpus, key=lambda p: (p.wanted_ppm, -p.index))
        choices = []
        for vcpu in fullest.residents:
            target = emptiest(pcpus, vcpu.permitted)
            gap = fullest.wanted_ppm - pcpus[target].wanted_ppm
            if len(vcpu.permitted) > 1 and target != fullest.index and vcpu.wanted_ppm <= gap:
                choices.append((vcpu.moved_ns, vcpu.key, vcpu, target, gap))
        if fullest.wanted_ppm <= 1_000_000 or not choices:
            break
        _, key, vcpu, target, gap = min(choices, key=lambda choice: choice[:2])
        moves.append((key, target))
        _take(pcpus, vcpu, target)
        if vcpu.wanted_ppm == gap:
            break
    return moves


def _take(pcpus: list[Pcpu], vcpu: SimulatedVcpu, target: int) -> None:
    pcpus[vcpu.pcpu].remove(vcpu, 0)
    vcpu.pcpu = target
    vcpu.moved_ns = 1000
    pcpus[target].add(vcpu)


@given(
    st.lists(
        st.tuples(
            st.sampled_from((200_000, 500_000, 700_000, 1_000_000)),
            st.frozensets(st.integers(0, 5), min_size=1),
            st.integers(0, 3),
        ),
        max_size=24,
    )
)
def test_evening_out_moves_the_same_as_one_who_looks_at_all_pcpus_each_time(
    seats: list[tuple[int, frozenset[int], int]],
) -> None:
    moves: list[tuple[int, int]] = []
    pcpus = _seated(seats)

    def move(vcpu: SimulatedVcpu, target: int) -> None:
        moves.append((vcpu.key, target))
        _take(pcpus, vcpu, target)

    even_out(pcpus, move)

    assert moves == _evened_by_looking_at_all(_seated(seats))
