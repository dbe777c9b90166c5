"""Quotas limit what vCPUs run, and what they do not run shows as delay."""

from __future__ import annotations

from itertools import permutations
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hosts import guest, host, loops, paired, run_shares

from virtlab.model.scenario import StartWorkload, TuneCpu
from virtlab.model.units import NS_PER_S, ms, seconds
from virtlab.model.workload import Batch, Duty
from virtlab.simulator.host import SimulatedHost
from virtlab.simulator.quota_law import Pool, _linked

_S = 60


def _shares(simulated: SimulatedHost) -> list[tuple[float, float]]:
    """Return run and wait shares of all vCPUs in the next minute, guest by guest."""
    vcpus = [vcpu for each in simulated.guests.values() for vcpu in each.vcpus]
    before = [(v.run_ns(), v.delay_ns()) for v in vcpus]
    simulated.advance(simulated.now_ns + _S * NS_PER_S)
    return [
        ((v.run_ns() - run) / (_S * NS_PER_S), (v.delay_ns() - delay) / (_S * NS_PER_S))
        for v, (run, delay) in zip(vcpus, before, strict=True)
    ]


def _limited(
    duties: list[float], quotas: list[float], *, pcpus: int = 1
) -> list[tuple[float, float]]:
    """Return the shares of loops on pCPU 0, of which each has a quota, infinite for none."""
    simulated = loops(duties, [(0,)] * len(duties), pcpus=pcpus)
    for each, quota in zip(simulated.guests.values(), quotas, strict=True):
        if quota < inf:
            each.tune({"vcpu_quota": round(quota * 100_000)})
    return _shares(simulated)


def test_a_busy_loop_is_held_at_its_quota_and_waits_for_the_rest() -> None:
    # Measured on Linux: 0.500 and 0.500.
    assert _limited([1.0], [0.5]) == [pytest.approx((0.5, 0.5), abs=1e-6)]


def test_a_quota_above_what_a_loop_gets_changes_nothing() -> None:
    assert _limited([0.3, 0.3], [0.4, inf]) == _limited([0.3, 0.3], [inf, inf])


def test_others_take_what_a_throttled_loop_leaves() -> None:
    limited, other = _limited([1.0, 1.0], [0.3, inf])

    assert limited == pytest.approx((0.3, 0.7), abs=1e-6)
    assert other == pytest.approx((0.7, 0.3), abs=1e-6)


def test_several_quotas_on_one_pcpu_are_all_kept() -> None:
    runs = [run for run, _ in _limited([1.0] * 4, [0.1, 0.4, 0.4, 0.4])]

    assert runs == pytest.approx([0.1, 0.3, 0.3, 0.3], abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((0.1, 0.3, 0.5, 0.8, 1.0)), st.sampled_from((0.05, 0.2, 0.4, 0.7, inf))
        ),
        min_size=1,
        max_size=6,
    )
)
def test_no_quota_is_exceeded_and_demands_can_still_be_read(
    kinds: list[tuple[float, float]],
) -> None:
    shares = _limited([duty for duty, _ in kinds], [quota for _, quota in kinds])

    assert sum(run for run, _ in shares) <= 1.0 + 1e-9
    for (duty, quota), (run, wait) in zip(kinds, shares, strict=True):
        assert run <= quota + 1e-9
        assert run / (1.0 - wait) == pytest.approx(duty, abs=0.008)  # noise of a minute


def test_a_guests_pool_is_shared_by_its_vcpus_wherever_they_sit() -> None:
    simulated = host(
        [
            guest("pooled", vcpus=3, affinity=((0,), (1,), (1,))),
            guest("other", (0,)),
        ],
        [StartWorkload(0, name, Duty(1.0, ms(0.5))) for name in ("pooled", "other")],
        pcpus=2,
    )
    simulated.guests["pooled"].tune({"global_quota": 102_000, "global_period": 100_000})

    (first, second, third, other) = (run for run, _ in _shares(simulated))

    # The emulator has 2 % of it. Unlimited the first would run 0.25, with a third of its guest's
    # weight beside the other guest, and the second and third 0.5 each.
    assert first + second + third == pytest.approx(1.0, abs=1e-6)
    assert second == pytest.approx(third)
    assert first == pytest.approx(0.2, abs=1e-6)
    assert other == pytest.approx(0.8, abs=1e-6)


def test_a_quota_elsewhere_makes_no_difference() -> None:
    # Loops of 0.5 ms are served in turn on pCPU 0, where a quota is not used up.
    def shares(quota_elsewhere: int) -> list[tuple[float, float]]:
        simulated = loops([0.3, 0.3, 1.0], [(0,), (0,), (1,)], pcpus=2)
        simulated.guests["g0"].tune({"vcpu_quota": 90_000})
        simulated.guests["g2"].tune({"vcpu_quota": quota_elsewhere})
        return _shares(simulated)

    assert shares(50_000)[:2] == shares(-1)[:2]
    assert shares(50_000)[2] == pytest.approx((0.5, 0.5), abs=1e-6)


def test_pools_link_the_pcpus_on_which_their_vcpus_sit() -> None:
    # Two guests across 0 and 1, and 2 and 3; a third one links both pairs.
    masks = [((0,), (1,)), ((2,), (3,)), ((1,), (2,))]
    simulated = host(
        [guest(f"g{n}", vcpus=2, affinity=own) for n, own in enumerate(masks)],
        [StartWorkload(0, f"g{n}", Duty(1.0, ms(0.5))) for n in range(3)],
        pcpus=4,
    )
    for each in simulated.guests.values():
        each.tune({"global_quota": 51_000})

    shares = _shares(simulated)

    for first, second in ((0, 1), (2, 3), (4, 5)):
        assert shares[first][0] + shares[second][0] == pytest.approx(0.5, abs=1e-6)


def test_pools_that_were_linked_already_count_each_pcpu_once() -> None:
    # a and b, and a and c, are linked by pCPUs 0 to 2 before all three meet on pCPU 3.
    masks = {"a": ((0,), (2,)), "b": ((1,), (2,)), "c": ((1,), (2,))}
    simulated = host(
        [guest(name, vcpus=2, affinity=own) for name, own in masks.items()],
        [StartWorkload(0, name, Duty(1.0, ms(50))) for name in masks],
        pcpus=3,
    )
    for each in simulated.guests.values():
        each.tune({"global_quota": 61_200})  # the emulator has 2 % of it

    shares = _shares(simulated)

    for first in (0, 2, 4):
        assert shares[first][0] + shares[first + 1][0] == pytest.approx(0.6, abs=1e-6)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_same_pcpus_are_linked_wherever_pools_lie_in_memory(order: tuple[int, ...]) -> None:
    masks = [((0,), (3,)), ((1,), (3,)), ((1,), (2,)), ((2,), (3,))]
    simulated = host([guest(f"g{n}", vcpus=2, affinity=own) for n, own in enumerate(masks)])
    # All are made before the first is dropped, so that their order in memory is that of `order`.
    pools = [Pool(0.5) for _ in order]
    pools.sort(key=id)
    for place, each in zip(order, simulated.guests.values(), strict=True):
        for vcpu in each.vcpus:
            vcpu.pool = pools[place]

    linked = _linked(simulated.scheduler.pcpus)

    assert [[pcpu.index for pcpu in own] for own in linked] == [[0, 3, 1, 2]]


def test_a_pool_is_kept_on_a_pcpu_that_only_a_siblings_load_concerns() -> None:
    simulated = host(
        [
            guest("pooled", vcpus=2, affinity=((1,), (2,))),
            guest("beside", (0,), noise=0.5),
        ],
        [
            StartWorkload(0, "pooled", Duty(1.0, ms(50))),
            StartWorkload(seconds(3), "beside", Duty(0.5, ms(50))),
        ],
        topology=paired(4),
    )
    simulated.guests["pooled"].tune({"global_quota": 102_000})
    ran_ns = 0
    for second in range(1, 11):
        simulated.advance(seconds(second))
        now_ns = sum(vcpu.run_ns() for vcpu in simulated.guests["pooled"].vcpus)
        assert now_ns - ran_ns <= NS_PER_S + 1_000
        ran_ns = now_ns


def test_quotas_come_and_go_with_events_and_a_stop_ends_them() -> None:
    simulated = host(
        [guest("g", (0,), tuning=(("vcpu_quota", 20_000),))],
        [
            StartWorkload(0, "g", Duty(1.0, ms(0.5))),
            TuneCpu(10 * NS_PER_S, "g", (("vcpu_period", 50_000),)),
            TuneCpu(20 * NS_PER_S, "g", (("vcpu_quota", -1),)),
        ],
    )

    assert [run_shares(simulated, 10)[0] for _ in range(3)] == pytest.approx([0.2, 0.4, 1.0])
    each = simulated.guests["g"]
    each.destroy()
    each.start()
    assert each.tuning == {"vcpu_quota": 20_000}


def test_a_batch_takes_as_long_as_its_quota_lets_it() -> None:
    simulated = host(
        [guest("g", (0,), tuning=(("vcpu_quota", 25_000),))],
        [StartWorkload(0, "g", Batch(NS_PER_S))],
    )
    ended = []
    simulated.on_event = lambda record: ended.append((record.kind, record.time_ns))

    simulated.advance(10 * NS_PER_S)

    assert dict(ended)["load_done"] == pytest.approx(4 * NS_PER_S, rel=1e-6)


def test_a_large_host_keeps_quotas_with_numpy_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")

    def figures() -> list[tuple[int, int]]:
        simulated = loops([0.3, 1.0, 0.05] * 100, [(n % 50,) for n in range(300)], pcpus=50)
        for number in range(0, 300, 7):
            simulated.guests[f"g{number}"].tune({"vcpu_quota": 20_000})
        for number in range(0, 300, 11):
            simulated.guests[f"g{number}"].tune({"cpu_shares": 300})
        for number in range(1, 60, 29):
            simulated.guests[f"g{number}"].tune({"global_quota": 10_000})
        simulated.advance(5 * NS_PER_S)
        vcpus = [vcpu for each in simulated.guests.values() for vcpu in each.vcpus]
        return [(vcpu.run_ns(), vcpu.delay_ns()) for vcpu in vcpus]

    with_numpy = figures()
    monkeypatch.setattr("virtlab.simulator.scheduler.numpy_or_none", lambda: None)

    assert figures() == with_numpy
