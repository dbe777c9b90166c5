"""The course's zip of a submission: what belongs into it, what does not, and what is missing.

The archive holds one folder of its own name, in a fixed order and with fixed times, so that
packing the same files twice gives the same bytes.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from virtlab.errors import SubmissionError, UsageError
from virtlab.subjects.build import build
from virtlab.subjects.elf import read_elf
from virtlab.subjects.layout import KINDS, find_programs
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import work_directory

__all__ = ["Packed", "pack"]

_NAME = re.compile(r"\w+_\w+_p1")
_BUILT = frozenset({".o", ".a", ".so", ".d", ".pyc"})
_LEFT_OUT = frozenset({".git", ".vscode", ".idea", "__pycache__", ".DS_Store", "virtlab-results"})
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a zip
_LARGE_BYTES = 1024 * 1024  # the course's are below this, logs included


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive, and what its author should know about it."""

    archive: Path
    files: tuple[str, ...]  # names in the archive
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]


def pack(folder: Path, archive: Path) -> Packed:
    """Write a submission's archive, once the programs in it were found and built.

    Args:
        folder: the submission's; its name becomes that of the folder in the archive.
        archive: the file to write; an older one is replaced.

    Raises:
        SubmissionError: there is no program in it, or one that does not build.
        UsageError: the archive cannot be written.
        EnvironmentLackError: a compiler is missing.
    """
    if not folder.is_dir():
        raise SubmissionError(f"{folder}: is no folder", fix="name the submission's folder")
    files, left_out = _chosen(folder, archive)
    name = folder.resolve().name
    warnings: list[str] = []
    with _writing(archive) as unfinished:
        _write(unfinished, folder, name, files)
        warnings += _checked(unfinished, folder)  # what will be graded is what is in it
    if not _NAME.fullmatch(name):
        warnings.append(f"the course wants First_Last_p1, and this is {name}")
    total = sum(path.stat().st_size for path in files)
    if total > _LARGE_BYTES:
        warnings.append(f"{total / 1024 / 1024:.1f} MiB is much; are there logs to shorten?")
    return Packed(
        archive,
        tuple(f"{name}/{path.relative_to(folder)}" for path in files),
        tuple(str(path.relative_to(folder)) for path in left_out),
        tuple(warnings),
    )


def _checked(archive: Path, folder: Path) -> Iterator[str]:
    """Build what is in an archive; yield what is missing."""
    with work_directory() as work:
        root = work / "submission"
        open_submission(archive, root)
        found = find_programs(root)
        sandbox = find_sandbox()
        for kind in KINDS:
            if kind not in found:
                yield f"there is no {kind} in it"
                continue
            built = build(found[kind], root, sandbox)
            if not built.ok:
                raise SubmissionError(
                    f"{folder}: {kind} does not build: {built.first_error or 'see its log'}",
                    fix="mend that first; a program that does not build gets no points",
                )
            if built.source.way == "policy":
                yield f"{kind} is a policy, which only this lab runs; a course wants a program"
            else:
                yield from (f"{kind}: {note}" for note in built.notes)
            beside = found[kind].folder.iterdir()
            if not any(path.stem.lower() == "readme" for path in beside):
                yield f"{kind} has no Readme.md beside it, which gives a point"


def _chosen(folder: Path, archive: Path) -> tuple[list[Path], list[Path]]:
    """Return the files to pack, and those that are built, foreign or the archive itself."""
    files, left_out = [], []
    for place, folders, names in os.walk(folder):
        for name in sorted(set(folders) & _LEFT_OUT):
            left_out.append(Path(place) / name)
        folders[:] = sorted(set(folders) - _LEFT_OUT)
        for name in sorted(names):
            path = Path(place) / name
            if (
                name in _LEFT_OUT
                or path.suffix in _BUILT
                or path.is_symlink()
                or not path.is_file()
                or path.resolve() == archive.resolve()
                or _is_program(path)
            ):
                left_out.append(path)
            else:
                files.append(path)
    return files, left_out


def _is_program(path: Path) -> bool:
    return read_elf(path) is not None


def _write(archive: Path, folder: Path, name: str, files: list[Path]) -> None:
    with zipfile.ZipFile(archive, "w") as packed:
        for path in files:
            info = zipfile.ZipInfo(f"{name}/{path.relative_to(folder)}", _EARLIEST)
            info.compress_type = zipfile.ZIP_DEFLATED
            mode = 0o755 if os.access(path, os.X_OK) else 0o644
            info.external_attr = (stat.S_IFREG | mode) << 16
            packed.writestr(info, path.read_bytes())


@contextmanager
def _writing(archive: Path) -> Iterator[Path]:
    """Give a file to write; it becomes the archive when the block is done, or goes."""
    try:
        handle, name = tempfile.mkstemp(dir=archive.absolute().parent, suffix=".partial")
        os.close(handle)
        unfinished = Path(name)
        try:
            yield unfinished
            unfinished.chmod(0o644)
            unfinished.replace(archive)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            f"{archive} could not be written: {error.strerror or error}.",
            fix="name a file in a folder that you may write to.",
        ) from error
