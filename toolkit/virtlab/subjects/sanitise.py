"""Building a C program with AddressSanitizer and UBSan, whatever its Makefile says.

A folder of compiler names stands first in PATH while it is built: each is a script that calls the
real compiler with the sanitisers' options added, so that Makefiles which ignore CFLAGS are reached
as well. What calls a compiler by its full path is not; the build then yields an ordinary program.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from virtlab.subjects.sandbox import ENVIRONMENT

__all__ = ["RECOVERING_OPTIONS", "make_compilers"]

_COMPILERS = ("cc", "gcc", "c++", "g++", "c99", "clang", "clang++")
# A finding is written down and the program goes on: one run then shows all of them. What UBSan
# knows of the sizes of objects, AddressSanitizer tells better.
_OPTIONS = (
    "-g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=object-size "
    "-fsanitize-recover=address,undefined"
)
# For ASAN_OPTIONS. Blocks from malloc keep what happens to be in them, as without the sanitiser.
RECOVERING_OPTIONS = "halt_on_error=0:max_malloc_fill_size=0"


def make_compilers(folder: Path) -> None:
    """Write the scripts into a new folder, one for each compiler that is installed."""
    folder.mkdir(mode=0o755)
    for name in _COMPILERS:
        real = shutil.which(name, path=ENVIRONMENT["PATH"])
        if real is not None:
            script = folder / name
            # Last, as the last of contradicting options counts.
            script.write_text(f'#!/bin/sh\nexec {real} "$@" {_OPTIONS}\n')
            script.chmod(0o755)
