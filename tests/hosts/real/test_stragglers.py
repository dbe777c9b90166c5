"""What a playbook left running is ended, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtlab.hosts.real.stragglers import end_stragglers


def started(home: str) -> subprocess.Popen[bytes]:
    """Start what waits in a session of its own, as ansible-core's workers are."""
    environment = {**os.environ, "LAB_TEST_HOME": home}
    # It has its environment once it has said something: the kernel shows it late in execve.
    process = subprocess.Popen(
        ["sh", "-c", "echo up; read end"],
        env=environment,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    process = started("/another")
    yield process
    process.kill()
    process.communicate()


def test_processes_are_known_by_their_environment(
    tmp_path: Path, other: subprocess.Popen[bytes]
) -> None:
    home = str(tmp_path)
    straggler = started(home)

    assert end_stragglers("LAB_TEST_HOME", home)

    assert straggler.wait(10) == -signal.SIGKILL
    straggler.communicate()
    assert other.poll() is None


def test_where_there_is_none_nothing_is_done(tmp_path: Path) -> None:
    assert end_stragglers("LAB_TEST_HOME", str(tmp_path))
