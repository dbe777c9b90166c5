from dataclasses import replace

from virtlab.league.cpu_run import run_scheduler
from virtlab.model.plan import CpuPlan, Pin
from virtlab.model.scenario import TuneCpu
from virtlab.model.snapshot import CpuSnapshot, VcpuKey
from virtlab.model.units import NS_PER_MS, NS_PER_S
from virtlab.policies.scheduling.at_random import AtRandom
from virtlab.scenario import find_scenario


class Script:
    """Returns one plan at one tick, and remembers what it saw."""

    def __init__(self, *pins: Pin, tick: int = 1) -> None:
        self.seen: list[CpuSnapshot] = []
        self._pins, self._tick = pins, tick

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        self.seen.append(host)
        return CpuPlan(self._pins if len(self.seen) - 1 == self._tick else ())


def test_the_policy_sees_ticks_of_run_time_exact_delay_and_nothing_at_the_first_look() -> None:
    script = Script()

    run_scheduler(find_scenario("cpu-1-all-on-one"), script)

    first, second = script.seen[0].vcpus, script.seen[1].vcpus
    assert {v.run_share for v in first} == {None}
    for vcpu in second:
        assert round((vcpu.run_share or 0.0) * 100) == (vcpu.run_share or 0.0) * 100
        assert 0.35 < (vcpu.delay_share or 0.0) < 0.5
        assert vcpu.pcpus == {0}
    assert len(script.seen) == 30


def test_pins_take_effect_one_call_after_the_other() -> None:
    pins = [Pin(VcpuKey(f"aos_vm{n}", 0), frozenset({n % 4})) for n in range(1, 9)]

    timeline = run_scheduler(find_scenario("cpu-1-all-on-one"), Script(*pins))

    times = [pin.time_ns - NS_PER_S for pin in timeline.pins]
    assert times == [n * NS_PER_MS // 10 for n in range(2, 10)]
    assert [pin.effective for pin in timeline.pins].count(False) == 2  # two stay on pCPU 0


def test_pins_of_nobody_and_to_nowhere_change_nothing() -> None:
    script = Script(
        Pin(VcpuKey("nobody", 0), frozenset({1})),
        Pin(VcpuKey("aos_vm1", 7), frozenset({1})),
        Pin(VcpuKey("aos_vm1", 0), frozenset({64})),
    )

    assert run_scheduler(find_scenario("cpu-1-all-on-one"), script).pins == ()


def test_a_quota_is_shown_as_a_cap() -> None:
    scenario = find_scenario("cpu-3-balanced")
    quota = TuneCpu(0, "aos_vm1", (("vcpu_quota", 10_000), ("cpu_shares", 2048)))
    script = Script()

    run_scheduler(replace(scenario, events=(quota, *scenario.events)), script)

    limited = script.seen[1].vcpus[0]
    assert (limited.cap_share, limited.weight) == (0.1, 2048)
    assert script.seen[1].vcpus[1].cap_share is None


def test_the_memory_of_a_guest_is_known_where_its_description_says_so() -> None:
    script = Script()

    run_scheduler(find_scenario("topology-1-near-memory"), script)

    cells = {v.key.guest: v.memory_cells for v in script.seen[0].vcpus}
    assert (cells["aos_vm1"], cells["aos_vm2"]) == ({0}, {1})


def test_the_same_seed_gives_the_same_timeline() -> None:
    scenario = find_scenario("cpu-7-load-changes")

    one, other = (run_scheduler(scenario, AtRandom(), seed=3) for _ in range(2))

    assert one == other
