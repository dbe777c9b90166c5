from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtlab.subjects.sandbox import Sandbox, find_sandbox, make_work_directory


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
