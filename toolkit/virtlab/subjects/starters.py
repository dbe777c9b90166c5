"""Programs to start from: they build, run and measure, and leave the deciding to their author."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from virtlab.errors import UsageError
from virtlab.model.scenario import ProgramKind
from virtlab.resources import starters_dir

__all__ = ["FOLDERS", "Language", "Starter", "make_starter"]

Language = Literal["c", "python", "policy"]

# As the course wants them in a submission.
FOLDERS: dict[ProgramKind, str] = {"vcpu_scheduler": "cpu", "memory_coordinator": "memory"}


@dataclass(frozen=True, slots=True)
class Starter:
    """What was made."""

    folder: Path
    files: tuple[Path, ...]
    source: Path  # the file to go on with


def make_starter(kind: ProgramKind, submission: Path, language: Language) -> Starter:
    """Make a program's folder in a submission's.

    Raises:
        UsageError: it is there already, or cannot be made.
    """
    folder = submission / FOLDERS[kind]
    if folder.exists():
        raise UsageError(
            f"{folder} is there already.", fix="name another submission, or remove that folder."
        )
    template = starters_dir() / kind.replace("_", "-") / language
    made = folder.with_name(f".{folder.name}.partial")
    try:
        submission.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(made, ignore_errors=True)
        # Not their modes: an installed package may be nobody's to write.
        shutil.copytree(template, made, copy_function=shutil.copyfile)
        if language == "python":
            for script in made.glob("*.py"):
                script.chmod(0o755)
        made.rename(folder)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        raise UsageError(
            f"{folder} could not be made: {error.strerror or error}.",
            fix="name a folder that you may write to.",
        ) from error
    files = tuple(sorted(path for path in folder.rglob("*") if path.is_file()))
    return Starter(folder, files, next(path for path in files if path.stem == kind))
