"""Debian packages, resolved and fetched by apt, and unpacked without being installed.

apt is asked as on a machine that has nothing, so that what comes back does not depend on what is
installed here; it verifies what it downloads. Neither step needs root. Programs of
unpacked packages run with their own libraries, so that this machine need not have them.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from virtlab.errors import EnvironmentLackError

__all__ = ["DebianPackage", "closure", "fetch", "found", "run_unpacked", "unpack"]

_LOOK_TIMEOUT_S = 60
_FETCH_TIMEOUT_S = 1200
_RUN_TIMEOUT_S = 120
_LOADER = "lib64/ld-linux-x86-64.so.2"
_LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
# An empty record of what is installed, and no lock on the real one.
_FROM_NOTHING = (
    *("-o", "Dir::State::status=/dev/null"),
    *("-o", "Debug::NoLocking=1"),
    *("-o", "APT::Install-Recommends=0"),
)
# Lines such as: Inst libudev1 (252.39-1~deb12u2 Debian:12.11/oldstable [amd64])
_INSTALLS = re.compile(
    r"^Inst (?P<name>\S+) .*?\((?P<version>\S+) .*\[(?P<architecture>\w+)\]\)", re.MULTILINE
)


@dataclass(frozen=True, slots=True, order=True)
class DebianPackage:
    """One version of one package."""

    name: str
    version: str
    architecture: str


def closure(names: Sequence[str]) -> list[DebianPackage]:
    """Return these packages and all that they depend on, sorted.

    Raises:
        EnvironmentLackError: there is no apt, or its lists do not have them.
    """
    listing = _run(
        ["apt-get", *_FROM_NOTHING, "-qq", "--simulate", "install", *names],
        cwd=Path("/"), timeout_s=_LOOK_TIMEOUT_S,
        what=f"apt does not know {', '.join(names)}", fix="sudo apt-get update",
    )  # fmt: skip
    return sorted(
        DebianPackage(found["name"], found["version"], found["architecture"])
        for found in _INSTALLS.finditer(listing)
    )


def fetch(packages: Sequence[DebianPackage], folder: Path) -> list[Path]:
    """Download packages into a folder; apt holds them against the signed lists.

    Raises:
        EnvironmentLackError: a package cannot be downloaded.
    """
    wanted = [f"{p.name}:{p.architecture}={p.version}" for p in packages if p.architecture != "all"]
    wanted += [f"{p.name}={p.version}" for p in packages if p.architecture == "all"]
    _run(
        ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *wanted],
        cwd=folder, timeout_s=_FETCH_TIMEOUT_S,
        what="packages could not be downloaded", fix="check the network, then sudo apt-get update",
    )  # fmt: skip
    return sorted(folder.glob("*.deb"))


def unpack(archive: Path, root: Path) -> None:
    """Unpack the files of one package below a folder; none of its scripts is run.

    Raises:
        EnvironmentLackError: there is no dpkg, or no room.
    """
    _run(
        ["dpkg-deb", "--extract", str(archive), str(root)],
        cwd=root, timeout_s=_FETCH_TIMEOUT_S,
        what=f"{archive.name} could not be unpacked", fix="look at the room that is left: df -h",
    )  # fmt: skip


def found(root: Path, path: str) -> Path:
    """Return a file of unpacked packages; distributions keep it in / or in /usr.

    Raises:
        EnvironmentLackError: no package has it.
    """
    for candidate in (root / path, root / "usr" / path):
        if candidate.exists():
            return candidate.resolve()
    raise EnvironmentLackError(f"no package has /{path}")


def run_unpacked(root: Path, program: str, *words: str, data: bytes) -> bytes:
    """Return what a program of unpacked packages makes of its standard input.

    Args:
        root: where the packages were unpacked.
        program: its place, such as "bin/zstd".
        words: its options.
        data: its input.

    Raises:
        EnvironmentLackError: it is not there, or fails.
    """
    libraries = ":".join(str(root / folder) for folder in _LIBRARIES)
    places = [str(found(root, path)) for path in (_LOADER, program)]
    command = [places[0], "--library-path", libraries, places[1], *words]
    try:
        return subprocess.run(
            command, input=data, capture_output=True, check=True, timeout=_RUN_TIMEOUT_S
        ).stdout
    except (OSError, subprocess.SubprocessError) as err:
        said = getattr(err, "stderr", None) or b""
        raise EnvironmentLackError(f"{program}: {err}: {said.decode(errors='replace')}") from err


def _run(command: Sequence[str], *, cwd: Path, timeout_s: float, what: str, fix: str) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout_s)
    except FileNotFoundError as err:
        raise EnvironmentLackError(
            f"{command[0]} was not found: the micro-guest is made of Debian's packages",
            fix="build it on Debian or Ubuntu, and copy its folder from the cache",
        ) from err
    except subprocess.TimeoutExpired as err:
        raise EnvironmentLackError(f"{what}: no end after {timeout_s:g} s", fix=fix) from err
    if done.returncode != 0:
        reason = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise EnvironmentLackError(f"{what}: {reason}", fix=fix)
    return done.stdout
