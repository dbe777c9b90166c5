"""`virtlab images`: cloud images that guests start from, brought, listed and checked."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from virtlab.cli.exit_codes import EPILOG, ExitCode
from virtlab.cli.show import print_json

if TYPE_CHECKING:
    from virtlab.images import KeptImage
    from virtlab.images.progress import Step
    from virtlab.images.sync import Place, Way
    from virtlab.images.wanted import Synced

__all__ = ["app"]

_HOME = Path("/var/lib/virtlab")  # of the host's libvirtd, whoever asks
_LINE_EVERY_S = 30.0  # where no terminal shows a line that moves

app = typer.Typer(
    help="Bring cloud images that guests start from, list them, and check them.",
    no_args_is_help=True,
    epilog=EPILOG,
)
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
_Uri = Annotated[str, typer.Option("--uri", help="Of the libvirtd, as for --host real=URI.")]
_Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Keep images in a plain folder, where there is no libvirtd."),
]
_Arch = Annotated[
    str | None, typer.Option("--arch", help="Such as amd64 or arm64; this machine's if left out.")
]
_SYSTEM = "qemu:///system"


@app.command("sync", epilog=EPILOG)
def sync(
    release: Annotated[
        str | None,
        typer.Option(
            help="A name (noble) or a number (24.04); the newest with long-term support if left "
            "out, as is lts."
        ),
    ] = None,
    arch: _Arch = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="The URL or folder above streams/v1/: a mirror, or Ubuntu's releases if left out."
        ),
    ] = None,
    keyring: Annotated[
        Path | None,
        typer.Option(help="The keys that may have signed the source; Ubuntu's if left out."),
    ] = None,
    no_authentication: Annotated[
        bool, typer.Option("--no-authentication", help="Take what nobody has signed.")
    ] = False,
    method: Annotated[
        Literal["auto", "uvtool", "native"],
        typer.Option(help="By uvtool, by the lab itself, or by what is installed."),
    ] = "auto",
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Remove older versions that no guest is built on; with --folder all, as nobody "
            "knows of guests there.",
        ),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only say what would be done.")] = False,
    uri: _Uri = _SYSTEM,
    folder: _Folder = None,
    as_json: _Json = False,
) -> None:
    """Bring the newest image of a release, checked, unless it is here already.

    What broke off is gone on with. Two at once are refused.

    Example: sudo virtlab images sync --release noble
    """
    from virtlab.errors import UsageError
    from virtlab.images.kept_image import machine_arch
    from virtlab.images.signature import UBUNTU_KEYRING
    from virtlab.images.source import UBUNTU_RELEASES
    from virtlab.images.sync import Way, chosen_way
    from virtlab.images.sync import sync as synced
    from virtlab.images.wanted import Wanted

    if keyring is not None and no_authentication:
        raise UsageError("--keyring and --no-authentication exclude each other.", fix="leave one")
    if folder is not None and method == "uvtool":
        raise UsageError("--folder: uvtool keeps images in its own pool.", fix="--method native")
    plain = Way("native", "images are kept in a plain folder")
    way = chosen_way(method) if folder is None else plain
    wanted = Wanted(
        arch or machine_arch(),
        release,
        source or UBUNTU_RELEASES,
        None if no_authentication else keyring or UBUNTU_KEYRING,
        prune,
        check,
    )
    if not as_json:
        print(f"virtlab: by the way {way.method}: {way.why}.", file=sys.stderr)
    with _place(way, uri, folder) as (place, home), _step_line() as line:
        result = synced(wanted, way, place, home, line.show)
    if as_json:
        print_json(_sync_json(result, way, check))
    else:
        _tell(result, check)


@app.command("list", epilog=EPILOG)
def list_images(uri: _Uri = _SYSTEM, folder: _Folder = None, as_json: _Json = False) -> None:
    """List the images that are kept here, and what a sync at work does.

    Example: virtlab images list --json
    """
    from virtlab.images.lock import at_work
    from virtlab.images.progress import in_words

    images = _kept(uri, folder)
    doing = at_work(folder or _home())
    if as_json:
        print_json({"version": 1, "images": [asdict(one) for one in images], "at_work": doing})
        return
    for image in images:
        size = in_words(image.virtual_size_kib * 1024)
        print(
            f"{image.release} {image.number} {image.arch} {image.version}  {size}  "
            f"{image.method}  {image.path}"
        )
    if not images:
        print("No images are kept here; virtlab images sync brings one.")
    if doing:
        print(f"A sync is at work ({doing}).")


@app.command("verify", epilog=EPILOG)
def verify(
    release: Annotated[
        str | None, typer.Option(help="Only this one's: a name or a number; all if left out.")
    ] = None,
    uri: _Uri = _SYSTEM,
    folder: _Folder = None,
    as_json: _Json = False,
) -> None:
    """Check that kept images are still what they were when they came; 1 if one is not.

    Example: sudo virtlab images verify --release noble
    """
    from virtlab.images.kept_image import ImageMissingError, machine_arch
    from virtlab.images.verify import damage

    kept = _kept(uri, folder)
    images = [image for image in kept if release is None or image.is_named(release)]
    if not images:
        raise ImageMissingError(release, machine_arch(), kept)
    with _step_line() as line:
        found = [(image, damage(image, line.show)) for image in images]
    if as_json:
        rows = [{**asdict(image), "damage": what} for image, what in found]
        print_json({"version": 1, "images": rows})
    else:
        for image, what in found:
            name = f"{image.release} {image.arch} {image.version} ({image.method})"
            print(f"{name}: {what or 'whole'}")
            if what is not None:
                print(
                    "  fix: remove the guests that are built on it (virtlab guests list), then "
                    f"{image.path}, and run virtlab images sync again"
                )
    if any(what is not None for _image, what in found):
        raise typer.Exit(ExitCode.POINTS_LOST)


def _home() -> Path:
    chosen = os.environ.get("VIRTLAB_STATE_DIR")
    return Path(chosen) if chosen else _HOME


def _kept(uri: str, folder: Path | None) -> list[KeptImage]:
    from virtlab.hosts.real.connection import HostConnection, socket_of
    from virtlab.images import kept_images
    from virtlab.images.store import native_images
    from virtlab.images.sync import FolderPlace

    if folder is not None:
        return native_images(FolderPlace(folder).found())
    with HostConnection(socket_of(uri)) as connection:
        return kept_images(connection)


@contextmanager
def _place(way: Way, uri: str, folder: Path | None) -> Iterator[tuple[Place, Path]]:
    """Give where images are kept, and the folder of the lock."""
    from virtlab.hosts.real.connection import HostConnection, socket_of
    from virtlab.images.sync import FolderPlace, LibvirtPlace

    if folder is not None:
        yield FolderPlace(folder.absolute()), folder
        return
    with HostConnection(socket_of(uri)) as connection:
        yield LibvirtPlace(connection, way.method, _home()), _home()


def _sync_json(result: Synced, way: Way, check: bool) -> dict[str, object]:
    return {
        "version": 1,
        "check": check,
        "changed": result.changed,
        "method": way.method,
        "why": way.why,
        "offer": asdict(result.offer),
        "image": asdict(result.image) if result.image is not None else None,
        "removed": list(result.removed),
    }


def _tell(result: Synced, check: bool) -> None:
    from virtlab.images.progress import in_words

    offer = result.offer
    name = f"{offer.release} {offer.arch} {offer.version}"
    if result.image is None:
        print(f"would bring {name}: {in_words(offer.size_bytes)}")
    elif result.brought and not check:
        print(f"brought {name}: {result.image.path}")
    else:
        print(f"{name} is here already: {result.image.path}")
    for volume in result.removed:
        print(f"{'would remove' if check else 'removed'} {volume}")


class _StepLine:
    """Shows how far a sync is: a line that moves; without a terminal a line now and then."""

    def __init__(self) -> None:
        self._what = ""
        self._shown_s = 0.0

    def show(self, step: Step) -> None:
        """Show a step."""
        if sys.stderr.isatty():
            width = shutil.get_terminal_size((80, 24)).columns - 1
            print(f"\r\x1b[K{str(step)[:width]}", end="", file=sys.stderr, flush=True)
            return
        now = time.monotonic()
        if step.what != self._what or now - self._shown_s >= _LINE_EVERY_S:
            self._what, self._shown_s = step.what, now
            sys.stderr.write(f"virtlab: {step}\n")


@contextmanager
def _step_line() -> Iterator[_StepLine]:
    """Give a line, and wipe it afterwards."""
    try:
        yield _StepLine()
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
