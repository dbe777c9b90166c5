"""`virtlab host`: a real host on this machine, by the playbooks; its state, and what is left."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from virtlab.cli.exit_codes import EPILOG, ExitCode

if TYPE_CHECKING:
    from virtlab.hosts.real.playbooks import PlayResult

__all__ = ["app"]

app = typer.Typer(
    help="Make this machine a real host (libvirtd and QEMU), look at it, and put it back.",
    no_args_is_help=True,
    epilog=EPILOG,
)
_Check = Annotated[bool, typer.Option("--check", help="Only say what would be done.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command("up", epilog=EPILOG)
def up(
    accelerator: Annotated[
        Literal["auto", "kvm", "qemu"],
        typer.Option(help="KVM, emulation (qemu), or what a guest's boot shows to work."),
    ] = "auto",
    check: _Check = False,
    as_json: _Json = False,
) -> None:
    """Install what is missing, hide an unusable KVM, and start libvirtd.

    Running it again changes nothing.

    Example: virtlab host up
    """
    variables: dict[str, object] = {"host_state": "up", "host_accelerator": accelerator}
    _play("provision.yml", variables, check=check, as_json=as_json)


@app.command("down", epilog=EPILOG)
def down(
    remove_packages: Annotated[
        bool, typer.Option("--remove-packages", help="Also remove the packages that up installed.")
    ] = False,
    check: _Check = False,
    as_json: _Json = False,
) -> None:
    """Undo what `up` changed, and nothing else.

    Example: virtlab host down
    """
    variables: dict[str, object] = {"host_state": "down", "host_remove_packages": remove_packages}
    _play("provision.yml", variables, check=check, as_json=as_json)


@app.command("status", epilog=EPILOG)
def status(as_json: _Json = False) -> None:
    """Tell whether libvirtd answers, and which guests of the lab are there.

    Example: virtlab host status --json
    """
    from virtlab.errors import EnvironmentLackError
    from virtlab.hosts.real.connection import HostConnection
    from virtlab.hosts.real.guests import own_guests

    try:
        with HostConnection() as connection:
            version = connection.call("CONNECT_GET_LIB_VERSION").lib_ver
            guests = own_guests(connection)
    except EnvironmentLackError as lack:
        if not as_json:
            raise
        typer.echo(json.dumps({"version": 1, "libvirt": None, "reason": str(lack), "guests": []}))
        raise typer.Exit(ExitCode.ENVIRONMENT) from lack
    libvirt = f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000}"
    if as_json:
        rows = [{"name": guest.name, "running": guest.running} for guest in guests]
        typer.echo(json.dumps({"version": 1, "libvirt": libvirt, "guests": rows}))
        return
    typer.echo(f"libvirtd {libvirt} answers.")
    for guest in guests:
        typer.echo(f"  {guest.name}  {'running' if guest.running else 'shut off'}")
    if not guests:
        typer.echo("No guests of the lab are there.")


@app.command("clean", epilog=EPILOG)
def clean(
    check: _Check = False,
    uri: Annotated[
        str, typer.Option("--uri", help="Of the libvirtd, as for --host real=URI.")
    ] = "qemu:///system",
) -> None:
    """Put back what a killed run changed, and remove guests that the lab made and left behind.

    That takes guests with a system of their own along, with their disks; images stay. Other domains
    are not touched; nor is a host on which a run is at work.

    Example: virtlab host clean --check
    """
    from virtlab.guests.host import GuestHost
    from virtlab.guests.removal import half_made, leftovers, remove_marked, sweep
    from virtlab.hosts.real.connection import HostConnection, socket_of
    from virtlab.hosts.real.guests import own_guests
    from virtlab.hosts.real.journal import Changes, Journal
    from virtlab.hosts.real.run_guests import put_back

    socket = socket_of(uri)
    with HostConnection(socket) as connection, Journal(socket) as journal:
        left = journal.left_behind() or Changes()
        earlier = [one.name for one in (*left.adopted, *left.replaced)]
        guests = [guest.name for guest in own_guests(connection) if guest.name not in earlier]
        host = GuestHost(connection)
        guests += half_made(host)
        if check:
            volumes = [Path(file).name for one in leftovers(host) for file in one.files]
        else:
            put_back(socket, left)
            journal.clear()
            for name in guests:
                if name not in left.made:
                    remove_marked(host, name)
            volumes = sweep(host)  # what nobody has now that all are back
    for name in (*guests, *volumes):
        typer.echo(f"{'would remove' if check else 'removed'} {name}")
    for name in earlier:
        typer.echo(f"{'would put back' if check else 'put back'} {name}")
    if not guests and not volumes and not earlier:
        typer.echo("Nothing of the lab's is left here.")


def _play(name: str, variables: dict[str, object], *, check: bool, as_json: bool) -> None:
    from virtlab.hosts.real.playbooks import run_playbook

    result = run_playbook(name, variables, check=check, progress=_progress)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if as_json:
        found = {"changed": result.changed, "failed": result.failed, "reason": result.reason}
        typer.echo(json.dumps({"version": 1, "check": check, **found}))
    else:
        _tell(result, check)
    if not result.good:
        raise typer.Exit(ExitCode.ENVIRONMENT)


def _tell(result: PlayResult, check: bool) -> None:
    for task in result.changed:
        typer.echo(f"{'would change' if check else 'changed'}: {task}")
    if result.failed is not None:
        print(f"virtlab: failed: {result.failed}: {result.reason}", file=sys.stderr)
    elif not result.changed:
        typer.echo("Nothing was left to do.")


def _progress(task: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{task}"[:100], end="", file=sys.stderr, flush=True)
