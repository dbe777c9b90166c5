"""Measure what the project promises about speed, and print it beside its budget.

    python -m benchmarks [--only NAME] [--json]

Figures in seconds are budgets on a machine with two cores; ratios compare two things in one run.
The exit code is 1 where a budget is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from benchmarks import (
    cloud_guests,
    commands,
    coordination,
    duty,
    elsewhere,
    fuzz,
    guests,
    league,
    linux,
    policies,
    proxy,
    repeats,
    roundtrip,
    scale,
    simulator,
)
from benchmarks.figure import Figure

MEASURES = {
    "rubric": commands.rubric,
    "one-test": commands.one_test,
    "round-trip": roundtrip.against_libvirtd,
    "proxy": proxy.per_call,
    "simulator": simulator.speed,
    "scale": scale.growth,
    "fuzz": fuzz.a_million,
    "repeats": repeats.identical,
    "elsewhere": elsewhere.identical,
    "linux": linux.against_the_law,
    "guests": guests.ready,
    "cloud-guests": cloud_guests.ratio,
    "duty": duty.achieved,
    "policies": policies.scheduler,
    "coordination": coordination.figures,
    "league": league.rates,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=sorted(MEASURES), help="measure one thing alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures: list[Figure] = []
    for name, measure in MEASURES.items():
        if options.only in (None, name):
            print(f"measuring {name} ...", file=sys.stderr)
            figures += measure()
    if options.json:
        print(json.dumps({"version": 1, "figures": [asdict(f) for f in figures]}, indent=2))
    else:
        print(f"{'measure':<44} {'median':>10} {'budget':>10} {'aim':>10}")
        for figure in figures:
            print(figure.row())
    sys.exit(any(figure.missed for figure in figures))


if __name__ == "__main__":
    main()
