"""`virtlab league`: what it prints, what it writes and how it exits."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]
VIRTLAB = Path(sys.executable).with_name("virtlab")
SHORT = ("league", "--policy", "greedy", "--policy", "even gain_min=0.02")

RAISES = """
from virtlab.model.plan import CpuPlan
from virtlab.model.snapshot import CpuSnapshot

class Raises:
    def decide(self, host: CpuSnapshot) -> CpuPlan:
        raise ValueError("on purpose")
"""


def test_a_league_is_printed_and_written(virtlab: Run, tmp_path: Path) -> None:
    done = virtlab(*SHORT, "--scenario", "cpu-1-all-on-one", "--seeds", "2", "--json")

    found = json.loads(done.stdout)
    folder = tmp_path / "virtlab-league"
    assert done.returncode == 0, done.stderr
    assert found["version"] == 1
    assert [one["name"] for one in found["league"]["entrants"]] == ["greedy", "even gain_min=0.02"]
    assert found["league"]["entrants"][1]["settings"]["gain_min"] == 0.02
    assert found["league"]["seeds"] == [1001, 1002]
    assert len(found["league"]["bouts"]) == 4
    assert found["rows"][0]["optimum"]["moves"] == 6
    assert json.loads((folder / "league.json").read_text()) == found
    rows = list(csv.DictReader((folder / "runs.csv").read_text().splitlines()))
    assert {row["policy"] for row in rows} == {"greedy", "even gain_min=0.02", "could be had"}
    assert "### cpu-1-all-on-one: Eight equal guests, all on pCPU 0" in (
        folder / "table.md"
    ).read_text(encoding="utf-8")


def test_a_policy_that_fails_is_named_and_the_exit_code_says_so(
    virtlab: Run, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(RAISES)

    done = virtlab(*SHORT, "--policy", "mine.py", "--scenario", "cpu-8-bound", "--seeds", "1")

    assert done.returncode == 1
    assert "mine.py failed in 1 of 1: it raised ValueError at 0 s: on purpose" in done.stdout
    assert any(line.startswith("greedy ") for line in done.stdout.splitlines())


def test_an_unknown_family_is_answered_with_the_nearest(virtlab: Run) -> None:
    done = virtlab("league", "--scenario", "noise-onli")

    assert done.returncode == 2
    assert "There is no scenario or family noise-onli" in done.stderr
    assert "did you mean noise-only?" in done.stderr


def test_policies_of_one_kind_on_scenarios_of_another_are_refused(virtlab: Run) -> None:
    done = virtlab("league", "--policy", "even", "--scenario", "sawtooth")

    assert done.returncode == 2
    assert "none of these policies decides anything on any of these scenarios" in done.stderr


def test_an_interrupted_league_goes_on_with_resume(virtlab: Run, tmp_path: Path) -> None:
    wanted = [*SHORT, "--scenario", "cpu-6-idle", "--seeds", "200", "--jobs", "2"]
    playing = subprocess.Popen(
        [VIRTLAB, *wanted], cwd=tmp_path, env=os.environ, stderr=subprocess.PIPE, text=True
    )
    journal = tmp_path / "virtlab-league" / "contests.jsonl"
    while not journal.exists() or journal.read_text().count("\n") < 3:
        assert playing.poll() is None
    playing.send_signal(signal.SIGINT)
    said = playing.communicate()[1]

    kept = journal.read_text().splitlines()
    again = virtlab(*wanted[:-4], "--seeds", "3", "--resume", "--json")

    assert playing.returncode == 130
    assert "the same command with --resume goes on" in said
    assert "Traceback" not in said
    assert again.returncode == 0, again.stderr
    assert journal.read_text().splitlines()[: len(kept)] == kept
