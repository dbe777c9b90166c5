"""What always holds, over random hosts, workloads and programs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from small_hosts import guest, host

from virtlab.model.scenario import Event, StartWorkload, StopWorkload
from virtlab.model.units import mib, ms
from virtlab.model.workload import Batch, Duty, MemoryGrowth, Workload
from virtlab.simulator.host import HostMemoryFigures, SimulatedHost
from virtlab.simulator.memory_sizes import MemoryFigures

PCPUS = 3
GUESTS = 4
END_NS = 8 * 10**9

masks = st.sets(st.integers(0, PCPUS - 1), min_size=1).map(lambda s: tuple(sorted(s)))
moments = st.integers(0, END_NS)
names = st.integers(0, GUESTS - 1).map(lambda n: f"g{n}")
workloads: st.SearchStrategy[Workload] = st.one_of(
    st.builds(Duty, st.floats(0.01, 1.0), st.just(ms(0.5))),
    st.builds(Batch, st.integers(10**8, 4 * 10**9)),
    st.builds(
        MemoryGrowth,
        st.integers(mib(1), mib(400)),
        st.one_of(st.none(), st.integers(mib(10), mib(1500))),
        st.integers(0, 10**9),
        st.booleans(),
    ),
)
events: st.SearchStrategy[list[Event]] = st.lists(
    st.one_of(
        st.builds(StartWorkload, moments, names, workloads),
        st.builds(StopWorkload, moments, names, st.sampled_from(["cpu", "memory", "all"])),
    ),
    max_size=10,
).map(lambda found: sorted(found, key=lambda event: event.time_ns))


@dataclass(frozen=True)
class Act:
    """Something that a program does at a moment."""

    time_ns: int
    kind: str
    guest: str
    pcpus: tuple[int, ...]
    memory_mib: int


acts = st.lists(
    st.builds(
        Act,
        moments,
        st.sampled_from(
            [
                "pin",
                "memory",
                "period",
                "suspend",
                "destroy",
                "start",
                "weight",
                "vcpu_quota",
                "global_quota",
            ]
        ),
        names,
        masks,
        st.integers(0, 2500),
    ),
    max_size=12,
).map(lambda found: sorted(found, key=lambda act: act.time_ns))


def do(simulated: SimulatedHost, act: Act) -> None:
    each = simulated.guests[act.guest]
    if act.kind == "start" and each.id < 0:
        each.start()
    elif each.id < 0:
        return
    elif act.kind == "pin":
        each.pin(0, frozenset(act.pcpus))
    elif act.kind == "memory":
        each.set_memory(mib(act.memory_mib))
    elif act.kind == "period":
        each.set_stats_period(act.memory_mib % 4)
    elif act.kind == "destroy":
        each.destroy()
    elif act.kind == "weight":
        each.tune({"cpu_shares": act.memory_mib + 2})
    elif act.kind in ("vcpu_quota", "global_quota"):
        each.tune({act.kind: act.memory_mib * 50 - 1})
    elif act.kind == "suspend" and each.state == 1:
        each.suspend()
    elif act.kind == "suspend":
        each.resume()


def figures(simulated: SimulatedHost) -> list[object]:
    now_ns = simulated.now_ns
    found: list[object] = [simulated.pcpu_busy_ns(), simulated.memory(), simulated.frozen]
    for each in simulated.guests.values():
        vcpu = each.vcpus[0]
        found += [each.id, vcpu.pcpu, vcpu.run_ns(), vcpu.delay_ns(), each.cpu_time_ns()]
        if each.id >= 0:
            found += [each.memory.figures(now_ns), each.memory.statistics(now_ns)]
    return found


def play(
    starts: list[tuple[int, ...]],
    happen: list[Event],
    program: list[Act],
    *,
    looks: list[int],
    seed: int = 1,
) -> tuple[SimulatedHost, list[object], list[object]]:
    """Run a host to its end, looking at it at moments; return it, its events, and the looks."""
    simulated = host(
        [guest(f"g{n}", mask, noise=0.03) for n, mask in enumerate(starts)],
        happen,
        pcpus=PCPUS,
        memory_mib=5120,
        swap_mib=256,
        seed=seed,
    )
    records: list[object] = []
    simulated.on_event = records.append
    seen: list[object] = []
    stops: list[tuple[int, int, Act | None]] = [(act.time_ns, 0, act) for act in program]
    stops += [(look, 1, None) for look in looks]
    for time_ns, _, act in sorted(stops, key=lambda stop: stop[:2]):
        simulated.advance(time_ns)
        if act is None:
            seen.append(figures(simulated))
        else:
            do(simulated, act)
    simulated.advance(END_NS)
    return simulated, records, seen


starts_of_all = st.lists(masks, min_size=GUESTS, max_size=GUESTS)


@settings(max_examples=60, deadline=None)
@given(starts_of_all, events, acts, st.lists(moments, max_size=6))
def test_looking_at_a_host_changes_nothing(
    starts: list[tuple[int, ...]], happen: list[Event], program: list[Act], looks: list[int]
) -> None:
    one, one_records, _ = play(starts, happen, program, looks=[])
    other, other_records, _ = play(starts, happen, program, looks=looks)

    assert figures(one) == figures(other)
    assert one_records == other_records


@settings(max_examples=60, deadline=None)
@given(starts_of_all, events, acts)
def test_no_more_cpu_time_is_handed_out_than_there_is(
    starts: list[tuple[int, ...]], happen: list[Event], program: list[Act]
) -> None:
    simulated, _, _ = play(starts, happen, program, looks=[])

    vcpus = [each.vcpus[0] for each in simulated.guests.values()]
    assert all(busy <= END_NS for busy in simulated.pcpu_busy_ns())
    assert all(vcpu.run_ns() + vcpu.delay_ns() <= END_NS for vcpu in vcpus)
    assert sum(simulated.pcpu_busy_ns()) == sum(vcpu.run_ns() for vcpu in vcpus)


@settings(max_examples=60, deadline=None)
@given(starts_of_all, events, acts)
def test_memory_is_conserved_and_stays_within_its_bounds(
    starts: list[tuple[int, ...]], happen: list[Event], program: list[Act]
) -> None:
    looks = list(range(0, END_NS, 10**9))
    _, _, seen = play(starts, happen, program, looks=looks)

    for look in seen:
        assert isinstance(look, list)
        guests = [item for item in look if isinstance(item, MemoryFigures)]
        for each in guests:
            assert 0 <= each.actual_kib <= mib(2048)
            assert each.rss_kib <= each.actual_kib + 1
            assert min(each.unused_kib, each.consumer_kib, each.cache_kib) >= 0
            processes_kib = (
                each.actual_kib - mib(64) - each.unused_kib - each.cache_kib - each.consumer_kib
            )
            assert processes_kib <= mib(88) + 4
        memory = next(item for item in look if isinstance(item, HostMemoryFigures))
        held_kib = sum(each.rss_kib for each in guests)
        assert 0 <= memory.swap_used_kib <= mib(256)
        if not memory.swap_used_kib:
            assert memory.free_kib >= memory.total_kib - mib(1024) - held_kib


@settings(max_examples=40, deadline=None)
@given(starts_of_all, events, acts)
def test_counters_never_fall(
    starts: list[tuple[int, ...]], happen: list[Event], program: list[Act]
) -> None:
    looks = list(range(0, END_NS, 500_000_000))
    _, _, seen = play(starts, happen, program, looks=looks)

    busy = [look[0] for look in seen if isinstance(look, list)]
    for before, after in pairwise(busy):
        assert all(a <= b for a, b in zip(before, after, strict=True))


@settings(max_examples=30, deadline=None)
@given(starts_of_all, events, acts, st.integers(0, 5))
def test_the_same_seed_gives_the_same_host(
    starts: list[tuple[int, ...]], happen: list[Event], program: list[Act], seed: int
) -> None:
    looks = [END_NS // 3, END_NS // 2]

    assert (
        play(starts, happen, program, looks=looks, seed=seed)[1:]
        == (play(starts, happen, program, looks=looks, seed=seed)[1:])
    )
