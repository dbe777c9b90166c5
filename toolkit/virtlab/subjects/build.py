"""Build a program from its source, inside the sandbox, and say plainly why it cannot be built.

What was handed in ready-made beside sources is removed first, so that it is the source that is
graded. A failure is a result with its first error, never an exception.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from virtlab.errors import EnvironmentLackError
from virtlab.subjects.clock_reach import why_out_of_reach
from virtlab.subjects.elf import machine_here, read_elf
from virtlab.subjects.launch import Process, run_to_end
from virtlab.subjects.layout import (
    C_SUFFIXES,
    CXX_SUFFIXES,
    KINDS,
    ProgramSource,
    is_program,
)
from virtlab.subjects.policy_runner import check_argv, daemon_argv, lay_runner
from virtlab.subjects.room import Room
from virtlab.subjects.sandbox import ENVIRONMENT, Folder, Limits, Plan, Sandbox, check_reachable
from virtlab.subjects.work_directory import work_directory

__all__ = ["INSIDE", "BuildResult", "build", "first_error"]

INSIDE = "/submission"  # where a program sees the root of what was handed in
_COMPILERS_INSIDE = "/run/virtlab-compilers"
_PYTHON = "/usr/bin/python3"  # the one that the distribution's libvirt module is for
_ROOM_BYTES = 1024 * 1024  # with less a build that fails is not the program's fault
_PROBE_S = 30.0
_APT = "apt-get install"
_PACKAGES = {"cc": "gcc libc6-dev", "c++": "g++", "make": "make"}
_BUILT_SUFFIXES = frozenset({".o", ".lo", ".a", ".so", ".d", ".gch"})
_LIMITS = Limits(
    memory_kib=2 * 1024 * 1024,
    processes=256,  # make may run many compilers at once
    cpu_s=300,
    output_bytes=8 * 1024 * 1024,
    kept_output_bytes=512 * 1024,
)
# Compilers, linkers and make, in the languages that students use; the first hit in the log counts.
_ERRORS = (
    re.compile(r"^\S[^\n:]*:\d+(?::\d+)?: (?:fatal )?error: .*$", re.MULTILINE),
    re.compile(r"^.*(?:undefined reference to|multiple definition of|cannot find -l).*$", re.M),
    re.compile(r"^(?:\S+: )?(?:fatal )?error: .*$", re.MULTILINE),
    re.compile(r"^\S+: \*\*\* .*$", re.MULTILINE),  # make itself, or "Makefile:2"
    re.compile(r"^\S*sh: .*$", re.MULTILINE),
)
# What differs between two equal builds: the linker's folder, and the compiler's files in between.
_NOT_THE_SAME = re.compile(r"^/usr/bin/(?:\S*-)?ld(?:\.\w+)?: |/tmp/cc\w+(?:\.\w+)*\.o:? ?")


@dataclass(frozen=True, slots=True)
class BuildResult:
    """A program ready to be launched, or why there is none."""

    ok: bool
    source: ProgramSource
    argv: tuple[str, ...] = ()  # to start the program in `source.folder`, arguments to follow
    program: Path | None = None
    first_error: str | None = None
    log: str = ""
    notes: tuple[str, ...] = ()
    out_of_reach: str | None = None  # why the lockstep clock does not reach it
    timed_out: bool = False
    duration_s: float = 0.0

    def sanitised(self) -> bool:
        """Tell whether it was built with AddressSanitizer, whose runtime starts by this name."""
        return self.program is not None and b"__asan_init" in self.program.read_bytes()


def build(
    source: ProgramSource,
    root: Path,
    sandbox: Sandbox,
    *,
    timeout_s: float = 60.0,
    compilers: Path | None = None,
) -> BuildResult:
    """Build one program of a submission.

    Args:
        source: where it is, from `find_programs`.
        root: our own copy of the submission, from `open_submission`.
        sandbox: the layers to use.
        timeout_s: real time after which the build is ended.
        compilers: a folder of programs that stand in for the machine's compilers.

    Raises:
        EnvironmentLackError: the folder is out of reach for the sandbox's user, nothing starts, the
            disk is full, or it failed where a compiler, make or libvirt's header is missing.
    """
    check_reachable(root, sandbox)
    cleaned = _remove_built(source)
    sandbox.hand_over(root)
    if source.program is not None:
        sandbox.take_back(root)
        if source.way == "policy":
            return _policy(source, source.program, root, sandbox, timeout_s)
        return _ready_made(source, source.program)
    notes = [*source.notes, *cleaned]
    before = {source.folder / name for name in _programs_in(source.folder)}
    started = monotonic()
    room = Room(root)
    plan = _plan(source, root, sandbox, compilers)
    try:
        process, timed_out = run_to_end(plan, sandbox, timeout_s, room)
    finally:
        sandbox.take_back(root)
    duration_s = monotonic() - started
    log = _log(process, source)
    # Before anything looks into what is there.
    too_much = room.look(())
    problem = f"the build made {room.excess}" if too_much else None
    problem = problem or _problem(process, timed_out, timeout_s, log)
    program: Path | None = None
    if problem is None:
        program, problem = _product(source, before, notes)
    if problem is not None and not too_much and shutil.disk_usage(root).free < _ROOM_BYTES:
        raise EnvironmentLackError(
            f"The disk is full: {source.kind} could not be built in {root}.",
            fix="free some space, or set TMPDIR to a folder on another disk.",
        )
    if problem is not None and not too_much:
        _check_tools(source, sandbox)
    if problem is not None or program is None:
        return BuildResult(
            ok=False,
            source=source,
            first_error=problem,
            log=log,
            notes=tuple(notes),
            timed_out=timed_out and not too_much,
            duration_s=duration_s,
        )
    return BuildResult(
        ok=True,
        source=source,
        argv=(f"./{program.relative_to(source.folder)}",),
        program=program,
        log=log,
        notes=tuple(notes),
        out_of_reach=why_out_of_reach(program),
        duration_s=duration_s,
    )


def _check_tools(source: ProgramSource, sandbox: Sandbox) -> None:
    """Refuse to blame a program for what the machine lacks; asked only where a build has failed."""
    compiler = "cc" if source.way == "make" else _compiler(source)[0]
    tools = [compiler, *(["make"] if source.way == "make" else [])]
    # In a folder of its own, in which nothing of the program's is.
    with work_directory() as folder:
        for tool in tools:
            plan = Plan((tool, "--version"), folder, (Folder(folder, INSIDE),))
            _check_tool(plan, sandbox, tool, f"{_APT} {_PACKAGES[tool]}")
        probe = folder / "probe.c"
        probe.write_text("#include <libvirt/libvirt.h>\n")
        probe.chmod(0o644)
        plan = Plan((compiler, "-fsyntax-only", "./probe.c"), folder, (Folder(folder, INSIDE),))
        _check_tool(plan, sandbox, "libvirt for C programs", f"{_APT} libvirt-dev")


def _check_tool(plan: Plan, sandbox: Sandbox, what: str, fix: str) -> None:
    end = run_to_end(plan, sandbox, _PROBE_S)[0].exit
    if end is None or end.code != 0:
        raise EnvironmentLackError(
            f"this machine cannot build programs: {what} is missing", fix=fix
        )


def first_error(log: str) -> str | None:
    """Return the line of a build's log that names the first error, or None where none does."""
    for pattern in _ERRORS:
        if match := pattern.search(log):
            return _NOT_THE_SAME.sub("", match[0].strip())
    return None


def _plan(source: ProgramSource, root: Path, sandbox: Sandbox, compilers: Path | None) -> Plan:
    if source.way == "make":
        argv = ["make", *(["-f", source.makefile] if source.makefile else [])]
    else:
        argv = _compiler(source)
    folders = [Folder(root, INSIDE, writable=True)]
    env = {"LC_ALL": "C"}  # messages are searched for English words
    if compilers is not None:
        folders.append(Folder(compilers, _COMPILERS_INSIDE))
        env["PATH"] = f"{sandbox.inside(compilers, folders)}:{ENVIRONMENT['PATH']}"
    return Plan(
        argv=tuple(argv),
        cwd=source.folder,
        folders=tuple(folders),
        env=env,
        limits=_LIMITS,
    )


def _compiler(source: ProgramSource) -> list[str]:
    compiler = "c++" if any(path.suffix in CXX_SUFFIXES for path in source.sources) else "cc"
    files = [str(path.relative_to(source.folder)) for path in source.sources]
    # After ./, as the name may begin with a dash.
    names = [f"./{name}" for name in files]
    return [compiler, "-g", "-Wall", *names, "-o", source.kind, "-lvirt", "-lm", "-pthread"]


def _log(process: Process, source: ProgramSource) -> str:
    command = "make" if source.way == "make" else " ".join(_compiler(source))
    return f"$ {command}\n{process.stdout.text()}{process.stderr.text()}"


def _problem(process: Process, timed_out: bool, timeout_s: float, log: str) -> str | None:
    """Return why the build failed; None where it did not."""
    if timed_out:
        return f"the build did not end within {timeout_s:g} s, and was ended"
    if process.flooded:
        return f"the build printed more than {_LIMITS.output_bytes // 1024 // 1024} MiB"
    end = process.exit
    assert end is not None
    if end.code == 0:
        return None
    if end.out_of_memory:
        return f"the build needs more than {_LIMITS.memory_kib // 1024 // 1024} GiB of memory"
    return first_error(log) or f"the build failed ({end}) without naming an error"


def _product(
    source: ProgramSource, before: set[Path], notes: list[str]
) -> tuple[Path | None, str | None]:
    """Return the program that the build made, or why there is none."""
    expected = source.folder / source.kind
    found = [source.folder / name for name in _programs_in(source.folder)]
    made = [path for path in found if path not in before] or found
    if expected in found:
        return _checked(expected)
    same_name = [path for path in made if path.name.lower() == source.kind]
    alike = [path for path in made if _alike(path, source)]
    binaries = [path for path in made if read_elf(path) is not None]
    for choice in (same_name, alike, binaries, made):
        if len(choice) == 1:
            where = choice[0].relative_to(source.folder)
            notes.append(f"the build made {where}; the course asks for {source.kind}")
            return _checked(choice[0])
    if not made:
        return None, f"the build ended well, but made no program; it should make {source.kind}"
    names = ", ".join(str(path.relative_to(source.folder)) for path in made)
    return None, f"the build made several programs, none called {source.kind}: {names}"


def _alike(path: Path, source: ProgramSource) -> bool:
    """Tell whether a name points to this program rather than to the other one."""
    other = KINDS[1 - KINDS.index(source.kind)]
    own, foreign = source.kind.split("_"), other.split("_")
    name = path.name.lower()
    stems = {word[:3] for word in own} - {word[:3] for word in foreign}
    return any(stem in name for stem in [*stems, *(["cpu"] if "vcpu" in own else [])])


def _checked(program: Path) -> tuple[Path | None, str | None]:
    """Return the program, or why it cannot run on this machine."""
    header = read_elf(program)
    if header is not None and header.machine != machine_here():
        here = machine_here()
        return None, f"{program.name} is a program for {header.machine}, this machine is {here}"
    if header is None and not is_program(program):
        return (
            None,
            f"{program.name} is neither a program for Linux nor a script that starts with #!",
        )
    if program.stat().st_mode & (stat.S_ISUID | stat.S_ISGID):
        return None, f"{program.name} is setuid, which escapes the virtual clock"
    return program, None


def _ready_made(source: ProgramSource, program: Path) -> BuildResult:
    """Return a result for what is run as it is."""
    name = f"./{program.relative_to(source.folder)}"
    if source.way == "python":
        return BuildResult(True, source, (_PYTHON, name), program, notes=source.notes)
    checked, problem = _checked(program)
    if checked is None:
        return BuildResult(False, source, first_error=problem, notes=source.notes)
    program.chmod(0o755)
    notes = (*source.notes, "there is no source; the program is run as it was handed in")
    out_of_reach = why_out_of_reach(program)
    return BuildResult(True, source, (name,), program, notes=notes, out_of_reach=out_of_reach)


def _policy(
    source: ProgramSource, policy: Path, root: Path, sandbox: Sandbox, timeout_s: float
) -> BuildResult:
    """Lay what runs a policy beside it, and look whether it can be made."""
    name = str(policy.relative_to(source.folder))
    lay_runner(source.folder)
    sandbox.hand_over(root)
    try:
        plan = Plan(
            argv=check_argv(source.kind, name),
            cwd=source.folder,
            folders=(Folder(root, INSIDE, writable=True),),
            limits=_LIMITS,
        )
        process, timed_out = run_to_end(plan, sandbox, timeout_s, Room(root))
    finally:
        sandbox.take_back(root)
    log = f"{process.stdout.text()}{process.stderr.text()}"
    problem = _problem(process, timed_out, timeout_s, log)
    return BuildResult(
        ok=problem is None,
        source=source,
        argv=daemon_argv(source.kind, name),
        program=policy,
        first_error=problem,
        log=log,
        notes=(*source.notes, "it is a policy, and our daemon runs it"),
        timed_out=timed_out,
    )


def _programs_in(folder: Path) -> Sequence[str]:
    """Return the programs below a folder, by their paths in it; sources and objects are none."""
    found: list[str] = []
    for name, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for each in sorted(names):
            path = Path(name) / each
            if path.suffix in C_SUFFIXES | _BUILT_SUFFIXES | {".sh", ".py"}:
                continue
            if is_program(path):
                found.append(str(path.relative_to(folder)))
    return found


def _remove_built(source: ProgramSource) -> list[str]:
    """Remove what was built from sources before it was handed in; return a note about it."""
    if source.program is not None or not source.builds_from_source:
        return []
    removed: list[str] = []
    for name, folders, names in os.walk(source.folder):
        folders.sort()
        for each in sorted(names):
            path = Path(name) / each
            if path.is_symlink() or not path.is_file():
                continue
            if path.suffix in _BUILT_SUFFIXES or read_elf(path) is not None:
                path.unlink()
                removed.append(str(path.relative_to(source.folder)))
    if not removed:
        return []
    return [f"removed before the build, as the source is graded: {', '.join(removed)}"]
