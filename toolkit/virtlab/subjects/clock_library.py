"""The preloaded clock library: found in the cache, or built there with the machine's C compiler.

`python -m virtlab.subjects.clock_library` builds it and prints where it is.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from virtlab.errors import EnvironmentLackError
from virtlab.kept import cache_directory
from virtlab.subjects.sanitise import RECOVERING_OPTIONS

__all__ = ["clock_library", "preload_environment"]

SOURCES = Path(__file__).resolve().parent / "clock"
FLAGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"),
    "-U_FORTIFY_SOURCE",  # its headers would turn our own definitions into checked calls
    *("-fPIC", "-shared", "-pthread", "-fvisibility=hidden"),
)
COMPILERS = ("cc", "gcc", "clang")
BUILD_TIMEOUT_S = 120
# A sanitised program refuses to start behind any preloaded library unless it is told not to mind;
# leaks at its end are no fault here, and looking for them needs ptrace, which the sandbox denies.
# Where the lab has built the program so that it can go on after a finding, it does.
_SANITISER = f"verify_asan_link_order=0:detect_leaks=0:{RECOVERING_OPTIONS}"


def clock_library(cache: Path | None = None) -> Path:
    """Return the path of the clock library for this machine; build it where it is not yet cached.

    Raises:
        EnvironmentLackError: there is no C compiler, or it could not build the library.
    """
    folder = cache_directory() if cache is None else cache
    library = folder / f"libvirtlab-clock-{_fingerprint()}.so"
    if not library.exists():
        _build(library)
    return library


def preload_environment(
    library: Path,
    *,
    clock_socket: Path | None = None,
    clock_page: Path | None = None,
    libvirt_dir: Path | None = None,
) -> dict[str, str]:
    """Return the variables that put a program under the library; what is None stays real."""
    variables = {"LD_PRELOAD": str(library), "ASAN_OPTIONS": _SANITISER}
    if clock_socket is not None:
        variables["VIRTLAB_CLOCK_SOCKET"] = str(clock_socket)
    if clock_page is not None:
        variables["VIRTLAB_CLOCK_PAGE"] = str(clock_page)
    if libvirt_dir is not None:
        variables["VIRTLAB_LIBVIRT_DIR"] = str(libvirt_dir)
    return variables


def _fingerprint() -> str:
    """Name the build by everything that goes into it, so that a stale one is never used."""
    digest = hashlib.sha256(f"{platform.machine()} {FLAGS}".encode())
    for source in sorted(SOURCES.glob("*.[ch]")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _build(library: Path) -> None:
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise EnvironmentLackError(
            "no C compiler was found (tried cc, gcc, clang); the virtual clock is built with one",
            fix="sudo apt install gcc libc6-dev",
        )
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=library.parent, suffix=".building")
    except OSError as err:
        raise EnvironmentLackError(
            f"the clock library cannot be kept in {library.parent}: {err.strerror or err}",
            fix="set VIRTLAB_CACHE_DIR to a folder that you may write to",
        ) from err
    os.close(handle)
    try:
        _compile(compiler, Path(unfinished))
        # Renaming is atomic: a second process sees the whole library or none.
        Path(unfinished).chmod(0o755)
        Path(unfinished).rename(library)
    finally:
        Path(unfinished).unlink(missing_ok=True)


def _compile(compiler: str, output: Path) -> None:
    sources = sorted(str(source) for source in SOURCES.glob("*.c"))
    command = [compiler, *FLAGS, "-o", str(output), *sources, "-ldl"]
    try:
        # An inherited preload would slow the compiler down or trip it up.
        environment = {key: text for key, text in os.environ.items() if key != "LD_PRELOAD"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise EnvironmentLackError(f"{compiler} could not be run: {err}") from err
    if done.returncode != 0:
        first = "\n".join(done.stderr.splitlines()[:5]) or f"exit status {done.returncode}"
        raise EnvironmentLackError(
            f"{compiler} could not build the clock library:\n{first}",
            fix="sudo apt install gcc libc6-dev",
        )


if __name__ == "__main__":
    print(clock_library())
