"""What two SMT siblings take from each other, against the exact answer."""

from __future__ import annotations

from itertools import combinations_with_replacement, product

import pytest
from small_hosts import guest, host, loops, paired, run_shares

from virtlab.model.scenario import StartWorkload
from virtlab.model.units import NS_PER_S, ms
from virtlab.model.workload import Batch, Duty

numpy = pytest.importorskip("numpy")

_DUTIES = (0.05, 0.3, 0.5, 0.7, 0.9)


def _exactly(one: float, other: float, smt_yield: float) -> tuple[float, float]:
    """Return the utilisation of two threads with one loop each, of exponential rounds.

    A loop ends its work at a rate of speed / duty and its sleep at 1 / (1 - duty); its speed is 1
    beside an idle thread and half the yield beside a busy one: a Markov chain of four states.
    """
    states = list(product((0, 1), repeat=2))
    flow = numpy.zeros((4, 4))
    for state in states:
        for at, duty in enumerate((one, other)):
            speed = smt_yield / 2 if state[1 - at] else 1.0
            rate = speed / duty if state[at] else 1 / (1 - duty)
            then = tuple(value ^ (place == at) for place, value in enumerate(state))
            flow[states.index(state), states.index(state)] -= rate
            flow[states.index(then), states.index(state)] += rate
    flow[0] = 1.0  # the chances add up to 1, in place of one equation too many
    law = dict(zip(states, numpy.linalg.solve(flow, [1.0, 0.0, 0.0, 0.0]), strict=True))
    return (law[1, 0] + law[1, 1], law[0, 1] + law[1, 1])


@pytest.mark.parametrize(("smt_yield", "points"), [(1.0, 0.020), (1.15, 0.013), (1.6, 0.002)])
def test_two_loops_on_siblings_are_near_the_exact_answer(smt_yield: float, points: float) -> None:
    for one, other in combinations_with_replacement(_DUTIES, 2):
        topology = paired(2, smt_yield=smt_yield)
        simulated = loops([one, other], [(0,), (1,)], pcpus=2, topology=topology)

        # Over 200 s noise is down to a tenth of a point.
        assert run_shares(simulated, 200) == pytest.approx(
            _exactly(one, other, smt_yield), abs=points + 0.002
        )


def test_the_exact_answer_is_the_duty_where_siblings_do_not_matter() -> None:
    assert _exactly(0.3, 0.5, 2.0) == pytest.approx((0.3, 0.5))


@pytest.mark.parametrize(("pcpus", "ends_s"), [((0, 2), 5.0), ((0, 1), 5.0 / (1.15 / 2))])
def test_busy_siblings_do_the_yield_of_a_core(pcpus: tuple[int, int], ends_s: float) -> None:
    simulated = host(
        [guest(f"g{n}", (pcpu,)) for n, pcpu in enumerate(pcpus)],
        [StartWorkload(0, f"g{n}", Batch(5 * NS_PER_S)) for n in range(2)],
        pcpus=4,
        topology=paired(4),
    )
    ended: list[float] = []
    simulated.on_event = lambda e: ended.append(e.time_ns / 1e9) if e.kind == "load_done" else None

    simulated.advance(20 * NS_PER_S)

    assert ended == pytest.approx([ends_s, ends_s])


def test_a_batch_goes_on_faster_when_its_sibling_falls_idle() -> None:
    simulated = host(
        [guest("short", (0,)), guest("long", (1,))],
        [
            StartWorkload(0, "short", Batch(NS_PER_S)),
            StartWorkload(0, "long", Batch(3 * NS_PER_S)),
        ],
        pcpus=2,
        topology=paired(2, smt_yield=1.0),
    )
    ended: list[tuple[str | None, float]] = []
    simulated.on_event = lambda e: (
        ended.append((e.guest, e.time_ns / 1e9)) if e.kind == "load_done" else None
    )

    simulated.advance(20 * NS_PER_S)

    # Half a second of work each second for two; then the other two seconds of work alone.
    assert ended == [("short", pytest.approx(2.0)), ("long", pytest.approx(4.0))]


def test_a_sibling_that_is_busy_all_the_time_slows_a_loop_to_half_the_yield() -> None:
    simulated = loops([1.0, 0.3], [(0,), (1,)], pcpus=2, topology=paired(2))

    busy, loop = run_shares(simulated, 400)

    works = 0.3 / (1.15 / 2)
    assert busy == 1.0
    assert loop == pytest.approx(works / (works + 0.7), abs=0.003)


def _beside_a_quota(quota: float, *, duty: float = 1.0) -> list[float]:
    """Return what a loop with a quota and a busy sibling work in a second, over some minutes."""
    simulated = loops([duty, 1.0], [(0,), (1,)], pcpus=2, topology=paired(2))
    simulated.guests["g0"].tune({"vcpu_quota": round(quota * 100_000)})
    runs = run_shares(simulated, 200)
    speeds = [each.vcpus[0].speed for each in simulated.guests.values()]
    return [run * speed for run, speed in zip(runs, speeds, strict=True)]


@pytest.mark.parametrize("quota", [0.2, 0.5, 0.8])
def test_a_throttled_vcpu_leaves_its_core_to_its_sibling(quota: float) -> None:
    limited, busy = _beside_a_quota(quota)

    assert limited == pytest.approx(quota * 1.15 / 2, abs=1e-4)
    # Alone for the rest of the time.
    assert busy == pytest.approx(1.0 - quota * (1.0 - 1.15 / 2), abs=1e-4)


def test_a_quota_that_is_not_used_up_leaves_siblings_as_they_are() -> None:
    without = loops([0.3, 1.0], [(0,), (1,)], pcpus=2, topology=paired(2))
    limited = loops([0.3, 1.0], [(0,), (1,)], pcpus=2, topology=paired(2))
    limited.guests["g0"].tune({"vcpu_quota": 90_000})

    assert run_shares(limited, 60) == run_shares(without, 60)


def test_a_pool_that_is_used_up_on_one_core_speeds_up_another() -> None:
    # A guest's vCPUs on pCPUs 0 and 2 have half a pCPU together; 1 and 3 are busy beside them.
    simulated = host(
        [guest("pooled", vcpus=2, affinity=((0,), (2,))), guest("a", (1,)), guest("b", (3,))],
        [StartWorkload(0, name, Duty(1.0, ms(0.5))) for name in ("pooled", "a", "b")],
        pcpus=4,
        topology=paired(4),
    )
    simulated.guests["pooled"].tune({"global_quota": 51_000, "global_period": 100_000})

    simulated.advance(10 * NS_PER_S)

    for name in ("a", "b"):
        speed = simulated.guests[name].vcpus[0].speed
        assert speed == pytest.approx(1.0 - 0.25 * (1.0 - 1.15 / 2), abs=1e-3)
