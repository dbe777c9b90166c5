from virtlab.model.plan import CpuPlan, MemoryPlan, Pin, Resize
from virtlab.model.snapshot import VcpuKey


def test_plans_of_both_kinds_can_be_made_and_compared() -> None:
    pin = Pin(VcpuKey("a", 0), frozenset({1}))

    assert CpuPlan((pin,)) == CpuPlan((pin,), because="")
    assert MemoryPlan((Resize("a", 1024),)).actions[0].memory_kib == 1024
    assert MemoryPlan(because="nothing to do") != MemoryPlan()
