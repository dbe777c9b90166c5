"""Find the two programs in what was handed in, whatever year's layout it has.

Every file belongs to a *unit*: the nearest folder above it that has a Makefile, or its own folder
where none has. Each unit is weighed for each program: a source or program of that name, a folder
called cpu or memory, the calls that the sources make. The heaviest unit is the program's. Where two
units have a program of its name, the one with a Makefile counts, then the one in fewer folders; two
that differ in neither are two submissions, and nobody can tell which of them is meant.

| handed in | built by |
|---|---|
| a Makefile, under any spelling | make |
| C or C++ sources without one | the compiler, with -g -Wall, -lvirt and -lm |
| a Python program | nothing, it is run |
| a policy, a Python class that decides | nothing, our daemon runs it |
| an executable or script alone | nothing, it is run |
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from virtlab.errors import SubmissionError
from virtlab.model.scenario import ProgramKind
from virtlab.subjects.elf import read_elf
from virtlab.subjects.intake import printable

__all__ = ["KINDS", "BuildWay", "ProgramSource", "find_programs", "is_program"]

BuildWay = Literal["make", "compile", "python", "policy", "executable"]

KINDS: tuple[ProgramKind, ...] = ("vcpu_scheduler", "memory_coordinator")
MAKE_FINDS = ("GNUmakefile", "makefile", "Makefile")  # in make's own order
C_SUFFIXES = frozenset({".c", ".cc", ".cpp", ".cxx", ".c++", ".C"})
CXX_SUFFIXES = C_SUFFIXES - {".c"}
_TEXT_BYTES = 512 * 1024  # read of one source; a larger one is no student's

_WORDS: Mapping[ProgramKind, re.Pattern[str]] = {
    "vcpu_scheduler": re.compile(r"v?cpu|sched", re.IGNORECASE),
    "memory_coordinator": re.compile(r"mem|coord|balloon", re.IGNORECASE),
}
_FOLDERS: Mapping[ProgramKind, re.Pattern[str]] = {
    "vcpu_scheduler": re.compile(r"v?cpu|sched", re.IGNORECASE),
    "memory_coordinator": re.compile(r"mem|coord", re.IGNORECASE),
}
# The names that only this program needs, in C, Python and Go, and what only such a policy sees.
_CALLS: Mapping[ProgramKind, re.Pattern[str]] = {
    "vcpu_scheduler": re.compile(r"\b(?:virDomain)?[Pp]inVcpu(?:Flags)?\s*\(|\bCpuSnapshot\b"),
    "memory_coordinator": re.compile(
        r"\b(?:virDomain)?[Ss]etMemory(?:Flags)?\s*\(|\bMemorySnapshot\b"
    ),
}
# A policy's one method; a program that connects to libvirt itself is none, whatever it defines.
_DECIDES = re.compile(r"^\s+def decide\(\s*self\s*,[^)]*\b(?:Cpu|Memory)Snapshot\b", re.MULTILINE)
_CONNECTS = re.compile(r"^\s*(?:import|from)\s+libvirt\b", re.MULTILINE)
_MAIN = re.compile(r"\bmain\s*\(")

_LISTED = 3  # names in a message

_NAMED, _FOLDER, _SIMILAR, _CALLED = 100, 10, 5, 3


@dataclass(frozen=True, slots=True)
class ProgramSource:
    """Where one program is, and how it is built."""

    kind: ProgramKind
    folder: Path  # it is built and run here
    way: BuildWay
    makefile: str | None = None  # its name, for make's -f, where make would not find it itself
    sources: tuple[Path, ...] = ()  # C or C++ to compile
    program: Path | None = None  # what is run as it is
    builds_from_source: bool = True  # False: a Makefile without any source beside it
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Unit:
    """A folder with what belongs to it."""

    folder: Path
    makefiles: list[Path] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)
    scripts: list[Path] = field(default_factory=list)  # Python
    programs: list[Path] = field(default_factory=list)


def find_programs(
    root: Path, *, kind: ProgramKind | None = None
) -> dict[ProgramKind, ProgramSource]:
    """Return the programs that are there; one that is missing has no entry.

    Args:
        root: an unpacked submission.
        kind: what a single program is, where neither its name nor its calls tell.

    Raises:
        SubmissionError: there is no program at all, or nothing tells which one it is.
    """
    units = _units(root)
    if not units:
        raise SubmissionError(
            f"{printable(root.name)}: there is no source, no Makefile and no program in it",
            fix="hand in a folder with vcpu_scheduler.c or memory_coordinator.c and a Makefile",
        )
    if kind is not None:
        found, notes = _heaviest(units, kind, root)
        if found is None and len(units) == 1 and not _weight(units[0], _other(kind), root):
            found = units[0]  # nothing speaks against what the caller says
        return {kind: _source(found, kind, notes)} if found else {}
    programs: dict[ProgramKind, ProgramSource] = {}
    for each in KINDS:
        unit, notes = _heaviest(units, each, root)
        if unit is not None:
            programs[each] = _source(unit, each, notes)
    if not programs:
        names = _listed([_shown(unit, root) for unit in units])
        raise SubmissionError(
            f"{printable(root.name)}: neither a name nor a libvirt call tells which program is in "
            f"{names}",
            fix="name the program vcpu_scheduler or memory_coordinator, or say which one it is",
        )
    return programs


def is_program(path: Path) -> bool:
    """Tell whether a file is one to run: of the machine's format, or a script that may be run."""
    if not path.is_file() or path.is_symlink():
        return False
    header = read_elf(path)
    if header is not None:
        return header.runs
    with path.open("rb") as stream:
        return stream.read(2) == b"#!"


def _units(root: Path) -> list[_Unit]:
    """Return the units that hold anything, in the order of their paths."""
    units: dict[Path, _Unit] = {}
    home: dict[Path, Path] = {}  # the folder of the unit that a folder's files belong to
    for name, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        folder = Path(name)
        files = [folder / each for each in sorted(names) if not each.startswith(".")]
        makefiles = [path for path in files if _is_makefile(path)]
        above = home.get(folder.parent)
        inherits = above is not None and bool(units[above].makefiles) and not makefiles
        home[folder] = above if inherits and above is not None else folder
        unit = units.setdefault(home[folder], _Unit(home[folder]))
        unit.makefiles += makefiles
        for path in files:
            _sort_in(path, unit)
    return [
        unit
        for unit in sorted(units.values(), key=lambda unit: unit.folder)
        if unit.makefiles or unit.sources or unit.scripts or unit.programs
    ]


def _sort_in(path: Path, unit: _Unit) -> None:
    if path.is_symlink() or _is_makefile(path):
        return
    if path.suffix in C_SUFFIXES:
        unit.sources.append(path)
    elif path.suffix == ".py":
        unit.scripts.append(path)
    elif path.suffix not in {".o", ".so"} and is_program(path):
        unit.programs.append(path)


def _is_makefile(path: Path) -> bool:
    return path.name.lower() in {"makefile", "gnumakefile", "makefile.txt"} and path.is_file()


def _heaviest(
    units: list[_Unit], kind: ProgramKind, root: Path
) -> tuple[_Unit | None, tuple[str, ...]]:
    """Return the unit with most evidence, and what to say about others with as much.

    Raises:
        SubmissionError: two of them are as good as each other, and differ.
    """
    weights = {unit.folder: _weight(unit, kind, root) for unit in units}
    most = max(weights.values())
    if most <= 0:
        return None, ()
    best = [unit for unit in units if weights[unit.folder] == most]
    best.sort(key=lambda unit: (*_rank(unit, root), unit.folder))
    chosen, others = best[0], best[1:]
    if most < _NAMED or not others:
        return chosen, ()
    names = [_shown(unit, root) for unit in best]
    rivals = [unit for unit in others if _rank(unit, root) == _rank(chosen, root)]
    if any(_contents(unit) != _contents(chosen) for unit in rivals):
        raise SubmissionError(
            f"{printable(root.name)}: there is a {kind} in {_listed(names[: len(rivals) + 1])}, "
            "and nothing tells which one counts",
            fix="grade one submission at a time; a class is graded with: virtlab grade FOLDER/*",
        )
    return chosen, (f"there is a {kind} in {_listed(names)}; the one in {names[0]} counts",)


def _rank(unit: _Unit, root: Path) -> tuple[bool, int]:
    """Return what settles which of two units with a program's name counts; the least does."""
    return not unit.makefiles, len(unit.folder.relative_to(root).parts)


def _contents(unit: _Unit) -> dict[Path, bytes]:
    files = [*unit.makefiles, *unit.sources, *unit.scripts, *unit.programs]
    return {path.relative_to(unit.folder): path.read_bytes() for path in files}


def _shown(unit: _Unit, root: Path) -> str:
    relative = unit.folder.relative_to(root)
    return printable(str(relative)) if relative.parts else "the top folder"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more places" if len(names) > _LISTED else ""
    if more:
        return ", ".join(names[:_LISTED]) + more
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _weight(unit: _Unit, kind: ProgramKind, root: Path) -> int:
    """Return how much speaks for a unit's being a program; the other program's signs count less."""
    other = _other(kind)
    files = [*unit.sources, *unit.scripts, *unit.programs]
    own_name = any(_is_named(path, kind) for path in files)
    other_name = any(_is_named(path, other) for path in files)
    if own_name:
        return _NAMED + _folder_weight(unit, kind, root)
    if other_name:
        return 0
    similar = sum(_SIMILAR for path in files if _WORDS[kind].search(path.stem))
    unlike = sum(_SIMILAR for path in files if _WORDS[other].search(path.stem))
    texts = [_text(path) for path in [*unit.sources, *unit.scripts]]
    called = _CALLED if any(_CALLS[kind].search(text) for text in texts) else 0
    uncalled = _CALLED if any(_CALLS[other].search(text) for text in texts) else 0
    weight = _folder_weight(unit, kind, root) - _folder_weight(unit, other, root)
    weight += min(similar, _SIMILAR) - min(unlike, _SIMILAR) + called - uncalled
    return max(weight, 0)


def _other(kind: ProgramKind) -> ProgramKind:
    return KINDS[1 - KINDS.index(kind)]


def _folder_weight(unit: _Unit, kind: ProgramKind, root: Path) -> int:
    parts = unit.folder.relative_to(root).parts
    return _FOLDER if any(_FOLDERS[kind].search(part) for part in parts[-2:]) else 0


def _is_named(path: Path, kind: ProgramKind) -> bool:
    return re.sub(r"[-_. ]", "", path.stem.lower()) == kind.replace("_", "")


def _text(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(_TEXT_BYTES).decode("utf-8", errors="replace")


def _source(unit: _Unit, kind: ProgramKind, remarks: tuple[str, ...]) -> ProgramSource:
    """Return how a unit's program is built; a file of the program's name decides, where one is."""
    way = _way(unit, kind)
    notes = list(remarks)
    if way == "make":
        makefile = _makefile(unit, notes)
        has_source = bool(unit.sources)
        return ProgramSource(kind, unit.folder, way, makefile, (), None, has_source, tuple(notes))
    if way == "compile":
        sources = _to_compile(unit.sources, kind)
        notes.append("there is no Makefile; it is built with the compiler directly")
        return ProgramSource(kind, unit.folder, way, sources=sources, notes=tuple(notes))
    if way == "python":
        script = _best(unit.scripts, kind)
        if script is not None and _is_policy(script):
            way = "policy"
        return ProgramSource(kind, unit.folder, way, program=script, notes=remarks)
    program = _best(unit.programs, kind)
    return ProgramSource(
        kind, unit.folder, way, program=program, builds_from_source=False, notes=remarks
    )


def _is_policy(script: Path) -> bool:
    text = _text(script)
    return bool(_DECIDES.search(text)) and not _CONNECTS.search(text)


def _way(unit: _Unit, kind: ProgramKind) -> BuildWay:
    from_source: BuildWay = "make" if unit.makefiles else "compile"
    if any(_is_named(path, kind) for path in unit.sources):
        return from_source
    if any(_is_named(path, kind) for path in unit.scripts):
        return "python"
    if unit.makefiles and (unit.sources or not unit.scripts):
        return "make"
    if any(_is_named(path, kind) for path in unit.programs):
        return "executable"
    if unit.sources:
        return "compile"
    return "python" if unit.scripts else "executable"


def _makefile(unit: _Unit, notes: list[str]) -> str | None:
    """Return what make's -f has to name; None where make finds it by itself."""
    names = sorted(path.name for path in unit.makefiles if path.parent == unit.folder)
    if any(name in names for name in MAKE_FINDS):
        return None
    notes.append(f"make does not look for a file called {names[0]}; rename it to Makefile")
    return names[0]


def _best(paths: list[Path], kind: ProgramKind) -> Path | None:
    """Return the file that is most likely the program: by name, by its calls, the only one."""
    for path in paths:
        if _is_named(path, kind):
            return path
    similar = [path for path in paths if _WORDS[kind].search(path.stem)]
    calling = [path for path in paths if path.suffix == ".py" and _CALLS[kind].search(_text(path))]
    for choice in (similar, calling, paths):
        if len(choice) == 1:
            return choice[0]
    return paths[0] if paths else None


def _to_compile(sources: list[Path], kind: ProgramKind) -> tuple[Path, ...]:
    """Return one source with a main function and all those without."""
    with_main = [path for path in sources if _MAIN.search(_text(path))]
    if len(with_main) < 2:
        return tuple(sources)
    chosen = _best(with_main, kind)
    if chosen is not None and not _is_named(chosen, kind):
        calling = [path for path in with_main if _CALLS[kind].search(_text(path))]
        chosen = calling[0] if len(calling) == 1 else chosen
    return tuple(path for path in sources if path not in with_main or path == chosen)
