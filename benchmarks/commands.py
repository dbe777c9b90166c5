"""Whole commands, from the shell to the verdict, as a user runs them."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "examples" / "submissions" / "reference-c"
VIRTLAB = Path(sys.executable).with_name("virtlab")


def environment() -> dict[str, str]:
    """A user's environment: Python may keep its compiled modules."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def timed(command: list[str], runs: int) -> list[float]:
    spans = []
    for run in range(runs + 1):
        began = time.perf_counter()
        done = subprocess.run(command, env=environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        if run:  # the first warms caches up
            spans.append(time.perf_counter() - began)
    return spans


def rubric() -> list[Figure]:
    with tempfile.TemporaryDirectory() as out:
        command = [
            str(VIRTLAB),
            "grade",
            str(REFERENCE),
            "--out",
            out,
            "--overwrite",
            "--jobs",
            "2",
        ]
        spans = timed(command, 7)
    note = f"{min(spans):.2f} to {max(spans):.2f} s"
    return [
        Figure("rubric, reference-c, two jobs", statistics.median(spans), "s", 2.4, 1.2, note=note)
    ]


def one_test() -> list[Figure]:
    figures = []
    for scenario in ("cpu-1-all-on-one", "memory-1-one-consumes"):
        spans = timed([str(VIRTLAB), "run", scenario, str(REFERENCE)], 9)
        note = f"{min(spans):.2f} to {max(spans):.2f} s"
        figures.append(
            Figure(f"one test, {scenario}", statistics.median(spans), "s", 0.6, 0.3, note=note)
        )
    return figures
