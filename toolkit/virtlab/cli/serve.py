"""`virtlab serve` and `virtlab shell`: a simulated host in real time, to look at and try out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from virtlab.hosts.simulated.paced import PacedHost

__all__ = ["serve", "shell"]

_SOCKET_PATH_MAX = 107  # bytes; sun_path of Linux, without its zero

_Scenario = Annotated[
    str, typer.Argument(help="Id of a shipped scenario, or the path of a file.", show_default=False)
]
_Pace = Annotated[
    float,
    typer.Option("--pace", min=0.001, max=1000.0, help="Virtual seconds in one real second."),
]


def serve(
    scenario: _Scenario,
    socket: Annotated[
        Path,
        typer.Option(
            "--socket", help="Folder for the sockets; made where missing.", show_default=False
        ),
    ],
    pace: _Pace = 1.0,
) -> None:
    """Serve a scenario's host in real time, until Ctrl-C.

    Example: virtlab serve cpu-1-all-on-one --socket /tmp/lab --pace 10
    """
    from virtlab.hosts.simulated.paced import PacedHost, stop_signals
    from virtlab.hosts.simulated.server import SOCKET_NAME, SOCKET_NAME_READ_ONLY
    from virtlab.scenario import find_scenario

    described = find_scenario(scenario)
    folder = _socket_folder(socket.absolute(), len(SOCKET_NAME_READ_ONLY))
    host = PacedHost(described, folder, pace=pace)
    try:
        with stop_signals(host):
            print(f"qemu+unix:///system?socket={folder / SOCKET_NAME}")
            print(f"read-only: qemu+unix:///system?socket={folder / SOCKET_NAME_READ_ONLY}")
            print(
                f"Serving {scenario} at {pace:g} virtual seconds a second; Ctrl-C stops it.",
                file=sys.stderr,
            )
            sys.stdout.flush()
            host.serve()
    finally:
        host.close()


def _socket_folder(folder: Path, name_bytes: int) -> Path:
    """Return the folder for sockets with names of so many bytes; it is made where missing."""
    if len(os.fsencode(folder)) + 1 + name_bytes > _SOCKET_PATH_MAX:
        raise UsageError(
            f"{folder} is too long: a socket's path has at most {_SOCKET_PATH_MAX} bytes.",
            fix="name a folder with a shorter path.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} can be no folder for sockets: {error.strerror or error}.",
            fix="name a folder that you may write to.",
        ) from error
    return folder


def shell(
    scenario: _Scenario,
    command: Annotated[
        list[str] | None,
        typer.Argument(help="A command instead of your shell, after --.", show_default=False),
    ] = None,
    pace: _Pace = 1.0,
) -> None:
    """Open a shell in which qemu:///system is a scenario's host, in real time.

    Exits as the shell does. Example: virtlab shell cpu-1-all-on-one -- virsh list --all
    """
    from virtlab.hosts.simulated.paced import PacedHost
    from virtlab.scenario import find_scenario
    from virtlab.subjects.work_directory import work_directory

    described = find_scenario(scenario)
    wanted = command or [os.environ.get("SHELL") or "/bin/sh"]
    with work_directory() as folder:
        folder.chmod(0o700)  # the host is this user's alone
        host = PacedHost(described, folder, pace=pace)
        try:
            code = _run_beside(host, folder, wanted)
        finally:
            host.close()
    raise typer.Exit(code)


def _run_beside(host: PacedHost, folder: Path, wanted: Sequence[str]) -> int:
    """Run a command that sees the host, serve until it ends, and return its exit code."""
    from virtlab.hosts.simulated.paced import run_beside
    from virtlab.hosts.simulated.private_run import private_run_command, private_run_works

    environment = dict(os.environ)
    argv = list(wanted)
    if private_run_works(folder):
        argv = private_run_command(folder, argv)
        print("virtlab: qemu:///system is the simulated host, by bubblewrap", file=sys.stderr)
    else:
        from virtlab.subjects.clock_library import clock_library, preload_environment

        environment |= preload_environment(clock_library(), libvirt_dir=folder)
        print(
            "virtlab: qemu:///system is the simulated host, by a preloaded library, since "
            "bubblewrap does not work here; static programs will not see it",
            file=sys.stderr,
        )
    return run_beside(host, argv, environment)
