"""The code and the shipped scenarios: the files themselves, and a name for their present state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import virtlab
from virtlab.resources import testcases_dir

__all__ = ["source_digest", "source_files"]


def source_files() -> Iterator[tuple[str, bytes]]:
    """Yield the code and the shipped scenarios by their paths in a checkout."""
    package = Path(virtlab.__file__).resolve().parent
    for root, place in ((package, "toolkit/virtlab"), (testcases_dir(), "testcases")):
        for path in sorted(root.rglob("*")):
            left_out = "_shipped" in path.parts or "__pycache__" in path.parts
            if path.is_file() and not left_out:
                yield f"{place}/{path.relative_to(root).as_posix()}", path.read_bytes()


@lru_cache(maxsize=1)
def source_digest() -> str:
    """Return a name that changes with any of these files."""
    digest = hashlib.sha256()
    for name, data in source_files():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()
