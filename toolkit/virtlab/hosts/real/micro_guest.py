"""The micro-guest: a kernel and an initial RAM file system that boot in seconds, also emulated.

Its kernel, the virtio drivers, busybox and QEMU's guest agent come out of the distribution's
packages, which are unpacked and never installed; PID 1 and the loads (`guest/*.c`) are ours, and
linked statically. What goes in is named by a content hash, under which the result is kept; the same
content gives the same bytes.

`python -m virtlab.hosts.real.micro_guest` makes it and prints where it is, as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real import debian_packages
from virtlab.hosts.real.debian_packages import DebianPackage, run_unpacked
from virtlab.hosts.real.guest_content import LAYOUT, guest_initramfs
from virtlab.hosts.real.kernel_image import quick_to_boot

__all__ = ["MicroGuest", "compiled", "guest_cache", "micro_guest"]

_SOURCES: Final = Path(__file__).resolve().parent / "guest"
_PROGRAMS: Final = ("init", "workload")
_FLAGS: Final = ("-std=c17", "-O2", "-Wall", "-Wextra", "-static", "-s")
_FORM: Final = 2  # raised when this module lays the guest out in another way
_CONTENT: Final = ("busybox-static", "qemu-guest-agent")
_TOOLS: Final = ("lz4", "zstd")  # unpack the kernel and its drivers
_KERNELS: Final = {"debian": "linux-image-cloud-amd64", "ubuntu": "linux-image-virtual"}
# Shared libraries come in packages named lib* (Debian Policy 8.1).
_WANTED: Final = re.compile(r"^(lib|linux-(image|modules)-)")
_BUILD_TIMEOUT_S: Final = 120

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MicroGuest:
    """What a domain boots from."""

    kernel: Path
    initramfs: Path
    key: str  # names all that went in


def guest_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder for guests: VIRTLAB_GUEST_DIR, else one that QEMU's user can reach.

    QEMU runs as a user of its own, who cannot look into root's home; so root's guests lie in
    /var/cache.
    """
    if chosen := environment.get("VIRTLAB_GUEST_DIR"):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/var/cache/virtlab/micro-guest")
    xdg = environment.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "virtlab" / "micro-guest"


def micro_guest(
    cache: Path | None = None, *, renew: bool = False, progress: Progress = lambda _line: None
) -> MicroGuest:
    """Return the micro-guest of this machine's distribution; make it where it is not yet kept.

    Args:
        cache: the folder to keep it in; `guest_cache()` if left out.
        renew: look for newer packages, too.
        progress: told of each step, as each may take some seconds.

    Raises:
        EnvironmentLackError: something that it is made with is not to be had.
    """
    if platform.machine() != "x86_64":
        raise EnvironmentLackError(f"there is no micro-guest for {platform.machine()}, only x86_64")
    folder = guest_cache() if cache is None else cache
    # A link remembers what the sources led to, so that apt is asked but once.
    current = folder / f"current-{_fingerprint()}"
    if not renew and (kept := _kept(current)) is not None:
        return kept
    progress("looking up packages")
    names = [*_CONTENT, *_TOOLS, _kernel_package()]
    packages = [
        p for p in debian_packages.closure(names) if p.name in names or _WANTED.match(p.name)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as scratch:
        work = Path(scratch)
        programs = {name: compiled(name) for name in _PROGRAMS}
        key = _content_key(packages, programs)
        if _kept(folder / key) is None:
            _build(packages, programs, work, progress)
            _take(work / "done", folder / key)
        _point(current, key)
    made = _kept(current)
    assert made is not None
    return made


def compiled(name: str) -> bytes:
    """Return one of the guest's own programs (`init`, `workload`), which runs on any x86-64 Linux.

    Raises:
        EnvironmentLackError: there is no C compiler, or it fails.
    """
    with tempfile.TemporaryDirectory() as work:
        output = Path(work) / name
        command = ["gcc", *_FLAGS, "-o", str(output), str(_SOURCES / f"{name}.c"), "-lm"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as err:
            raise EnvironmentLackError(
                f"gcc could not be run: {err}", fix="sudo apt-get install gcc libc6-dev"
            ) from err
        if done.returncode != 0:
            first = "\n".join(done.stderr.splitlines()[:5])
            raise EnvironmentLackError(
                f"the guest's {name} could not be compiled:\n{first}",
                fix="sudo apt-get install gcc libc6-dev",
            )
        return output.read_bytes()


def _kept(folder: Path) -> MicroGuest | None:
    kernel, archive = folder / "kernel", folder / "initramfs.cpio"
    if not (kernel.is_file() and archive.is_file()):
        return None
    place = folder.resolve()
    return MicroGuest(place / kernel.name, place / archive.name, place.name)


def _fingerprint() -> str:
    digest = hashlib.sha256(f"{_FORM} {_FLAGS} {_CONTENT} {_TOOLS} {LAYOUT}".encode())
    for source in sorted(_SOURCES.glob("*.c")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _content_key(packages: Sequence[DebianPackage], programs: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(_fingerprint().encode())
    for package in packages:
        digest.update(f"{package.name} {package.version} {package.architecture}\n".encode())
    for name in sorted(programs):
        digest.update(programs[name])
    return digest.hexdigest()[:16]


def _kernel_package() -> str:
    """Return the package of the kernel for guests: the cloud kernel, or Ubuntu's equal."""
    release = platform.freedesktop_os_release()
    for name in (release.get("ID", ""), *release.get("ID_LIKE", "").split()):
        if name in _KERNELS:
            return _KERNELS[name]
    raise EnvironmentLackError(
        f"no kernel package is known for {release.get('PRETTY_NAME', 'this distribution')}",
        fix="build the micro-guest on Debian or Ubuntu, and copy its folder from the cache",
    )


def _build(
    packages: Sequence[DebianPackage],
    programs: Mapping[str, bytes],
    work: Path,
    progress: Progress,
) -> None:
    root, archives, done = work / "root", work / "archives", work / "done"
    for folder in (root, archives, done):
        folder.mkdir()
    progress(f"downloading {len(packages)} packages")
    fetched = debian_packages.fetch(packages, archives)
    progress("unpacking them")
    for archive in fetched:
        debian_packages.unpack(archive, root)
    progress("putting the guest together")
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    if not kernels:
        raise EnvironmentLackError("the kernel's package has no boot/vmlinuz-*")
    kernel = quick_to_boot(
        kernels[-1].read_bytes(),
        lz4=lambda data: run_unpacked(root, "bin/lz4", "-dcq", data=data),
        zstd=lambda data: run_unpacked(root, "bin/zstd", "-dcq", data=data),
    )
    (done / "kernel").write_bytes(kernel)
    release = kernels[-1].name.removeprefix("vmlinuz-")
    content = guest_initramfs(root, release, programs)
    (done / "initramfs.cpio").write_bytes(content)
    listed = [f"{p.name} {p.version} {p.architecture}" for p in packages]
    (done / "content.json").write_text(json.dumps({"kernel": release, "packages": listed}) + "\n")


def _take(made: Path, place: Path) -> None:
    """Put what was made into its place at once, readable for QEMU's user."""
    made.chmod(0o755)
    for path in made.iterdir():
        path.chmod(0o644)
    try:
        made.rename(place)
    except OSError:
        if _kept(place) is None:  # else somebody else has just made the same
            raise


def _point(current: Path, key: str) -> None:
    fresh = current.with_name(f"{current.name}.{os.getpid()}")
    fresh.symlink_to(key)
    fresh.rename(current)


def _main() -> None:
    made = micro_guest(
        renew="--renew" in sys.argv[1:], progress=lambda line: print(line, file=sys.stderr)
    )
    print(
        json.dumps({"kernel": str(made.kernel), "initramfs": str(made.initramfs), "key": made.key})
    )


if __name__ == "__main__":
    _main()
