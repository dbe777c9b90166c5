"""`virtlab guests`: guests with a system of their own, from making them to removing them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from virtlab.cli.exit_codes import EPILOG

if TYPE_CHECKING:
    from virtlab.guests.host import GuestHost, StandingGuest
    from virtlab.guests.order import CloudImage
    from virtlab.guests.uvt import Release

__all__ = ["app"]

app = typer.Typer(
    help="Guests with a system of their own (cloud images): make, wait for, enter, remove them.",
    no_args_is_help=True,
    epilog=EPILOG,
)


def _completed(incomplete: str) -> list[str]:
    """Return the lab's guests on this machine whose names begin so; none where nobody answers."""
    from virtlab.errors import VirtlabError
    from virtlab.guests.host import guest_host
    from virtlab.libvirt_rpc.errors import LibvirtError

    try:
        with guest_host() as host:
            names = [guest.name for guest in host.all() if guest.kind in ("cloud", "uvt")]
    except (VirtlabError, LibvirtError):
        return []
    return [name for name in names if name.startswith(incomplete)]


_Names = Annotated[
    list[str], typer.Argument(help="Guests, by their names.", autocompletion=_completed)
]
_Name = Annotated[str, typer.Argument(help="The guest.", autocompletion=_completed)]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
_Check = Annotated[bool, typer.Option("--check", help="Only say what would be done.")]
_Uri = Annotated[str, typer.Option("--uri", help="Of the libvirtd, as for --host real=URI.")]
_Timeout = Annotated[
    float | None,
    typer.Option("--timeout", min=1, help="Seconds for each stage, instead of what suits it."),
]
_Workload = Annotated[
    bool, typer.Option("--workload", help="Also put the lab's loads into them, for scenarios.")
]
_LOCAL = "qemu:///system"


@app.command("create", epilog=EPILOG)
def create(
    names: Annotated[list[str], typer.Argument(help="Names of the guests.")],
    kind: Annotated[
        Literal["auto", "cloud", "uvt"],
        typer.Option(help="By uvt-kvm, by the lab itself (cloud), or by uvt-kvm where it is."),
    ] = "auto",
    image: Annotated[
        str | None,
        typer.Option(help="A qcow2 file to begin as, or `debian` for one made of packages here."),
    ] = None,
    release: Annotated[
        str | None, typer.Option(help="Of a kept image; the newest LTS if left out.")
    ] = None,
    arch: Annotated[str, typer.Option(help="Of a kept image.")] = "amd64",
    memory: Annotated[int, typer.Option(help="MiB, once it is up.")] = 512,
    max_memory: Annotated[
        int | None, typer.Option(help="MiB that its balloon may grow to; --memory if left out.")
    ] = None,
    cpu: Annotated[int, typer.Option(min=1, help="Number of vCPUs.")] = 1,
    disk: Annotated[int, typer.Option(min=1, help="GiB.")] = 8,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key",
            "--ssh-public-key-file",
            help="Key to log in with; else one in ~/.ssh or ssh-agent, or a new one.",
        ),
    ] = None,
    deflate_on_oom: Annotated[
        bool, typer.Option("--deflate-on-oom", help="Balloons give memory back before a kill.")
    ] = False,
    network: Annotated[str, typer.Option(help="A network of libvirt's.")] = "default",
    pool: Annotated[str | None, typer.Option(help="A storage pool; the lab's own if left out.")] = (
        None
    ),
    accelerator: Annotated[
        Literal["auto", "kvm", "qemu"],
        typer.Option(help="KVM, emulation (qemu), or what `virtlab host up` found to work."),
    ] = "auto",
    wait: Annotated[bool, typer.Option(help="Wait until somebody can log in.")] = True,
    check: _Check = False,
    workload: _Workload = False,
    timeout: _Timeout = None,
    uri: _Uri = _LOCAL,
    as_json: _Json = False,
) -> None:
    """Make guests, start them, and wait for a first login to each.

    One that is there already, as it is asked for, is left as it is; what an interrupted command
    left is taken up again.

    Example: virtlab guests create aos_vm1 aos_vm2 --memory 512 --max-memory 2048
    """  # fmt: skip
    from virtlab.guests import uvt
    from virtlab.guests.definition import Wanted
    from virtlab.guests.keys import login_key
    from virtlab.guests.making import create as make
    from virtlab.guests.making import refuse_impossible, would_change
    from virtlab.guests.order import LeftOpen, Order
    from virtlab.guests.places import POOL
    from virtlab.hosts.real.launch import accelerator_here

    _refuse_what_is_not_heeded(kind, image, pool, arch)
    by_uvt = kind == "uvt" or (
        kind == "auto" and image is None and pool is None and uvt.installed()
    )
    choices: dict[LeftOpen, bool] = {
        "release": release is None and image is None,
        "accelerator": accelerator == "auto",
        "key": key is None,
    }
    left_open = frozenset(what for what, is_open in choices.items() if is_open)
    runs_on: str = accelerator_here() if accelerator == "auto" else accelerator
    every = [
        Wanted(
            name, memory * 1024, (max_memory or memory) * 1024, cpu, disk, deflate_on_oom,
            "kvm" if runs_on == "kvm" else "qemu", network,
        )
        for name in names
    ]  # fmt: skip
    for wanted in every:  # before anything is made for the first
        refuse_impossible(wanted)
    found = login_key(key, make=not check)
    _progress(f"logging in goes by {found.source}")
    made: list[str] = []
    kept: list[str] = []
    with _host(uri) as host:
        begins_as = (
            _kept_by_uvtool(host, release, arch)
            if by_uvt
            else _image(host, image, release, arch, check)
        )
        for wanted in every:
            order = Order(
                wanted, "uvt" if by_uvt else "cloud", begins_as, found, pool or POOL, left_open
            )
            changed = would_change(host, order) if check else make(host, order, _progress)
            (made if changed else kept).append(wanted.name)
        _end_progress()
        ready = _all_ready(host, names, workload, timeout) if wait and not check else []
    if as_json:
        typer.echo(json.dumps({"version": 1, "made": made, "kept": kept, "ready": ready}))
        return
    for name in names:
        what = ("would be made" if check else "was made") if name in made else "is there already"
        typer.echo(f"{name} {what}.")
    _tell_ready(ready)
    if not wait and not check:
        typer.echo(f"Next: virtlab guests wait {' '.join(names)}")


@app.command("wait", epilog=EPILOG)
def wait_for(
    names: _Names,
    workload: _Workload = False,
    timeout: _Timeout = None,
    uri: _Uri = _LOCAL,
    as_json: _Json = False,
) -> None:
    """Wait until guests are ready: running, leased an address, logged in to, through cloud-init.

    Example: virtlab guests wait aos_vm1
    """
    _refuse_bad_names(names)
    with _host(uri) as host:
        ready = _all_ready(host, names, workload, timeout)
    if as_json:
        typer.echo(json.dumps({"version": 1, "ready": ready}))
    else:
        _tell_ready(ready)


@app.command(
    "ssh",
    epilog=EPILOG,
    # What follows the name is the program's, --help and --uri too.
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
)
def ssh(
    context: typer.Context,
    name: _Name,
    uri: _Uri = _LOCAL,
) -> None:
    """Log in to a guest, or run a program in it; ends as that does.

    Example: virtlab guests ssh aos_vm1 uptime
    """
    from virtlab.errors import EnvironmentLackError
    from virtlab.guests.access import Access

    _refuse_bad_names([name])
    with _host(uri) as host:
        guest = host.find(name)
        notes = None if guest is None else guest.notes
        if guest is None or notes is None:
            raise EnvironmentLackError(
                f"There is no guest {name} to log in to.", fix="virtlab guests list shows those"
            )
        address = host.address(guest)
        if address is None:
            raise EnvironmentLackError(
                f"{name} has no address (yet).", fix=f"virtlab guests wait {name}"
            )
    access = Access(name, address, notes)
    access.write()
    command = [*access.words(), *context.args]
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as err:
        raise EnvironmentLackError(
            f"ssh could not be run: {err}", fix="sudo apt-get install openssh-client"
        ) from err


@app.command("list", epilog=EPILOG)
def list_guests(uri: _Uri = _LOCAL, as_json: _Json = False) -> None:
    """Show the lab's guests: their kinds, states, sizes and addresses.

    Example: virtlab guests list --json
    """
    with _host(uri) as host:
        rows = [_row(host, guest) for guest in host.all() if guest.ours]
    if as_json:
        typer.echo(json.dumps({"version": 1, "guests": rows}))
        return
    for row in rows:
        state = "running" if row["running"] else "shut off"
        typer.echo(
            f"{row['name']:<20} {row['kind']:<6} {state:<9} {row['max_memory_mib']:>6} MiB  "
            f"{row['address'] or '-'}"
        )
    if not rows:
        typer.echo("No guests of the lab are there.")


@app.command("destroy", epilog=EPILOG)
def destroy(
    names: _Names,
    force: Annotated[
        bool, typer.Option("--force", help="Also those that uvt-kvm made without the lab.")
    ] = False,
    check: _Check = False,
    uri: _Uri = _LOCAL,
    as_json: _Json = False,
) -> None:
    """Stop guests and remove them with their disks; only those of the lab's making.

    Images stay. One that is not there is no failure.

    Example: virtlab guests destroy aos_vm1 aos_vm2
    """
    from virtlab.guests.removal import remove_named

    _refuse_bad_names(names)
    with _host(uri) as host:
        removed = [name for name in names if remove_named(host, name, force=force, check=check)]
    if as_json:
        typer.echo(json.dumps({"version": 1, "removed": removed}))
        return
    for name in names:
        what = f"{'would remove' if check else 'removed'} {name}"
        typer.echo(what if name in removed else f"{name} was not there")


@contextmanager
def _host(uri: str) -> Iterator[GuestHost]:
    """Give the host; what libvirt refuses in between is told as a lack of the machine."""
    from virtlab.errors import EnvironmentLackError
    from virtlab.guests.host import guest_host
    from virtlab.hosts.real.connection import socket_of
    from virtlab.libvirt_rpc.errors import LibvirtError

    try:
        with guest_host(socket_of(uri)) as host:
            yield host
    except LibvirtError as err:
        _end_progress()
        raise EnvironmentLackError(
            f"libvirt refused it: {err.message}", fix="virtlab host status, and virtlab guests list"
        ) from err


def _refuse_bad_names(names: list[str]) -> None:
    """Refuse what no guest may be called, all names before anything is done for the first."""
    from virtlab.guests.names import guest_name

    for name in names:
        guest_name(name)


def _refuse_what_is_not_heeded(kind: str, image: str | None, pool: str | None, arch: str) -> None:
    from virtlab.errors import UsageError

    given = [option for option, value in (("--image", image), ("--pool", pool)) if value]
    if kind == "uvt" and given:
        raise UsageError(
            f"--kind uvt with {' and '.join(given)}: uvt-kvm takes images and storage of its own.",
            fix="--kind cloud, or leave it out",
        )
    if arch != "amd64":
        raise UsageError(
            f"--arch {arch}: guests are x86_64 machines, so an image of {arch} would not boot.",
            fix="leave --arch out",
        )


def _kept_by_uvtool(host: GuestHost, release: str | None, arch: str) -> Release:
    from virtlab.guests.uvt import Release
    from virtlab.images.find import kept_images
    from virtlab.images.kept_image import newest

    by_uvtool = [image for image in kept_images(host.connection) if image.method == "uvtool"]
    found = newest(by_uvtool, release, arch)
    return Release(found.release, found.arch)


def _image(
    host: GuestHost, image: str | None, release: str | None, arch: str, check: bool
) -> CloudImage:
    """Return what guests begin as: a file, one made here, or one that is kept."""
    from virtlab.guests.debian_image import debian_image
    from virtlab.guests.order import CloudImage
    from virtlab.guests.places import content_of
    from virtlab.guests.uvt import Release
    from virtlab.images import find_image

    if image is None:
        kept = find_image(host.connection, release, arch)
        means = Release(kept.release, kept.arch).means
        return CloudImage(Path(kept.path), kept.pool, means, kept.version)
    if image == "debian":
        return CloudImage(debian_image(_progress, check=check).disk, means="debian")
    path = Path(image).absolute()
    return CloudImage(path, means=f"content {content_of(path)}")


def _all_ready(
    host: GuestHost, names: list[str], workload: bool, timeout: float | None
) -> list[dict[str, object]]:
    from virtlab.guests.ready import wait_until_ready

    try:
        return [
            asdict(
                wait_until_ready(host, name, workload=workload, limit_s=timeout, progress=_progress)
            )
            for name in names
        ]
    finally:
        _end_progress()


def _tell_ready(ready: list[dict[str, object]]) -> None:
    for one in ready:
        stages = one["stages_s"]
        assert isinstance(stages, dict)
        steps = ", ".join(f"{stage} {seconds:g} s" for stage, seconds in stages.items())
        agent = "its agent answers" if one["agent"] else "no guest agent answers"
        typer.echo(f"{one['name']} is ready at {one['address']} ({steps}); {agent}.")
        complaints = one["complaints"]
        assert isinstance(complaints, list)
        for complaint in complaints:
            typer.echo(f"  cloud-init: {complaint}")
        typer.echo(f"  virtlab guests ssh {one['name']}")


def _row(host: GuestHost, guest: StandingGuest) -> dict[str, object]:
    return {
        "name": guest.name,
        "kind": guest.kind,
        "running": guest.running,
        "max_memory_mib": int(guest.tree.findtext("memory", "0")) // 1024,
        "vcpus": int(guest.tree.findtext("vcpu", "1")),
        "address": host.address(guest),
        "login": None if guest.notes is None else guest.notes.login,
    }


def _progress(line: str) -> None:
    """Show what is at work: in place on a terminal, line by line elsewhere, as it takes minutes."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}"[:100], end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)


def _end_progress() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
