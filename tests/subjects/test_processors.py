"""The processors that a program sees under the clock library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from virtlab.subjects.clock_library import clock_library

PROGRAM = """
import os
print(os.cpu_count(), sorted(os.sched_getaffinity(0)), os.sysconf("SC_NPROCESSORS_CONF"))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clock_library(tmp_path_factory.mktemp("clock-cache"))


def seen(library: Path, *command: str, pcpus: str | None) -> str:
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    if pcpus is not None:
        environment["VIRTLAB_PCPUS"] = pcpus
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_given_a_host_with_six_pcpus_then_python_sees_six(library: Path) -> None:
    told = seen(library, os.path.realpath(sys.executable), "-c", PROGRAM, pcpus="6")

    assert told == "6 [0, 1, 2, 3, 4, 5] 6"


def test_given_a_host_with_512_pcpus_then_nproc_sees_them(library: Path) -> None:
    assert seen(library, "nproc", pcpus="512") == "512"


@pytest.mark.parametrize("nonsense", [None, "", "none", "-3", "99999999999999999999"])
def test_given_no_number_then_the_machine_is_seen(library: Path, nonsense: str | None) -> None:
    assert seen(library, "nproc", pcpus=nonsense) == str(len(os.sched_getaffinity(0)))
