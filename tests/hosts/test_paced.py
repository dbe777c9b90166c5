"""Serving in real time: the clock's pace, and a server process that comes and goes cleanly."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from virtlab.hosts.simulated.paced import PacedClock
from virtlab.model.units import ms, seconds
from virtlab.resources import testcases_dir as shipped_cases

SCENARIO = str(next(iter(sorted((shipped_cases() / "cpu").glob("*.yaml")))))


def test_virtual_time_follows_the_machines_clock_at_its_pace() -> None:
    machine_ns = 5_000
    reached: list[int] = []
    clock = PacedClock(10, reached.append, lambda: machine_ns)

    machine_ns += ms(50)
    clock.charge(123)
    clock.catch_up()
    machine_ns += ms(1)
    clock.catch_up()

    assert reached == [ms(500), ms(510)]
    assert clock.now_ns == ms(510)


def test_a_machine_that_slept_catches_up_in_slices() -> None:
    machine_ns = 0
    reached: list[int] = []
    clock = PacedClock(1, reached.append, lambda: machine_ns)

    machine_ns = seconds(1500)
    for _ in range(4):
        clock.catch_up()

    assert reached == [seconds(600), seconds(1200), seconds(1500)]


def virtlab(*words: str) -> subprocess.Popen[str]:
    script = (
        "import sys, typer\n"
        "from virtlab.cli.serve import serve, shell\n"
        "app = typer.Typer()\n"
        "app.command()(serve)\n"
        "app.command()(shell)\n"
        "app()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_tells_its_uri_answers_and_leaves_no_socket_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    server = virtlab("serve", SCENARIO, "--socket", str(tmp_path / "new"), "--pace", "10")
    assert server.stdout is not None
    try:
        first = server.stdout.readline()
        second = server.stdout.readline()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "new" / "libvirt-sock"))
            client.sendall(struct.pack(">IIIiIII", 28, 0x20008086, 1, 66, 0, 1, 0))
            answer = client.recv(100)
    finally:
        os.kill(server.pid, number)
        _, errors = server.communicate(timeout=20)

    assert first == f"qemu+unix:///system?socket={tmp_path}/new/libvirt-sock\n"
    assert second == f"read-only: qemu+unix:///system?socket={tmp_path}/new/libvirt-sock-ro\n"
    assert answer[24:] == struct.pack(">III", 0, 1, 0)  # done: one way to log in, none
    assert server.returncode == 0, errors
    assert list((tmp_path / "new").iterdir()) == []


def test_shell_makes_the_system_connection_mean_the_scenarios_host() -> None:
    command = ("virsh", "-c", "qemu:///system", "list", "--name")
    done = virtlab("shell", SCENARIO, "--", *command)
    output, errors = done.communicate(timeout=20)

    assert done.returncode == 0, errors
    assert "aos_vm1" in output.split()
    assert "qemu:///system is the simulated host, by " in errors


def test_shell_exits_as_its_command_does() -> None:
    done = virtlab("shell", SCENARIO, "--", "sh", "-c", "exit 7")
    done.communicate(timeout=20)

    assert done.returncode == 7
