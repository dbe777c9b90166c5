"""Which programs the lockstep clock reaches: those that load the clock library and call through it.

The library is preloaded by the dynamic loader of the machine's C library. A static program has no
loader, a program for another C library has another one, and Go's runtime asks the kernel itself
for time and sleep, whatever is preloaded. `clock/reach.c` asks the same about programs that the
program under test starts.
"""

from __future__ import annotations

import os
from pathlib import Path

from virtlab.subjects.elf import ElfHeader, read_elf

__all__ = ["why_out_of_reach", "why_start_is_out_of_reach"]

_LOADERS = ("ld-linux", "ld64.so", "ld.so.1")  # glibc's names, sysdeps/*/shlib-versions
# The values of `enum clock_reach` in clock/protocol.h.
_START_REASONS = {
    1: "which is linked statically",
    2: "which is a Go program",
    3: "which is for another C library or another kind of machine",
}
_INTERPRETERS_MAX = 4  # as the kernel follows them, fs/exec.c
_SHEBANG_BYTES = 256


def why_out_of_reach(program: Path) -> str | None:
    """Return why the lockstep clock does not reach a program, or None where it does.

    The reason completes the sentence "It runs on the paced clock, as ...". A script is as its
    interpreter is.
    """
    for _ in range(_INTERPRETERS_MAX):
        header = read_elf(program)
        if header is not None:
            return _reason(header)
        interpreter = _interpreter(program)
        if interpreter is None:
            return None
        program = interpreter
    return None


def why_start_is_out_of_reach(path: str, reach: int) -> str:
    """Return the reason for a program that the program under test is about to start.

    Args:
        path: the program, as the library has told it.
        reach: a value of `enum clock_reach`.
    """
    shown = "".join(char for char in path if char.isprintable())
    return f"it starts {shown}, {_START_REASONS.get(reach, 'which has no clock')}"


def _reason(header: ElfHeader) -> str | None:
    if header.go:
        return "it is a Go program, whose runtime asks the kernel itself for the time"
    if header.loader is None:
        return "it is linked statically, so that the clock library cannot be loaded into it"
    name = header.loader.rpartition("/")[2]
    if not name.startswith(_LOADERS):
        return f"its loader {name} is not that of the C library that the clock library is for"
    return None


def _interpreter(script: Path) -> Path | None:
    """Return the program that the kernel runs a script with."""
    try:
        with script.open("rb") as stream:
            first = stream.read(_SHEBANG_BYTES).partition(b"\n")[0]
    except OSError:
        return None
    words = first.removeprefix(b"#!").split()
    return Path(os.fsdecode(words[0])) if first.startswith(b"#!") and words else None
