"""The Vagrantfile as Vagrant itself reads it."""

from __future__ import annotations

import shutil
from typing import Any

import pytest


def test_vagrant_takes_the_vagrantfile_with_both_providers(vagrant: Any) -> None:
    done = vagrant("validate")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout


def test_a_bad_value_ends_every_command_with_one_line(vagrant: Any) -> None:
    done = vagrant("validate", VIRTLAB_CPUS="33")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "virtlab: VIRTLAB_CPUS=33: not a whole number from 1 to 32; fix: VIRTLAB_CPUS=4, or leave "
        "it out\n"
    )


@pytest.mark.skipif(shutil.which("VBoxManage") is not None, reason="VirtualBox is installed")
def test_a_provider_that_is_not_there_is_one_line(vagrant: Any) -> None:
    done = vagrant("up", "--provider=virtualbox")

    assert done.returncode == 1
    assert done.stderr == (
        "virtlab: VirtualBox is not installed (VBoxManage is not found); fix: install VirtualBox "
        "6.1 or newer\n"
    )
