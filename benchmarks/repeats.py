"""Twenty gradings, ten with one job and ten with two: the same bytes."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path

from benchmarks.commands import REFERENCE, VIRTLAB, environment
from benchmarks.figure import Figure

REPEATS = 20


def identical() -> list[Figure]:
    seen = set()
    with tempfile.TemporaryDirectory() as name:
        for number in range(REPEATS):
            out = Path(name) / str(number)
            jobs = str(1 + number % 2)
            command = [str(VIRTLAB), "grade", str(REFERENCE), "--out", str(out), "--jobs", jobs]
            subprocess.run(command, env=environment(), capture_output=True, check=True)
            seen.add(digest(out))
    return [Figure(f"different results in {REPEATS} gradings", len(seen) - 1, "", 0)]


def digest(out: Path) -> str:
    digest = hashlib.sha256()
    for pattern in ("*/verdict.json", "*/runs/*/timeline.json"):
        for path in sorted(out.glob(pattern)):
            digest.update(path.relative_to(out).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
