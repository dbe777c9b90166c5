"""The way of uvtool: its sync does the work, in silence; here it is watched and not believed.

It takes root, writes each image twice below TMPDIR before the pool has it, prints nothing in
between, ends with 0 where no image matches, and with a traceback where anything fails. So all that
can be wrong is looked at beforehand; the temporary files tell how far it is; and what counts in the
end is the image: in uvtool's list, among its notes, and in its pool.

Source: read in uvtool of 2014, which Ubuntu still packages; uvtool itself was not run against this.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from virtlab.errors import EnvironmentLackError
from virtlab.images.image_file import files_behind, read_header
from virtlab.images.kept_image import KeptImage
from virtlab.images.pool import Pool
from virtlab.images.progress import OnStep, Pace, Step
from virtlab.images.room import check_room
from virtlab.images.signature import check_keyring
from virtlab.images.streams import StreamImage
from virtlab.images.uvtool_images import (
    UVTOOL_METADATA,
    uvtool_images,
    uvtool_metadata,
    uvtool_volume,
)
from virtlab.images.wanted import Synced, Wanted

__all__ = ["UVT_SYNC", "QueryLine", "parse_query", "sync_uvtool"]

UVT_SYNC: Final = "uvt-simplestreams-libvirt"
_LOOK_S: Final = 0.5  # between two looks at how far it is
_QUERY_TIMEOUT_S: Final = 120
_SMALL_BYTES: Final = 1 << 16  # what indexes and signatures take at most: they are no images
_SAID_MAX: Final = 1 << 16
# Lines such as: release=noble arch=amd64 label=release (20260321)
_QUERY_LINE: Final = re.compile(
    r"release=(?P<release>\S+) arch=(?P<arch>\S+) label=(?P<label>\S+) \((?P<version>\S+)\)"
)


@dataclass(frozen=True, slots=True)
class QueryLine:
    """An image, as uvtool lists it."""

    release: str
    arch: str
    label: str
    version: str


def parse_query(text: str) -> list[QueryLine]:
    """Return the images that uvtool lists; an empty line is none."""
    found = map(_QUERY_LINE.fullmatch, map(str.strip, text.splitlines()))
    return [QueryLine(**line.groupdict()) for line in found if line is not None]


def sync_uvtool(
    wanted: Wanted,
    offer: StreamImage,
    pool: Pool,
    scratch: Path,
    on_step: OnStep,
    *,
    metadata: Path = UVTOOL_METADATA,
    held: Sequence[int] = (),
) -> Synced:
    """Have uvtool bring the image, unless it has it already.

    Args:
        wanted: what was asked for.
        offer: the image of the source that is meant by it.
        pool: uvtool's.
        scratch: a folder of its own for uvtool's temporary files, emptied before and after.
        on_step: told how far it is.
        metadata: uvtool's notes.
        held: files that uvtool keeps open, such as a lock that has to hold as long as it runs,
            should this process be killed.

    Raises:
        EnvironmentLackError: uvtool failed, or said that it did not and has no image.
    """
    if wanted.keyring is not None:
        check_keyring(wanted.keyring)
    before = _kept(pool, offer, metadata)
    if before is not None or wanted.check:
        return Synced("uvtool", offer, before, brought=before is None)
    _clean(pool, offer, metadata)
    _emptied(scratch)
    try:
        # Twice: as it was downloaded, and unpacked; then once more in the pool.
        check_room(scratch, 2 * offer.size_bytes, f"{offer.release} in temporary files")
        check_room(pool.target, offer.size_bytes, offer.release)
        _run(_command(wanted, offer), _Watch(offer, pool, scratch, on_step), scratch, held)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    pool.refresh()
    return Synced("uvtool", offer, _found(pool, offer, metadata), brought=True)


def _command(wanted: Wanted, offer: StreamImage) -> list[str]:
    vouched = ["--no-authentication"]
    if wanted.keyring is not None:
        vouched = ["--keyring", str(wanted.keyring)]
    # An index by its own name is passed on as it is: that is how uvtool reads one.
    by_name = wanted.source.endswith((".json", ".sjson"))
    source = wanted.source if by_name else wanted.location.base
    filters = [f"release={offer.release}", f"arch={offer.arch}"]
    return [UVT_SYNC, "-v", "sync", "--source", source, *vouched, *filters]


def _run(command: Sequence[str], watch: _Watch, scratch: Path, held: Sequence[int]) -> None:
    """Run a sync to its end, and tell how far it is by the files that grow.

    Raises:
        EnvironmentLackError: it failed.
    """
    with (scratch / ".said").open("w+b") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            env={**os.environ, "TMPDIR": str(scratch)}, pass_fds=held,
        )  # fmt: skip
        try:
            while True:
                try:
                    code = process.wait(_LOOK_S)
                    break
                except subprocess.TimeoutExpired:
                    watch.look()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if code != 0:
            reason = _last_words(said) or f"it ended with {code}"
            raise EnvironmentLackError(f"{UVT_SYNC} failed: {reason}", fix=_fix_of(reason))


class _Watch:
    """Tells how far a sync is: what it downloaded, then unpacked, then stored."""

    def __init__(self, offer: StreamImage, pool: Pool, scratch: Path, on_step: OnStep) -> None:
        name = f"{offer.release} {offer.arch} {offer.version}"
        self._name = name
        self._volume = pool.target / uvtool_volume(offer.product, offer.version)
        self._scratch = scratch
        self._on_step = on_step
        self._download = Pace(f"uvtool downloads {name}", offer.size_bytes, on_step)
        self._store: Pace | None = None

    def look(self) -> None:
        """Tell it once."""
        sizes = [size for size in map(_size_of, self._files()) if size > _SMALL_BYTES]
        stored = _size_of(self._volume)
        if stored and sizes:
            self._store = self._store or Pace(
                f"uvtool stores {self._name}", sizes[-1], self._on_step
            )
            self._store.at(stored)
        elif len(sizes) > 1:
            self._on_step(Step(f"uvtool unpacks {self._name}", sizes[-1], 0, None))
        elif sizes:
            self._download.at(sizes[0])

    def _files(self) -> list[Path]:
        """Return the temporary files by when they were written to last: the download first."""
        found = []
        for path in self._scratch.rglob("*"):
            try:
                if path.is_file() and not path.name.startswith("."):
                    found.append((path.stat().st_ctime_ns, path))
            except FileNotFoundError:
                continue
        return [path for _made, path in sorted(found)]


def _found(pool: Pool, offer: StreamImage, metadata: Path) -> KeptImage:
    """Return the image that a sync brought, once all three places show it.

    Raises:
        EnvironmentLackError: one of them does not.
    """
    again = f"sudo {UVT_SYNC} -v sync, to see what it says; or virtlab images sync --method native"
    if (offer.release, offer.arch) not in {(line.release, line.arch) for line in _queried()}:
        raise EnvironmentLackError(
            f"{UVT_SYNC} ended without a complaint, and its query does not list {offer.release} "
            f"for {offer.arch}.",
            fix=again,
        )
    image = _kept(pool, offer, metadata)
    if image is None:
        raise EnvironmentLackError(
            f"{UVT_SYNC} ended without a complaint, and its image of {offer.release} "
            f"{offer.version} lacks its volume in the pool {pool.name} or its note in {metadata}.",
            fix=again,
        )
    return image


def _queried() -> list[QueryLine]:
    """Return what uvtool lists."""
    try:
        done = subprocess.run(
            [UVT_SYNC, "query"], capture_output=True, text=True, timeout=_QUERY_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as err:
        raise EnvironmentLackError(
            f"{UVT_SYNC} query found no end in {_QUERY_TIMEOUT_S} s.",
            fix="virtlab host status tells whether libvirtd answers",
        ) from err
    return parse_query(done.stdout)


def _kept(pool: Pool, offer: StreamImage, metadata: Path) -> KeptImage | None:
    """Return the image if both volume and note are there, and the volume is an image."""
    name = uvtool_volume(offer.product, offer.version)
    image = next((one for one in uvtool_images(pool, metadata) if one.volume == name), None)
    if image is None:
        return None
    try:
        return image if read_header(Path(image.path)) is not None else None
    except FileNotFoundError:
        return None


def _clean(pool: Pool, offer: StreamImage, metadata: Path) -> None:
    """Remove what a sync that broke off left of this image: one half without the other."""
    name = uvtool_volume(offer.product, offer.version)
    volume, note = pool.target / name, metadata / name
    if volume.exists() and volume not in files_behind(pool.disks_in_use()):
        volume.unlink()
        pool.refresh()
    if name in uvtool_metadata(metadata):
        note.unlink(missing_ok=True)


def _emptied(scratch: Path) -> None:
    """Make the folder; what a sync that was killed left in it is gone."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, mode=0o700)


def _last_words(said: IO[bytes]) -> str:
    """Return the last line of what was said, which of a traceback is the reason."""
    said.seek(max(said.seek(0, os.SEEK_END) - _SAID_MAX, 0))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _fix_of(reason: str) -> str:
    low = reason.lower()
    if "no space" in low:
        return "free some space, and run it again"
    if "already" in low:
        return "remove the guests that are built on it (virsh list --all), and run it again"
    if "gpg" in low or "signature" in low:
        return "name the keyring of this source by --keyring"
    if "libvirt" in low:
        return "virtlab host up starts libvirtd; virsh pool-list --all shows its pools"
    return "virtlab images sync --method native needs no uvtool"


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
