"""Mutants: small wrong changes to a reference program, kept as data beside the examples.

A file names one program and lists changes to it, each as the text to replace and the text to put
there. Text that is not in the program any more, or is there twice, is a mistake of the file, with
its line: a mutant that silently changed nothing would count as one that the grader let pass.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from virtlab.errors import InputError, Problem
from virtlab.model.criteria import CRITERIA
from virtlab.model.scenario import ProgramKind
from virtlab.naming import known_or_nearest
from virtlab.scenario import find_scenario, scenario_files
from virtlab.scenario.located_yaml import Document, read_document
from virtlab.scenario.problems import problems_of, raise_if_any
from virtlab.scenario.schema import FileModel, Id, Text
from virtlab.subjects.layout import KINDS

__all__ = ["Edit", "Mutant", "Survival", "SurvivalKind", "load_mutants", "write_mutant"]

SurvivalKind = Literal["equivalent", "not judged", "gap"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One place that is changed: this text, which is there once, becomes that one."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Survival:
    """Why no rubric takes a point from it."""

    kind: SurvivalKind
    why: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A reference program with one thing wrong."""

    submission: Path  # the reference's folder
    source: str  # of the program, in that folder
    kind: ProgramKind
    name: str
    why: str  # what is wrong with it
    edits: tuple[Edit, ...]
    caught_by: tuple[str, ...]  # SCENARIO/CRITERION that has to catch it
    survives: Survival | None

    @property
    def program(self) -> str:
        """Return the source that is changed, such as reference-c/cpu/vcpu_scheduler.c."""
        return f"{self.submission.name}/{self.source}"

    @property
    def digest(self) -> str:
        """Return a short name of the change itself, for telling old results from new ones."""
        text = "\0".join(part for edit in self.edits for part in (edit.old, edit.new))
        return sha256(text.encode()).hexdigest()[:12]

    @property
    def label(self) -> str:
        """Return the mutant in words, such as reference-c/cpu/vcpu_scheduler.c: in-turn."""
        return f"{self.program}: {self.name}"


# The shape of the file.


class EditFile(FileModel):
    """One place that is changed."""

    old: str = Field(min_length=1, examples=["+ step"], description="text that is there once")
    new: str = Field(examples=["- step"], description="what stands there instead")


class SurvivalFile(FileModel):
    """Why no rubric takes a point from it."""

    because: SurvivalKind = Field(
        examples=["equivalent"],
        description="equivalent: it does what is asked, by another way; not judged: what it does "
        "wrong is none of what the rules judge; gap: no test comes to where it is wrong",
    )
    why: Text = Field(examples=["the course's guests have one vCPU each"])


class MutantEntry(FileModel):
    """A reference program with one thing wrong."""

    name: Id = Field(examples=["in-turn"], description="what it does, in a word or three")
    why: Text = Field(examples=["vCPUs are dealt out in turn, whatever they weigh."])
    edits: list[EditFile] = Field(min_length=1, examples=[[{"old": "+ step", "new": "- step"}]])
    caught_by: list[str] = Field(
        default=[],
        examples=[["cpu-5-heavy-and-light/balanced"]],
        description="scenario and criterion that have to catch it",
    )
    survives: SurvivalFile | None = Field(default=None)


class MutantsFile(FileModel):
    """Mutants of one program."""

    program: str = Field(
        pattern=r"^[a-z-]+/[\w./-]+$",
        examples=["reference-c/cpu/vcpu_scheduler.c"],
        description="the source that is changed, below the folder of submissions",
    )
    mutants: list[MutantEntry] = Field(min_length=1)


def load_mutants(path: Path, submissions: Path) -> list[Mutant]:
    """Return the mutants in a file, each known to apply to the program as it is.

    Raises:
        InputError: the file or the program cannot be read.
        ScenarioError: there are mistakes in it; all of them are listed.
    """
    document = read_document(path, "file of mutants")
    try:
        file = MutantsFile.model_validate(document.data)
    except ValidationError as err:
        raise_if_any([*document.problems, *problems_of(document, MutantsFile, err)])
        raise  # no problem was found in what pydantic refuses
    folder, _, source = file.program.partition("/")
    text = _read(submissions / file.program)
    raise_if_any([*document.problems, *_problems(document, file, text)])
    kind = next(kind for kind in KINDS if kind in source)
    return [
        Mutant(
            submission=submissions / folder,
            source=source,
            kind=kind,
            name=entry.name,
            why=entry.why,
            edits=tuple(Edit(edit.old, edit.new) for edit in entry.edits),
            caught_by=tuple(entry.caught_by),
            survives=_survival(entry.survives),
        )
        for entry in file.mutants
    ]


def _survival(entry: SurvivalFile | None) -> Survival | None:
    return None if entry is None else Survival(entry.because, entry.why)


def write_mutant(mutant: Mutant, into: Path) -> None:
    """Copy the reference into a new folder, with the mutant's changes in it.

    Raises:
        InputError: the text to be changed is not there once.
    """
    shutil.copytree(mutant.submission, into)
    source = into / mutant.source
    source.write_text(_changed(mutant, source.read_text()))


def _changed(mutant: Mutant, text: str) -> str:
    for edit in mutant.edits:
        if text.count(edit.old) != 1:
            raise InputError(f"{mutant.label} does not apply: {_miss(edit.old, text)}", fix=_MEND)
        text = text.replace(edit.old, edit.new)
    return text


_MEND = "copy the text anew from the program, with enough around it to be there once."


def _miss(old: str, text: str) -> str:
    count = text.count(old)
    shown = " ".join(old.split())[:60]
    return f'"{shown}" is {"not in the program" if not count else f"there {count} times"}.'


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as err:
        raise InputError(
            f"the program {path} cannot be read: {err.strerror or err}.", fix="check `program`."
        ) from err


def _problems(document: Document, file: MutantsFile, text: str) -> Iterator[Problem]:
    if not any(kind in file.program for kind in KINDS):
        what = f"{file.program} is neither of the two programs."
        yield document.problem(("program",), what, f"name {' or '.join(KINDS)}.")
    names = [entry.name for entry in file.mutants]
    for index, entry in enumerate(file.mutants):
        at = ("mutants", index)
        if entry.name in names[:index]:
            yield document.problem((*at, "name"), f"{entry.name} is there twice.", "rename one.")
        changed = text
        for position, edit in enumerate(entry.edits):
            if changed.count(edit.old) != 1:
                what = f"{entry.name} does not apply: {_miss(edit.old, changed)}"
                yield document.problem((*at, "edits", position, "old"), what, _MEND)
            changed = changed.replace(edit.old, edit.new)
        if bool(entry.caught_by) == (entry.survives is not None):
            what = f"{entry.name} is either caught or survives."
            fix = "name what it loses in `caught_by`, or why it loses nothing in `survives`."
            yield document.problem(at, what, fix)
        for position, caught in enumerate(entry.caught_by):
            yield from _unknown(document, (*at, "caught_by", position), caught)


def _unknown(document: Document, at: tuple[str | int, ...], caught: str) -> Iterator[Problem]:
    scenario, _, criterion = caught.partition("/")
    if scenario not in scenario_files():
        fix = known_or_nearest(scenario, scenario_files(), "scenario")
        yield document.problem(at, f"there is no scenario {scenario}.", fix)
    elif criterion not in {asked.name for asked in find_scenario(scenario).criteria}:
        fix = known_or_nearest(criterion, CRITERIA, "criterion")
        yield document.problem(at, f"{scenario} does not judge {criterion or 'nothing'}.", fix)
