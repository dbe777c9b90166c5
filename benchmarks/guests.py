"""How soon guests are ready on a real host: from their definition to the answers of their agents.

Wants a host (`virtlab host up`) on which no guests of the lab are. Guests are brought up and
removed by the playbooks, as a user does it; what Ansible costs in between counts.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure
from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.guests import own_guests
from virtlab.hosts.real.playbooks import run_playbook

ROUNDS = 3
# Guests, seconds that they may take, seconds to aim for; of emulated guests on two pCPUs.
SIZES = ((1, 3.0, None), (4, 7.0, None), (8, 14.0, 10.0))
SCENARIO = """\
schema_version: 1
id: bench-guests
title: Guests to time
why: Measures how soon they are ready.
program: vcpu_scheduler
seed: 1
host: {pcpus: 2, memory_mib: 8192}
guests:
  - names: [NAMES]
    memory_mib: 512
run: {duration_s: 30, interval_s: 1}
criteria:
  - {name: no-crash}
"""
_BEGIN = "Define and start guests, and wait for their agents"
_END = "Wait for the agents of those that are left as they run"


def ready() -> list[Figure]:
    """Time guests from definition to ready, and their removal."""
    if (missing := lack()) is not None:
        return [Figure("guests ready", None, "s", note=missing)]
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for count, budget_s, aim_s in SIZES:
            rounds = [round_of(Path(folder), count) for _ in range(ROUNDS)]
            ups, downs = zip(*rounds, strict=True)
            note = f"{min(ups):.1f} to {max(ups):.1f} s"
            name = f"guests ready, {count}"
            figures.append(Figure(name, statistics.median(ups), "s", budget_s, aim_s, note=note))
            note = f"{min(downs):.1f} to {max(downs):.1f} s"
            name = f"guests removed, {count}"
            figures.append(Figure(name, statistics.median(downs), "s", note=note))
    return figures


def lack() -> str | None:
    """Return why it cannot be measured here."""
    try:
        with HostConnection() as connection:
            if guests := own_guests(connection):
                return f"{guests[0].name} is there: virtlab host clean removes guests of the lab"
    except EnvironmentLackError as err:
        return str(err)
    return None


def round_of(folder: Path, count: int) -> tuple[float, float]:
    """Return the seconds until all are ready, and those that their removal takes."""
    try:
        up_s = launch(folder, count)
    finally:
        down_s = remove(folder, count)
    return up_s, down_s


def launch(folder: Path, count: int) -> float:
    """Bring up `bench_vm1` and so on; return the seconds until all are ready."""
    return _span("launch.yml", _scenario(folder, count), _BEGIN, _END)


def remove(folder: Path, count: int) -> float:
    """Remove them; return the seconds that it takes."""
    return _span("teardown.yml", _scenario(folder, count), "Remove guests", None)


def _scenario(folder: Path, count: int) -> Path:
    scenario = folder / "scenario.yaml"
    names = ", ".join(f"bench_vm{number}" for number in range(1, count + 1))
    scenario.write_text(SCENARIO.replace("NAMES", names))
    return scenario


def _span(playbook: str, scenario: Path, begin: str, end: str | None) -> float:
    """Run a playbook; return the seconds from one task's begin to another's, or to its end."""
    moments: dict[str, float] = {}

    def note(task: str) -> None:
        moments.setdefault(task, time.monotonic())

    result = run_playbook(playbook, {"scenario": str(scenario)}, progress=note)
    if not result.good:
        raise SystemExit(f"{result.failed}: {result.reason}")
    ended = time.monotonic() if end is None else moments[end]
    return ended - moments[begin]
