"""What libvirt shows of a guest's memory, and how old it is."""

import pytest
from small_hosts import guest, host

from virtlab.model.scenario import StartWorkload
from virtlab.model.units import EPOCH_S, mib, seconds
from virtlab.model.workload import MemoryGrowth
from virtlab.simulator.host import SimulatedHost


def growing(**changes: object) -> SimulatedHost:
    load = StartWorkload(0, "g0", MemoryGrowth(mib(10), None))
    return host([guest("g0", (0,))], [load], **changes)  # type: ignore[arg-type]


def shown(simulated: SimulatedHost) -> dict[str, int]:
    return simulated.guests["g0"].memory.statistics(simulated.now_ns)


def test_until_a_period_is_set_the_boots_report_is_served_for_ever() -> None:
    simulated = growing()
    simulated.advance(seconds(10))

    assert shown(simulated)["unused"] == mib(190)
    assert shown(simulated)["last_update"] == EPOCH_S


def test_a_host_without_reports_before_the_period_shows_three_figures() -> None:
    simulated = growing(stats_before_period="missing")
    simulated.advance(seconds(3))
    before = set(shown(simulated))
    simulated.guests["g0"].set_stats_period(1)

    assert before == {"actual", "rss", "last_update"}
    assert "unused" in shown(simulated)


def test_setting_a_period_renews_at_once_and_then_at_each_tick() -> None:
    simulated = growing()
    simulated.advance(seconds(3.5))
    simulated.guests["g0"].set_stats_period(2)
    seen = []
    for moment in (3.5, 5.4, 5.6, 7.4, 7.6):
        simulated.advance(seconds(moment))
        seen.append((shown(simulated)["unused"] / 1024, shown(simulated)["last_update"] - EPOCH_S))

    assert seen == [
        (pytest.approx(155, abs=0.1), 3),
        (pytest.approx(155, abs=0.1), 3),
        (pytest.approx(135, abs=0.1), 5),
        (pytest.approx(135, abs=0.1), 5),
        (pytest.approx(115, abs=0.1), 7),
    ]


def test_a_period_of_zero_keeps_the_last_report() -> None:
    simulated = growing()
    simulated.guests["g0"].set_stats_period(1)
    simulated.advance(seconds(2))
    simulated.guests["g0"].set_stats_period(0)
    simulated.advance(seconds(9))

    assert shown(simulated)["unused"] / 1024 == pytest.approx(170, abs=0.1)


def test_the_balloons_size_is_live_in_the_statistics_and_late_in_the_info() -> None:
    simulated = growing()
    moved: list[int] = []
    simulated.on_balloon = lambda each: moved.append(each.memory.info_kib(simulated.now_ns))
    simulated.advance(seconds(1))
    memory = simulated.guests["g0"].memory

    simulated.guests["g0"].set_memory(mib(1024))
    simulated.advance(seconds(1.5))
    live_kib, told_kib = shown(simulated)["actual"], memory.info_kib(simulated.now_ns)
    simulated.advance(seconds(2.5))

    assert live_kib == mib(1024)
    assert told_kib == mib(512)
    assert memory.info_kib(simulated.now_ns) == mib(1024)
    assert moved == [mib(1024)]
