"""Folders that a program filled, however deep, large or odd: walk, measure, copy and remove them.

Python's own functions recurse, so a few thousand folders in one another are too deep for them;
and a path may be longer than the kernel takes. So everything goes by descriptors, and without
recursion. A name may turn into a link while the program still runs: no link is followed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TreeLimits", "copy_tree", "excess", "remove_tree", "walk"]

_FOLDER_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OURS = 0o700
_DEPTH = 64  # folders in folders; each costs a descriptor while it is walked


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """What a build may leave in the submission's folder, and a run in its copy of it.

    The largest submission that is taken in, and as much again.
    """

    entries: int = 20_000  # files, folders, links and all else
    bytes: int = 512 * 1024 * 1024  # as files say of themselves: a copy writes holes out
    depth: int = _DEPTH  # folders in folders


def walk(top: Path, depth: int = _DEPTH) -> Iterator[tuple[int, list[str]]]:
    """Give each folder of a tree as a descriptor, and the names in it that are no folders.

    A folder is given before those in it. What lies deeper than `depth` is left out, and so is
    what cannot be read.
    """
    yield from ((folder, names) for folder, names, _folders in _walk(top, depth))


def excess(top: Path, limits: TreeLimits) -> str | None:
    """Return what of a tree is more than the limits, as words behind "it made"; None if nothing."""
    entries = size = 0
    for folder, names, folders in _walk(top, limits.depth):
        if folders is None:
            return f"folders that lie more than {limits.depth} deep"
        entries += len(names) + len(folders)
        if entries > limits.entries:
            return f"more than {limits.entries} files and folders"
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                size += found.st_size if stat.S_ISREG(found.st_mode) else 0
        if size > limits.bytes:
            return f"more than {limits.bytes // 1024 // 1024} MiB of files"
    return None


def copy_tree(source: Path, target: Path) -> None:
    """Copy a tree that is within the limits, its links as links, without what is no file.

    Sockets, pipes and devices are left out, as well as what may not be read.

    Raises:
        OSError: the copy cannot be written.
    """
    shutil.copytree(source, target, symlinks=True, ignore=_not_for_a_copy)


def remove_tree(folder: Path) -> None:
    """Remove a folder as far as that is possible; what a program made in it may have any mode."""
    with contextlib.suppress(OSError):
        _empty(_open_folder(str(folder)))
        folder.rmdir()


def _walk(top: Path, depth: int) -> Iterator[tuple[int, list[str], list[str] | None]]:
    """Give (folder, other names, names of folders); None for the last where they lie too deep."""
    stack: list[tuple[int | None, Iterator[str]]] = [(None, iter([str(top)]))]
    try:
        while stack:
            parent, waiting = stack[-1]
            name = next(waiting, None)
            if name is None:
                stack.pop()
                if parent is not None:
                    os.close(parent)
                continue
            try:
                folder = _open_folder(name, parent)
            except OSError:
                continue  # gone meanwhile, or none of ours
            names, folders = _entries(folder)
            too_deep = bool(folders) and len(stack) > depth
            stack.append((folder, iter(() if too_deep else folders)))
            yield folder, names, None if too_deep else folders
    finally:
        for opened, _waiting in stack:
            if opened is not None:
                os.close(opened)


def _entries(folder: int) -> tuple[list[str], list[str]]:
    """Return the names in a folder: those of no folders, and of folders, sorted."""
    names: list[str] = []
    folders: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            (folders if entry.is_dir(follow_symlinks=False) else names).append(entry.name)
    return sorted(names), sorted(folders)


def _empty(here: int) -> None:
    """Remove all below an open folder, and close it.

    Only one folder is open at a time, as no number of descriptors would do for any depth. The way
    back goes by "..", and ends where that is not the folder that we came from.
    """
    way: list[tuple[str, tuple[int, int], list[str]]] = []  # name here, the folder above, its rest
    folders = _remove_files(here)
    try:
        while folders or way:
            if folders:
                name = folders.pop()
                with contextlib.suppress(OSError):
                    inner = _open_folder(name, here)
                    way.append((name, _identity(here), folders))
                    os.close(here)
                    here = inner
                    folders = _remove_files(here)
                continue
            name, above, folders = way.pop()
            outer = os.open("..", os.O_RDONLY | _FOLDER_FLAGS, dir_fd=here)
            os.close(here)
            here = outer
            if _identity(here) != above:
                return
            with contextlib.suppress(OSError):
                os.rmdir(name, dir_fd=here)
    finally:
        os.close(here)


def _identity(folder: int) -> tuple[int, int]:
    found = os.fstat(folder)
    return found.st_dev, found.st_ino


def _remove_files(folder: int) -> list[str]:
    """Remove what is no folder, and return the names of the folders."""
    names, folders = _entries(folder)
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
    return folders


def _open_folder(name: str, parent: int | None = None) -> int:
    """Open a folder, and see to it that its owner may read and change it, if that is us."""
    handle = os.open(name, os.O_PATH | _FOLDER_FLAGS, dir_fd=parent)
    try:
        found = os.fstat(handle)
        if found.st_uid == os.geteuid() and found.st_mode & _OURS != _OURS:
            # A handle takes no fchmod; its name in /proc leads to the folder itself.
            Path(f"/proc/self/fd/{handle}").chmod(stat.S_IMODE(found.st_mode) | _OURS)
        return os.open(".", os.O_RDONLY | _FOLDER_FLAGS, dir_fd=handle)
    finally:
        os.close(handle)


def _not_for_a_copy(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not _is_for_a_copy(f"{folder}/{name}")]


def _is_for_a_copy(path: str) -> bool:
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        return os.access(path, os.R_OK | os.X_OK)
    return stat.S_ISLNK(mode) or (stat.S_ISREG(mode) and os.access(path, os.R_OK))
