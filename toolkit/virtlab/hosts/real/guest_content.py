"""What lies in a micro-guest: our programs, busybox, drivers, the guest agent and its libraries."""

from __future__ import annotations

import lzma
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.debian_packages import found, run_unpacked
from virtlab.hosts.real.initramfs import Entry, device, file, initramfs, link

__all__ = ["LAYOUT", "guest_initramfs"]

_MODULES: Final = ("virtio_pci", "virtio_console", "virtio_balloon")
_AGENT: Final = "usr/sbin/qemu-ga"
_LOADER: Final = "lib64/ld-linux-x86-64.so.2"
_APPLETS: Final = (  # noqa: SIM905 - a list of words reads better as words
    "sh cat ls ps top free kill killall sleep lsmod cut sed grep awk head tail mkdir rm echo dmesg "
    "uname id nproc taskset nice dd date env test vmstat uptime pidof"
).split()
_FOLDERS: Final = ("dev", "proc", "sys", "run", "tmp", "root", "var/run", "etc")
_TOOL_TIMEOUT_S: Final = 60
LAYOUT: Final = f"{_MODULES} {_AGENT} {_APPLETS} {_FOLDERS}"  # tells one layout from another


def guest_initramfs(root: Path, release: str, programs: Mapping[str, bytes]) -> bytes:
    """Return the guest's initial RAM file system.

    Args:
        root: where the packages were unpacked.
        release: the kernel's, such as 6.1.0-56-cloud-amd64.
        programs: `init` and `workload`, linked statically.

    Raises:
        EnvironmentLackError: a package lacks a file, or a tool to read it is missing.
    """
    entries = {
        "init": file(programs["init"], 0o755),
        "sbin/shutdown": link("../init"),
        "bin/workload": file(programs["workload"], 0o755),
        "dev/console": device(5, 1),
        "dev/null": device(1, 3, 0o666),
        "etc/passwd": file(b"root:x:0:0:root:/root:/bin/sh\n"),
        "etc/group": file(b"root:x:0:\n"),
        **_busybox(root),
        **_agent(root),
        **_modules(root, release),
    }
    return initramfs(entries, _FOLDERS)


def _busybox(root: Path) -> dict[str, Entry]:
    entries = {f"bin/{name}": link("busybox") for name in _APPLETS}
    return {"bin/busybox": file(found(root, "bin/busybox").read_bytes(), 0o755), **entries}


def _agent(root: Path) -> dict[str, Entry]:
    """Return the guest agent with every shared library that it needs."""
    entries = {
        _AGENT: file(found(root, _AGENT).read_bytes(), 0o755),
        _LOADER: file(found(root, _LOADER).read_bytes(), 0o755),
    }
    waiting, known = [found(root, _AGENT)], {Path(_LOADER).name}
    while waiting:
        for name in _needed(waiting.pop()):
            if name in known:
                continue
            known.add(name)
            library = _library(root, name)
            entries[f"lib/{name}"] = file(library.read_bytes())
            waiting.append(library)
    return entries


def _needed(binary: Path) -> list[str]:
    """Return the names of the shared libraries that a program or library is linked to."""
    try:
        text = subprocess.run(
            ["readelf", "--dynamic", "--wide", str(binary)],
            capture_output=True, text=True, check=True, timeout=_TOOL_TIMEOUT_S,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError) as err:
        raise EnvironmentLackError(
            f"readelf could not read {binary.name}: {err}", fix="sudo apt-get install binutils"
        ) from err
    return re.findall(r"\(NEEDED\)\s+Shared library: \[([^]]+)\]", text)


def _library(root: Path, name: str) -> Path:
    folders = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64")
    for folder in folders:
        if (path := root / folder / name).exists():
            return path.resolve()
    raise EnvironmentLackError(f"no package has the library {name}, which the guest agent needs")


def _modules(root: Path, release: str) -> dict[str, Entry]:
    """Return the drivers and, as lib/modules.order, in which order they are loaded."""
    trees = [root / "lib/modules" / release, root / "usr/lib/modules" / release]
    files = {
        re.sub(r"\.ko(\.\w+)?$", "", path.name).replace("-", "_"): path
        for tree in trees
        for path in sorted(tree.rglob("*.ko*"))
    }
    order: list[str] = []
    content: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in content or name not in files:
            return  # what is not a module is built into the kernel
        data = _decompressed(files[name], root)
        content[name] = data
        named = re.search(rb"\0depends=([^\0]*)\0", data)
        for needed in (named[1].decode() if named else "").split(","):
            add(needed.replace("-", "_"))
        order.append(name)

    for name in _MODULES:
        add(name)
    listed = "".join(f"/lib/modules/{name}.ko\n" for name in order)
    entries = {f"lib/modules/{name}.ko": file(content[name]) for name in order}
    return {"lib/modules.order": file(listed.encode()), **entries}


def _decompressed(path: Path, root: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".zst":
        return run_unpacked(root, "bin/zstd", "-dcq", data=data)
    return data
