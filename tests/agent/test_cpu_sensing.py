from virtlab.agent.cpu_sensing import CpuSensor, VcpuReading
from virtlab.model.snapshot import VcpuKey
from virtlab.model.topology import flat
from virtlab.model.units import NS_PER_S

ANYWHERE = frozenset({0, 1})


def reading(run_s: float, delay_s: float, *, life: str = "1") -> VcpuReading:
    return VcpuReading(
        VcpuKey("vm", 0), life, round(run_s * NS_PER_S), round(delay_s * NS_PER_S), ANYWHERE
    )


def test_shares_are_of_the_time_since_the_last_look() -> None:
    sensor = CpuSensor(flat(2, 1024))
    sensor.look(NS_PER_S, [reading(10.0, 5.0)])

    snapshot = sensor.look(3 * NS_PER_S, [reading(11.0, 5.5)])

    assert snapshot.interval_ns == 2 * NS_PER_S
    assert (snapshot.vcpus[0].run_share, snapshot.vcpus[0].delay_share) == (0.5, 0.25)


def test_what_just_came_has_no_figures() -> None:
    vcpu = CpuSensor(flat(2, 1024)).look(NS_PER_S, [reading(10.0, 5.0)]).vcpus[0]

    assert (vcpu.run_share, vcpu.delay_share) == (None, None)


def test_another_life_of_one_name_has_no_figures() -> None:
    sensor = CpuSensor(flat(2, 1024))
    sensor.look(NS_PER_S, [reading(10.0, 5.0)])

    assert sensor.look(2 * NS_PER_S, [reading(11.0, 5.0, life="2")]).vcpus[0].run_share is None


def test_counters_that_went_back_give_no_figures() -> None:
    sensor = CpuSensor(flat(2, 1024))
    sensor.look(NS_PER_S, [reading(10.0, 5.0)])

    assert sensor.look(2 * NS_PER_S, [reading(0.2, 0.0)]).vcpus[0].run_share is None


def test_who_was_away_for_a_look_comes_back_without_figures() -> None:
    sensor = CpuSensor(flat(2, 1024))
    sensor.look(NS_PER_S, [reading(10.0, 5.0)])
    sensor.look(2 * NS_PER_S, [])

    assert sensor.look(3 * NS_PER_S, [reading(11.0, 5.0)]).vcpus[0].run_share is None
