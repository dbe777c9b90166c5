"""The laws held against runs of real guests: recorded on two emulating pCPUs, others at work too.

How others disturbed them bends CPU shares; memory does not mind.
"""

from __future__ import annotations

from pathlib import Path

from virtlab.fidelity.campaign import compare_files

RECORDED = Path(__file__).with_name("recorded.json")


def test_memory_goes_the_way_of_real_guests_to_which_the_same_was_done() -> None:
    (machine,) = compare_files([RECORDED])

    (memory,) = [one for one in machine.distances if one.scenario == "memory-1-one-consumes"]
    assert len(memory.sizes) == 4
    for guest in memory.sizes:
        assert guest.balloon_percent_same_acts <= 0.2
        assert guest.unused_percent_same_acts <= 0.5
    # The program decides for itself on each host, and its rounds begin at other moments.
    assert memory.balloon_percent is not None
    assert memory.balloon_percent <= 3
    assert memory.unused_percent is not None
    assert memory.unused_percent <= 3
    assert all(memory.verdicts.values())
