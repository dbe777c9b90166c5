"""What `virtlab host` stands on: playbooks by ansible-runner, and the guests that are ours."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real import playbooks
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.guests import MARK, OwnGuest, own_guests, remove_guest
from virtlab.resources import playbooks_dir

from .conftest import virsh

PLAY = """\
- name: Try
  hosts: lab
  gather_facts: false
  tasks:
    - name: Leave a file
      ansible.builtin.copy: {dest: "{{ file }}", content: "x", mode: "0644"}
    - name: Fail where it is asked for
      ansible.builtin.fail: {msg: "no room on {{ file }}"}
      when: fails
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a small playbook in the place of the shipped ones."""
    (tmp_path / "inventory").mkdir()
    for name in ("inventory/localhost.yml", "ansible.cfg"):
        (tmp_path / name).write_text((playbooks_dir() / name).read_text())
    (tmp_path / "try.yml").write_text(PLAY)
    monkeypatch.setattr(playbooks, "playbooks_dir", lambda: tmp_path)
    return tmp_path


def test_a_playbook_tells_what_it_changed_and_why_it_failed(folder: Path) -> None:
    file = folder / "made"
    begun: list[str] = []
    result = playbooks.run_playbook(
        "try.yml", {"file": str(file), "fails": True}, progress=begun.append
    )
    assert file.read_text() == "x"
    assert begun == ["Leave a file", "Fail where it is asked for"]
    assert (result.changed, result.failed) == (["Leave a file"], "Fail where it is asked for")
    assert result.reason == f"no room on {file}"


def test_a_check_changes_nothing(folder: Path) -> None:
    variables = {"file": str(folder / "made"), "fails": False}
    result = playbooks.run_playbook("try.yml", variables, check=True)
    assert (result.good, result.changed) == (True, ["Leave a file"])
    assert not (folder / "made").exists()


def test_ctrl_c_ends_a_playbook_and_works_afterwards_too(folder: Path) -> None:
    play = PLAY + "    - name: Go on for ever\n      ansible.builtin.command: {cmd: sleep 600}\n"
    (folder / "try.yml").write_text(play)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def interrupt(task: str) -> None:
        if task == "Go on for ever":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        playbooks.run_playbook(
            "try.yml", {"file": str(folder / "made"), "fails": False}, progress=interrupt
        )

    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_playbook_that_cannot_begin_says_so(folder: Path) -> None:
    (folder / "try.yml").write_text("- hosts: [")
    result = playbooks.run_playbook("try.yml", {})
    assert not result.good
    assert result.reason


def test_only_the_labs_own_guests_are_found_and_removed(host: str) -> None:
    for name in ("marked", "foreign"):
        mark = f"<metadata><lab:guest xmlns:lab='{MARK}'/></metadata>" if name == "marked" else ""
        description = (
            f"<domain type='qemu'><name>{name}</name>{mark}<memory unit='MiB'>256</memory>"
            "<os><type arch='x86_64'>hvm</type></os></domain>"
        )
        command = ["virsh", "--connect", host, "create", "/dev/stdin"]
        subprocess.run(command, input=description, text=True, check=True, timeout=60)
    socket = Path(host.partition("socket=")[2])
    with HostConnection(socket) as connection:
        assert own_guests(connection) == [OwnGuest("marked", running=True)]
        remove_guest(connection, "marked")
        assert own_guests(connection) == []
    assert "foreign" in virsh(host, "list", "--name").split()
    virsh(host, "destroy", "foreign")


def test_a_host_that_does_not_answer_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLackError, match="libvirtd does not answer") as caught:
        HostConnection(tmp_path / "none")
    assert caught.value.fix == "virtlab host up, or virtlab doctor to see what is missing"
