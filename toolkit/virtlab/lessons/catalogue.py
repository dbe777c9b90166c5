"""Lessons by name, in the order in which they are best read, and copies of a learner's own.

A lesson is two files of one name: the text (`.md`) and what works out the figures (`.py`). `copied`
puts both into a folder, and the folder can be run in place of a name: what is changed there is what
runs.
"""

from __future__ import annotations

import inspect
import shutil
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from virtlab.errors import InputError, UsageError, VirtlabError
from virtlab.lessons.lesson import Lesson
from virtlab.lessons.text import title_of
from virtlab.naming import known_or_nearest
from virtlab.policies.parameters import Parameter, configured, parameters_of
from virtlab.resources import lesson_texts_dir

__all__ = ["LESSONS", "KnownLesson", "copied", "find_lesson", "lesson_titles"]

LESSONS: Final = (
    "ten-calls",
    "layers",
    "polling",
    "balloon",
    "balanced",
    "coordinator",
    "which-one",
    "spin",
    "exokernel",
)


@dataclass(frozen=True, slots=True)
class KnownLesson:
    """A lesson that can be run."""

    name: str
    title: str
    text: str  # Markdown
    kind: type  # its class
    code: Path
    own: bool = False  # a learner's copy, whose mistakes are hers

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return what may be set: one thing, as a rule."""
        return parameters_of(self.kind)

    def made(self, settings: Mapping[str, str]) -> Lesson:
        """Return the lesson with some things set.

        Raises:
            UsageError: there is no such thing to set, or no such value.
        """
        lesson: Lesson = configured(self.kind, settings)
        return lesson

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Let what fails in this block be the copy's mistake, where it is one.

        Raises:
            InputError: with the line of the learner's file.
        """
        try:
            yield
        except Exception as error:
            if not self.own or isinstance(error, VirtlabError | BrokenPipeError):
                raise
            raise _mistaken(self.code, error) from error


def lesson_titles() -> dict[str, str]:
    """Return the titles of all lessons by name, without loading any of their code."""
    return {name: title_of(_text(name)) for name in LESSONS}


def find_lesson(name: str) -> KnownLesson:
    """Return a lesson by its name, or by a folder that `copied` made.

    Raises:
        UsageError: there is none such; the message names the nearest one.
        InputError: a folder's lesson cannot be used.
    """
    if name in LESSONS:
        module = import_module(f"virtlab.lessons.{name.replace('-', '_')}")
        return _known(name, _text(name), module)
    folder = Path(name)
    if folder.is_dir():
        return _of_folder(folder)
    raise UsageError(
        f"there is no lesson {name!r}, and no folder of that name.",
        fix=known_or_nearest(name, LESSONS, "lesson"),
    )


def copied(name: str, folder: Path) -> tuple[Path, ...]:
    """Copy a lesson's files into a folder, and return where they are.

    Raises:
        UsageError: there is no such lesson, or the folder has such files, or cannot be written.
    """
    lesson = find_lesson(name)
    targets = (folder / f"{lesson.name}.md", folder / lesson.code.name)
    for target in targets:
        if target.exists():
            raise UsageError(
                f"{target} is there already, and is not written over.",
                fix="name another folder, or move what is there away.",
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        targets[0].write_text(lesson.text, encoding="utf-8")
        shutil.copyfile(lesson.code, targets[1])
    except OSError as error:
        raise UsageError(
            f"{folder} cannot take a lesson: {error.strerror or error}.",
            fix="name a folder that you may write to.",
        ) from error
    return targets


def _text(name: str) -> str:
    return (lesson_texts_dir() / f"{name}.md").read_text(encoding="utf-8")


def _of_folder(folder: Path) -> KnownLesson:
    codes = sorted(folder.glob("*.py"))
    if len(codes) != 1:
        raise UsageError(
            f"{folder} has {len(codes)} Python files, and a lesson is one.",
            fix="name a folder that `virtlab lesson copy` made.",
        )
    name = codes[0].stem.replace("_", "-")
    try:
        text = (folder / f"{name}.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{folder / name}.md, the lesson's text, cannot be read: {error}",
            fix=f"copy it anew: virtlab lesson copy {name} FOLDER",
        ) from error
    return replace(_known(name, text, _executed(codes[0])), own=True)


def _executed(path: Path) -> ModuleType:
    """Return a learner's module; importing it runs her code."""
    name = f"lesson {path.resolve()}".replace(".", "_")
    spec = spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # its name ends in .py
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their annotations
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _mistaken(path, error) from error
    return module


def _mistaken(path: Path, error: Exception) -> InputError:
    """Return what to tell of an error that a learner's file brought about."""
    if isinstance(error, SyntaxError):
        where, what = error.lineno, error.msg
    else:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path.absolute())]
        where, what = lines[-1] if lines else 1, f"{type(error).__name__}: {error}"
    return InputError(
        f"{path}:{where}: {what}",
        fix="mend it, or copy the lesson anew to compare: virtlab lesson copy NAME DIR",
    )


def _known(name: str, text: str, module: ModuleType) -> KnownLesson:
    kinds = [
        kind
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and hasattr(kind, "shown")
    ]
    if len(kinds) != 1:
        raise InputError(
            f"{module.__file__} has {len(kinds)} classes with a method shown, and a lesson is one.",
            fix="keep the class that was there, and change what is in it.",
        )
    assert module.__file__ is not None
    return KnownLesson(name, title_of(text), text, kinds[0], Path(module.__file__))
