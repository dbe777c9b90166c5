"""Playbooks against a simulated host, which serves them in real time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtlab.resources import playbooks_dir

BIN = Path(sys.executable).parent
Play = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a host with eight guests of its own; give its URI."""
    folder = tmp_path_factory.mktemp("host")
    command = [BIN / "virtlab", "serve", "cpu-1-all-on-one", "--socket", folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    uri = process.stdout.readline().strip()
    assert uri.startswith("qemu+unix:")
    yield uri
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture
def play(tmp_path: Path, host: str) -> Play:
    """Give a way to run a playbook on that host, from a copy of all playbooks; None unsets one."""
    folder = tmp_path / "playbooks"
    shutil.copytree(playbooks_dir(), folder)

    def run(
        playbook: str, *words: str, **variables: str | None
    ) -> subprocess.CompletedProcess[str]:
        given: dict[str, str | None] = {
            "guests_uri": host, "guests_wait_s": "0", "guests_serial_folder": "",
            "guests_kernel": "/boot/vmlinuz", "guests_initramfs": "/boot/initrd.img", **variables,
        }  # fmt: skip
        settings = [f"{name}={value}" for name, value in given.items() if value is not None]
        assigned = [word for setting in settings for word in ("-e", setting)]
        return subprocess.run(
            [BIN / "ansible-playbook", playbook, *assigned, *words],
            cwd=folder, capture_output=True, text=True, timeout=300,
            env={**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_NOCOLOR": "1"},
        )  # fmt: skip

    return run


def changes(done: subprocess.CompletedProcess[str]) -> int:
    """Return how many tasks changed something, of a play that did not fail."""
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"changed=(\d+) .*failed=0", done.stdout)
    assert found is not None, done.stdout
    return int(found[1])


def virsh(host: str, *words: str) -> str:
    """Return what virsh says, of a call that worked."""
    command = ["virsh", "--connect", host, "--quiet", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
