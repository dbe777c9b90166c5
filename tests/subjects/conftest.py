from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from virtlab.subjects.clock_library import clock_library
from virtlab.subjects.sandbox import Sandbox, find_sandbox
from virtlab.subjects.work_directory import make_work_directory


@pytest.fixture
def work() -> Iterator[Path]:
    """Give a folder that the sandbox's user can reach; pytest's own folders are private."""
    folder = make_work_directory()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["all layers", "no bubblewrap", "no bubblewrap and no cgroups"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Give each of the sandboxes that a machine may have; the first is what works here."""
    layers = str(request.param)
    return find_sandbox(bubblewrap=layers == "all layers", cgroups="no cgroups" not in layers)


@pytest.fixture
def bubblewrap() -> Sandbox:
    """Give the sandbox with bubblewrap; skip where it cannot run."""
    found = find_sandbox()
    if found.bubblewrap is None:
        pytest.skip("bubblewrap cannot run here")
    return found


# What the tests of the clock share lies beside them.
if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))

from clock_lab import Lab, Run, run_program  # noqa: E402

_CASES = Path(__file__).parent / "programs" / "clock_cases.c"


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clock_library(tmp_path_factory.mktemp("clock-cache"))


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> str:
    program = tmp_path_factory.mktemp("programs") / "clock_cases"
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", _CASES, "-o", program],
        check=True,
    )
    return str(program)


@pytest.fixture
def lab(library: Path, tmp_path: Path) -> Lab:
    def run(*command: str, end_s: float | None = None, environment: Mapping[str, str] = {}) -> Run:
        return run_program(library, tmp_path, command, end_s, environment)

    return run
