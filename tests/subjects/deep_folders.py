"""Folders in one another, deeper than a path can say."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["deep_in"]


def deep_in(top: Path, depth: int) -> None:
    """Make so many folders in one another, with a file in the last."""
    folder = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
