from __future__ import annotations

import os
import subprocess
import sys

import pytest

from virtlab.subjects.one_core import one_core

SHOW = "import os; print(len(os.sched_getaffinity(0)))"


def test_within_it_children_have_one_core_and_afterwards_all_are_back() -> None:
    before = os.sched_getaffinity(0)

    with one_core():
        inside = os.sched_getaffinity(0)
        child = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True)

    assert len(inside) == 1
    assert inside <= before
    assert child.stdout == "1\n"
    assert os.sched_getaffinity(0) == before


def test_an_error_within_it_goes_through_and_the_cores_are_back() -> None:
    before = os.sched_getaffinity(0)

    with pytest.raises(OSError, match="the disk is full"), one_core():
        raise OSError("the disk is full")

    assert os.sched_getaffinity(0) == before
