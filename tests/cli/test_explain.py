from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_criterion_is_explained_with_a_picture(virtlab: Run) -> None:
    done = virtlab("explain", "stable")

    assert done.returncode == 0
    assert "Programs that fail it: swaps-for-ever" in done.stdout
    assert "    aos_vm2  0 . . 2 0 2 0 2 0 2 0        goes to and fro" in done.stdout


def test_a_scenario_is_explained_with_its_loads_and_criteria(virtlab: Run) -> None:
    done = virtlab("explain", "cpu-7-load-changes", env={"PYTHONUTF8": "1"})

    assert "  aos_vm3 |▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃▃|" in done.stdout
    assert "  stable: no effective change of an affinity" in done.stdout
    assert "Try it: virtlab run cpu-7-load-changes PROGRAM" in done.stdout


def test_an_explanation_can_be_had_as_json(virtlab: Run) -> None:
    content = json.loads(virtlab("explain", "balanced", "--json").stdout)

    assert content["version"] == 1
    assert content["catches"]


def test_a_misspelt_name_gets_the_nearest_one(virtlab: Run) -> None:
    done = virtlab("explain", "balancd")

    assert done.returncode == 2
    assert "fix: did you mean balanced?" in done.stderr
