"""A contribution outlives the way to another machine, and what is no contribution is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from virtlab.errors import InputError
from virtlab.fidelity.contribution import read_contribution, write_contribution
from virtlab.model.fidelity import (
    Act,
    Contribution,
    FidelityRun,
    Machine,
    NotRun,
    RunFigures,
    Settling,
    SizesOverTime,
    VcpuFigures,
)

FIGURES = RunFigures(
    times_ns=(0, 2_000_000_000),
    vcpus=(VcpuFigures("web", 0, 1, 40.125, None),),
    sizes=(SizesOverTime("web", 1024, (512, 600), (10, 20)),),
    settling=(Settling("phase 1", 2.5),),
    criteria={"balanced": "passed"},
)
RUN = FidelityRun(
    "a-test", "reference-c", 1, None, 1.5, {"web": 90_000},
    (Act(5, "web", 0, (1,), None), Act(9, "web", None, (), 600)), FIGURES, FIGURES, FIGURES,
)  # fmt: skip
CONTRIBUTION = Contribution(
    version=1,
    virtlab="0.1.0",
    date="2026-11-25",
    machine=Machine("A processor", 2, 4096, "6.1", "9.0.0", "QEMU 7.2.22", "qemu", True),
    outside_points_max=10.0,
    tests=30,
    not_run=(NotRun("cpu-1-all-on-one", "needs 4 pCPUs, and this host has 2"),),
    runs=(RUN, replace(RUN, number=2, disturbed="others took 40 %")),
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"

    write_contribution(path, CONTRIBUTION)

    assert read_contribution(path) == CONTRIBUTION
    lines = path.read_text().splitlines()
    assert sum('"scenario":"a-test"' in line for line in lines) == 2  # a line for each run


def _wrong_version(data: dict[str, Any]) -> None:
    data["version"] = 7


def _misspelt(data: dict[str, Any]) -> None:
    data["runs"][0]["real"]["vcpu"] = data["runs"][0]["real"].pop("vcpus")


def _too_short(data: dict[str, Any]) -> None:
    data["runs"][1]["simulated"]["sizes"][0]["unused_kib"].pop()


def _disordered(data: dict[str, Any]) -> None:
    data["runs"][0]["real"]["times_ns"] = [5, 5]


def _no_act(data: dict[str, Any]) -> None:
    data["runs"][0]["acts"][0]["memory_kib"] = 7


def _not_a_number(data: dict[str, Any]) -> None:
    data["runs"][0]["outside_percent"] = float("nan")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_wrong_version, "a contribution of version 7; this virtlab reads version 1"),
        (_misspelt, "runs.0.real.vcpus: "),
        (_too_short, "runs.1.simulated.sizes.0: its entries are not as many as the 2 moments"),
        (_disordered, "runs.0.real.times_ns: the moments are not in order"),
        (_no_act, "runs.0.acts.0: it is neither an affinity nor a size"),
        (_not_a_number, "runs.0.outside_percent: "),
    ],
)
def test_what_is_none_is_refused_with_its_place(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], None], says: str
) -> None:
    path = tmp_path / "mine.json"
    write_contribution(path, CONTRIBUTION)
    data = json.loads(path.read_text())
    spoil(data)
    path.write_text(json.dumps(data))

    with pytest.raises(InputError) as caught:
        read_contribution(path)

    assert says in str(caught.value)


def test_an_unknown_key_is_refused_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    for where in (("machine",), ("runs", 0), ("runs", 0, "real", "settling", 0)):
        write_contribution(path, CONTRIBUTION)
        data = json.loads(path.read_text())
        inner = data
        for key in where:
            inner = inner[key]
        inner["owner"] = "me"
        path.write_text(json.dumps(data))

        with pytest.raises(InputError, match="owner"):
            read_contribution(path)


def test_a_file_that_is_not_there_or_no_json_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_contribution(tmp_path / "nowhere.json")
    (tmp_path / "text").write_text("not { json")

    with pytest.raises(InputError, match="it is no JSON"):
        read_contribution(tmp_path / "text")
