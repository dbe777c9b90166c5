"""The simulator alone: simulated seconds in one second of processor time."""

from __future__ import annotations

import statistics
import time

from benchmarks.figure import Figure
from virtlab.model.units import NS_PER_S
from virtlab.scenario import find_scenario
from virtlab.simulator.host import SimulatedHost

SIMULATED_S = 3000


def speed() -> list[Figure]:
    figures = []
    for name in ("cpu-1-all-on-one", "cpu-3-balanced", "cpu-4-unpinned", "cpu-6-idle"):
        rates = []
        for _ in range(5):
            host = SimulatedHost(find_scenario(name))
            began = time.process_time()
            host.advance(SIMULATED_S * NS_PER_S)
            rates.append(SIMULATED_S / (time.process_time() - began))
        figures.append(
            Figure(f"simulated s a second, {name}", statistics.median(rates), "", 10_000,
                   more_is_better=True)
        )  # fmt: skip
    return figures
