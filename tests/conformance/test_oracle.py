"""The same calls to a real libvirtd and to the simulated host: same answers, or a reason why not.

The reasons stand in docs/reference/libvirt.md, as a table of labels of `oracle_calls.py`.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_DOCUMENT = _HERE.parents[1] / "docs" / "reference" / "libvirt.md"
_SHARES_OF_V2 = 100


def answers_of(uri: str) -> dict[str, Any]:
    done = subprocess.run(
        ["/usr/bin/python3", str(_HERE / "oracle_calls.py"), uri],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def documented() -> list[str]:
    """Return the patterns of labels in the table of differences."""
    text = _DOCUMENT.read_text().partition("## Where it differs")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [pattern.strip("` ") for row in rows for pattern in row.split(",")]


def twin(build: Any, real: dict[str, Any]) -> Any:
    """Return a host without guests that has the real one's pCPUs and cgroups."""
    shares = real["on: schedulerParameters 0"][1]["cpu_shares"]
    described = build.scenario(
        pcpus=real["getCPUMap"][1][0],
        cgroup_version=2 if shares == _SHARES_OF_V2 else 1,
        stats_before_period="missing",
    )
    return dataclasses.replace(described, guests=(), events=())


def test_answers_and_errors_are_a_real_hosts_or_documented(
    make_lab: Callable[..., Any], build: Any, real_uri: str
) -> None:
    real = answers_of(real_uri)
    lab = make_lab(twin(build, real))

    simulated = answers_of(lab.uri)

    patterns = documented()
    different = {
        label: (real.get(label), simulated.get(label))
        for label in sorted(real.keys() | simulated.keys())
        if real.get(label) != simulated.get(label)
        and not any(fnmatch.fnmatchcase(label, pattern) for pattern in patterns)
    }
    assert different == {}
    assert len(real) > 900
    assert sum(answer[0] == "error" for answer in real.values()) > 400
