"""What every command has: help with an example and exit codes, and clean ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

VIRTLAB = Path(sys.executable).with_name("virtlab")
Run = Callable[..., "subprocess.CompletedProcess[str]"]
COMMANDS = [
    "grade",
    "run",
    "judge",
    "report",
    "explain",
    "new",
    "try",
    "pack",
    "serve",
    "shell",
    "doctor",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_shows_an_example_and_the_exit_codes(
    virtlab: Run, command: str
) -> None:
    done = virtlab(command, "--help")

    assert done.returncode == 0
    assert f"Example: virtlab {command}" in done.stdout
    assert "Exit codes: 0 full marks" in done.stdout


def test_the_version_is_told(virtlab: Run) -> None:
    from virtlab import __version__

    assert virtlab("--version").stdout == f"virtlab {__version__}\n"


def test_completion_can_be_shown_for_bash(virtlab: Run) -> None:
    done = virtlab("--show-completion", "bash")

    assert "_VIRTLAB_COMPLETE" in done.stdout


def test_an_unknown_command_is_wrong_usage(virtlab: Run) -> None:
    done = virtlab("grad")

    assert done.returncode == 2
    assert "grade" in done.stderr


def test_virsh_in_a_shell_sees_the_simulated_host(virtlab: Run) -> None:
    done = virtlab("shell", "cpu-1-all-on-one", "--", "virsh", "-c", "qemu:///system", "list")

    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()[2:] if line] == [
        f"aos_vm{number}" for number in (6, 2, 8, 1, 5, 3, 7, 4)
    ]


def test_a_served_host_answers_and_stops_cleanly(tmp_path: Path) -> None:
    sockets = tmp_path / "s"
    server = subprocess.Popen(
        [VIRTLAB, "serve", "memory-1-one-consumes", "--socket", sockets, "--pace", "10"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    uri = server.stdout.readline().strip()
    listed = subprocess.run(
        ["virsh", "-c", uri, "list", "--name"], capture_output=True, text=True, timeout=60
    )
    server.send_signal(signal.SIGINT)
    server.communicate(timeout=30)

    assert uri == f"qemu+unix:///system?socket={sockets / 'libvirt-sock'}"
    assert set(listed.stdout.split()) == {"aos_vm1", "aos_vm2", "aos_vm3", "aos_vm4"}
    assert server.returncode == 0
    assert not list(sockets.iterdir())


def test_given_a_full_disk_behind_stdout_then_that_is_said_and_is_not_our_bug() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [VIRTLAB, "scenarios", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 4
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
