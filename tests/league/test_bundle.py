"""A bundle holds everything that it takes to get the same table again, byte for byte."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from league_lab import plan

from virtlab.errors import InputError, UsageError
from virtlab.league.bundle import files_of_users, reproduced, write_bundle
from virtlab.league.season import held
from virtlab.league.standings import table_of
from virtlab.model.league import League, Table

POLICY = """
from virtlab.model.plan import CpuPlan, Pin
from virtlab.model.snapshot import CpuSnapshot


class Spread:
    def decide(self, host: CpuSnapshot) -> CpuPlan:
        pcpus = len(host.pcpus)
        return CpuPlan(
            tuple(Pin(v.key, frozenset({n % pcpus})) for n, v in enumerate(host.vcpus))
        )
"""
SCENARIO = """
schema_version: 1
id: traced
title: One guest that follows a trace
why: none
program: vcpu_scheduler
host: {pcpus: 2, memory_mib: 4096}
guests:
  - {name: a, memory_mib: 512, start_on: [0], load: {trace: night.csv}}
  - {name: b, memory_mib: 512, start_on: [0], load: {duty: 0.4}}
run: {duration_s: 12, interval_s: 1}
criteria: [{name: no-crash}]
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with a policy, a scenario and its trace, and go there."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "mine.py").write_text(POLICY)
    (tmp_path / "lab" / "traced.yaml").write_text(SCENARIO)
    (tmp_path / "lab" / "night.csv").write_text("time_s,cpu\n0,0.2\n5,0.7\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def wanted() -> League:
    return plan(["even", "mine.py:Spread"], ["cpu-1-all-on-one", "lab/traced.yaml"], (1, 2))


def played() -> tuple[Table, dict[str, bytes]]:
    league = wanted()
    return table_of(held(league, jobs=1)), files_of_users(league)


def test_the_code_in_a_bundle_gives_the_same_bytes_in_another_process(mine: Path) -> None:
    table, inputs = played()
    write_bundle(mine / "league.zip", table, inputs)
    elsewhere = mine / "elsewhere"
    with zipfile.ZipFile(mine / "league.zip") as bundle:
        bundle.extractall(elsewhere)

    done = subprocess.run(
        [
            *(sys.executable, "-m", "virtlab.cli.main", "league", "--jobs", "2"),
            *("--reproduce", mine / "league.zip"),
        ],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(elsewhere / "source" / "toolkit")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "league.json: the same bytes",
        "runs.csv: the same bytes",
        "table.md: the same bytes",
    ]
    assert "differs" not in done.stderr


def test_equal_leagues_make_equal_bundles_that_hold_the_users_files(mine: Path) -> None:
    for name in ("one.zip", "two.zip"):
        (mine / name).mkdir()
        write_bundle(mine / name / "league.zip", *played())

    packed = [(mine / name / "league.zip").read_bytes() for name in ("one.zip", "two.zip")]
    assert packed[0] == packed[1]
    with zipfile.ZipFile(mine / "one.zip" / "league.zip") as bundle:
        inputs = [name for name in bundle.namelist() if name.startswith("inputs/")]
    assert inputs == ["inputs/lab/night.csv", "inputs/lab/traced.yaml", "inputs/mine.py"]


def test_a_table_that_does_not_come_out_is_told_with_its_line(mine: Path) -> None:
    write_bundle(mine / "league.zip", *played())
    with zipfile.ZipFile(mine / "league.zip") as bundle:
        files = {name: bundle.read(name) for name in bundle.namelist()}
    seeds = json.loads(files["plan.json"])
    seeds["seeds"] = [1, 3]
    files["plan.json"] = json.dumps(seeds).encode()
    with zipfile.ZipFile(mine / "other.zip", "w") as bundle:
        for name, data in files.items():
            bundle.writestr(name, data)

    found = reproduced(mine / "other.zip", jobs=1)

    assert found.files["league.json"].startswith("line ")
    assert found.files["runs.csv"].startswith("line ")


def test_what_cannot_go_into_a_bundle_is_refused_before_anything_is_played(mine: Path) -> None:
    with pytest.raises(UsageError, match="lies outside of the current folder"):
        files_of_users(plan([f"{mine}/mine.py"], ["cpu-1-all-on-one"]))
    with pytest.raises(UsageError, match="is a module and no file"):
        files_of_users(plan(["mine:Spread"], ["cpu-1-all-on-one"]))


def test_what_is_no_bundle_is_refused(mine: Path) -> None:
    (mine / "empty.zip").write_bytes(b"")
    with zipfile.ZipFile(mine / "other.zip", "w") as bundle:
        bundle.writestr("a", b"")

    for name in ("empty.zip", "other.zip", "missing.zip"):
        with pytest.raises(InputError, match="is no bundle of a league"):
            reproduced(mine / name, jobs=1)
