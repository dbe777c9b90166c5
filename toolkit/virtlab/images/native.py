"""The native way: the image of a source becomes a volume of our pool, whole and checked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError, InputError
from virtlab.images.image_file import check_image, files_behind
from virtlab.images.kept_image import KeptImage, ordering
from virtlab.images.lock import SyncLock
from virtlab.images.pieces import PartialFile
from virtlab.images.pool import Pool
from virtlab.images.progress import OnStep, Pace
from virtlab.images.room import check_room, full_disk_told
from virtlab.images.source import Source
from virtlab.images.store import Record, Store, native_images, volume_name, volume_stem
from virtlab.images.streams import StreamImage
from virtlab.images.wanted import Synced, Wanted

__all__ = ["file_sha256", "sync_native"]

_CHUNK: Final = 1 << 20
_READABLE: Final = 0o644  # QEMU runs as another user


def sync_native(
    wanted: Wanted, offer: StreamImage, source: Source, pool: Pool, on_step: OnStep
) -> Synced:
    """Have the image in the pool, unless it is there already.

    It is there if its record names the content that the source promises, and that was signed where
    it has to be. Another content of the same version is no image any more, once this one is.

    Args:
        wanted: what was asked for.
        offer: the image of the source that is meant by it.
        source: where it lies.
        pool: a directory pool on this machine.
        on_step: told how far it is.

    Raises:
        InputError: the source's file is not what it promised.
        EnvironmentLackError: the source, qemu-img, rights or room are missing, or guests are built
            on a damaged file of the same name.
    """
    store = Store.of(pool)
    volume, is_kept = _named(wanted, offer, store)
    before = _image(pool, volume) if is_kept else None
    if wanted.check:
        older = _prunable(pool, store, offer) if wanted.prune else ()
        return Synced("native", offer, before, before is None, older)
    store.make()
    if before is None:
        with (
            SyncLock(store.partial),  # two that have no other folder in common may share a pool
            full_disk_told(store.partial, "what was downloaded is kept, and gone on with"),
        ):
            _bring(offer, source, pool, volume, on_step)
            pool.refresh()
            store.write_record(_record(wanted, offer, source, volume))
    image = before or _image(pool, volume)
    if image is None:
        raise InputError(
            f"{pool.name}: libvirt does not show {volume}, which was put there.",
            fix=f"look at it: virsh vol-list {pool.name}",
        )
    _supersede(store, offer)
    older = _prunable(pool, store, offer) if wanted.prune else ()
    _remove(pool, store, older)
    return Synced("native", offer, image, before is None, older)


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


def _named(wanted: Wanted, offer: StreamImage, store: Store) -> tuple[str, bool]:
    """Return how the volume is called, and whether a record vouches for it."""
    for record in store.read_records():
        if record.sha256 == offer.sha256 and _is_version(record, offer):
            vouched = record.signed or wanted.keyring is None
            return record.volume, vouched and not record.superseded
    return volume_name(offer.product, offer.version, offer.sha256), False


def _image(pool: Pool, volume: str) -> KeptImage | None:
    return next((image for image in native_images(pool) if image.volume == volume), None)


def _bring(offer: StreamImage, source: Source, pool: Pool, volume: str, on_step: OnStep) -> None:
    """Have the volume's file in its place: downloaded, checked, and readable."""
    name = f"{offer.release} {offer.arch} {offer.version}"
    store = Store.of(pool)
    target = store.volumes / volume
    if target.exists():
        # A sync was killed after it had moved the file, or nobody had vouched for it before.
        if file_sha256(target) == offer.sha256:
            return
        if _is_used(target, files_behind(pool.disks_in_use())):
            raise EnvironmentLackError(
                f"{target} is damaged, and guests are built on it, so it is left as it is.",
                fix="remove those guests (virtlab guests list shows the lab's), and sync again",
            )
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
        wanted.keyring is not None, offer.aliases,
    )  # fmt: skip


def _forget_older(partial: Path, offer: StreamImage, volume: str) -> None:
    """Remove unfinished downloads of the same product's other versions."""
    beginning = volume_stem(offer.product)
    for path in sorted(partial.iterdir()):
        if path.name.startswith(beginning) and not path.name.startswith(volume):
            path.unlink()


def _is_version(record: Record, offer: StreamImage) -> bool:
    return (record.product, record.version) == (offer.product, offer.version)


def _supersede(store: Store, offer: StreamImage) -> None:
    """Have other contents of the version that is kept now be no images any more."""
    for record in list(store.read_records()):
        other = _is_version(record, offer) and record.sha256 != offer.sha256
        if other and not record.superseded:
            store.write_record(replace(record, superseded=True))


def _prunable(pool: Pool, store: Store, offer: StreamImage) -> tuple[str, ...]:
    """Return the volumes that no guest is built on, of a product's older versions.

    Newer ones than the source's stay, since a mirror may lag. Another content of the same version
    goes, too.
    """
    kept = ordering(offer.version)
    older = [
        record.volume
        for record in store.read_records()
        if record.product == offer.product
        and (
            ordering(record.version) < kept
            or (_is_version(record, offer) and record.sha256 != offer.sha256)
        )
    ]
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
