"""The native way: the image of a source becomes a volume of our pool, whole and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from virtlab.errors import InputError
from virtlab.images.image_file import check_image, files_behind
from virtlab.images.kept_image import KeptImage
from virtlab.images.pieces import PartialFile
from virtlab.images.pool import Pool
from virtlab.images.progress import OnStep, Pace
from virtlab.images.room import check_room, full_disk_told
from virtlab.images.source import Source
from virtlab.images.store import Record, Store, native_images, volume_name
from virtlab.images.streams import StreamImage
from virtlab.images.wanted import Synced, Wanted

__all__ = ["file_sha256", "sync_native"]

_CHUNK: Final = 1 << 20
_READABLE: Final = 0o644  # QEMU runs as another user


def sync_native(
    wanted: Wanted, offer: StreamImage, source: Source, pool: Pool, on_step: OnStep
) -> Synced:
    """Have the image in the pool, unless it is there already.

    Args:
        wanted: what was asked for.
        offer: the image of the source that is meant by it.
        source: where it lies.
        pool: a directory pool on this machine.
        on_step: told how far it is.

    Raises:
        InputError: the source's file is not what it promised.
        EnvironmentLackError: the source, qemu-img, rights or room are missing.
    """
    volume = volume_name(offer.product, offer.version)
    before = _kept(pool, volume)
    store = Store.of(pool)
    if wanted.check:
        older = _prunable(pool, store, offer.product, volume) if wanted.prune else ()
        return Synced("native", offer, before, before is None or bool(older), older)
    store.make()
    if before is None:
        with full_disk_told(store.partial, "what was downloaded is kept, and gone on with"):
            _bring(offer, source, store, volume, on_step)
            pool.refresh()
            store.write_record(_record(wanted, offer, source, volume))
    image = before or _kept(pool, volume)
    if image is None:
        raise InputError(
            f"{pool.name}: libvirt does not show {volume}, which was put there.",
            fix=f"look at it: virsh vol-list {pool.name}",
        )
    older = _prunable(pool, store, offer.product, volume) if wanted.prune else ()
    _remove(pool, store, older)
    return Synced("native", offer, image, before is None or bool(older), older)


def file_sha256(path: Path, on_bytes: Callable[[int], None] = lambda _done: None) -> str:
    """Return a file's checksum as hex.

    Args:
        path: the file.
        on_bytes: told how much was read.
    """
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        done = 0
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            on_bytes(done)
    return digest.hexdigest()


def _kept(pool: Pool, volume: str) -> KeptImage | None:
    return next((image for image in native_images(pool) if image.volume == volume), None)


def _bring(offer: StreamImage, source: Source, store: Store, volume: str, on_step: OnStep) -> None:
    """Have the volume's file in its place: downloaded, checked, and readable."""
    name = f"{offer.release} {offer.arch} {offer.version}"
    target = store.volumes / volume
    # There already, if a sync was killed after it had moved the file and before it had noted that.
    if target.exists() and file_sha256(target) == offer.sha256:
        return
    _forget_older(store.partial, offer, volume)
    path = store.partial / f"{volume}.part"
    with PartialFile(path, offer.size_bytes, offer.sha256) as part:
        check_room(store.partial, offer.size_bytes - part.done_bytes, name)
        _download(offer, source, part, name, on_step)
        check_image(path, source.url(offer.path))
        path.chmod(_READABLE)
        part.sync()
        path.rename(target)
        part.remove_notes()


def _download(
    offer: StreamImage, source: Source, part: PartialFile, name: str, on_step: OnStep
) -> None:
    """Have all of a file, with the checksum that the source promised."""
    resumed = part.resumed
    pace = Pace(f"downloading {name}", offer.size_bytes, on_step)
    source.fetch(offer.path, part, pace.at)
    checking = Pace(f"checking {name}", offer.size_bytes, on_step)
    if file_sha256(part.path, checking.at) == offer.sha256:
        return
    part.restart()
    if resumed:  # what an earlier try left may have been torn by a power failure
        _download(offer, source, part, name, on_step)
        return
    raise InputError(
        f"{source.url(offer.path)}: its checksum is not the one that the index says.",
        fix="the source is being changed or is damaged: try later, or name another",
    )


def _record(wanted: Wanted, offer: StreamImage, source: Source, volume: str) -> Record:
    return Record(
        offer.product, offer.release, offer.number, offer.lts, offer.arch, offer.version,
        offer.label, volume, offer.size_bytes, offer.sha256, source.url(offer.path),
        wanted.keyring is not None,
    )  # fmt: skip


def _forget_older(partial: Path, offer: StreamImage, volume: str) -> None:
    """Remove unfinished downloads of the same product's other versions."""
    beginning = volume_name(offer.product, "").removesuffix(".qcow2")
    for path in sorted(partial.iterdir()):
        if path.name.startswith(beginning) and not path.name.startswith(volume):
            path.unlink()


def _prunable(pool: Pool, store: Store, product: str, keep: str) -> tuple[str, ...]:
    """Return the volumes of a product's other versions that no guest is built on."""
    older = [r.volume for r in store.read_records() if r.product == product and r.volume != keep]
    used = files_behind(pool.disks_in_use()) if older else frozenset()
    return tuple(volume for volume in older if not _is_used(store.volumes / volume, used))


def _remove(pool: Pool, store: Store, volumes: Sequence[str]) -> None:
    for volume in volumes:
        store.forget(volume)  # first: what has no record is no image
        (store.volumes / volume).unlink(missing_ok=True)
    if volumes:
        pool.refresh()


def _is_used(path: Path, used: Iterable[Path]) -> bool:
    return path in used or path.resolve() in used
