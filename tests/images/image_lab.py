"""Small qcow2 files and records of them."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

from virtlab.images.pool import Pool
from virtlab.images.store import Record, Store, volume_name

MIB = 1024  # KiB


def make_qcow2(path: Path, *words: str, size: str = "2M") -> Path:
    """Make an empty qcow2 of this virtual size; `words` are further options of qemu-img."""
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *words, str(path), size]
    subprocess.run(command, check=True, timeout=60)
    return path


def record(release: str = "noble", number: str = "24.04", version: str = "20260101") -> Record:
    """Return a record of an image for amd64."""
    product = f"com.ubuntu.cloud:server:{number}:amd64"
    return Record(
        product, release, number, True, "amd64", version, "release",
        volume_name(product, version, "0" * 64), 10, "0" * 64, "http://127.0.0.1/", True,
    )  # fmt: skip


def keep(pool: Pool, what: Record) -> None:
    """Have an image in a pool, as a sync leaves it."""
    store = Store.of(pool)
    store.make()
    path = make_qcow2(store.volumes / what.volume)
    store.write_record(dataclasses.replace(what, size_bytes=path.stat().st_size))
    pool.refresh()
