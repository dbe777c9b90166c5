"""What stands between a program that we do not trust and the machine: found once, then used.

Layers, from the strongest: bubblewrap (read-only system, nothing else of the machine, its own
/run, processes and network), another user, limits of the kernel on resources, control groups.
Each is used where it works. Where bubblewrap cannot run, as in a plain container, the program
still runs under the others, sees the machine's files, and reaches the simulated host through
the clock library; `Sandbox.weaker` says so, for the run's record.

A program's files have to be reachable by the other user: every folder above them needs x for
all. `work_directory` makes a place that is, and `check_reachable` tells where one is not.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal

from virtlab.errors import EnvironmentLackError
from virtlab.subjects.cgroups import Cgroups, find_cgroups
from virtlab.subjects.trees import walk

__all__ = [
    "ENVIRONMENT",
    "Folder",
    "Limits",
    "Plan",
    "Sandbox",
    "check_reachable",
    "find_sandbox",
]

NOBODY = 65534  # the overflow user: it owns nothing on a machine
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PROBE_TIMEOUT_S = 10
_SETPRIV = "/usr/bin/setpriv"  # of util-linux, which every Debian and Ubuntu has
_TMP_BYTES = 64 * 1024 * 1024

ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",  # the same program does the same on every run
        "PYTHONDONTWRITEBYTECODE": "1",
    }
)

# Read by the loader, the compiler driver (`cc` is a link into alternatives) and libvirt's client.
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "nsswitch.conf")
_USR_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_PASSWD = "root:x:0:0:root:/:/usr/sbin/nologin\nstudent:x:65534:65534:student:/tmp:/bin/sh\n"
_GROUP = "root:x:0:\nstudent:x:65534:\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use at most."""

    memory_kib: int = 1024 * 1024  # of the program and its children together, /tmp included
    # Without control groups memory is bounded by address space, of which a sanitiser reserves
    # terabytes that it never touches: such a program runs unbounded there.
    address_space: bool = True
    processes: int = 128  # threads count too
    cpu_s: int = 900  # a backstop; the watchdog of a run is much stricter
    file_kib: int = 256 * 1024  # largest file
    open_files: int = 1024
    kept_output_bytes: int = 1024 * 1024  # kept of each stream: its beginning and its end
    output_bytes: int = 32 * 1024 * 1024  # of both streams together; more is a flood


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder or file of the machine that the program sees, and where it sees it."""

    host: Path
    inside: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One program to run: what, where, with which variables, within which limits."""

    argv: tuple[str, ...]
    cwd: Path  # on the machine, in one of the folders
    folders: tuple[Folder, ...]
    env: Mapping[str, str] = field(default_factory=dict)  # on top of ENVIRONMENT
    limits: Limits = Limits()


BubblewrapKind = Literal["other user", "namespace of root", "own user"]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The layers that work on this machine."""

    bubblewrap: BubblewrapKind | None
    bubblewrap_path: str | None
    bubblewrap_sizes_tmp: bool  # knows --size (since 0.7)
    uid: int | None  # the user and group to become for good; None: stay who we are
    cgroups: Cgroups | None

    @property
    def owner(self) -> int:
        """Return the user that has to own what the program may write."""
        return os.getuid() if self.uid is None else self.uid

    @property
    def weaker(self) -> bool:
        """Tell whether the program shares the machine's files, processes and network."""
        return self.bubblewrap is None

    def layers(self) -> tuple[str, ...]:
        """Return the layers that are active, for the run's record."""
        found: list[str] = []
        if self.bubblewrap is not None:
            found.append("bubblewrap")
        if self.uid is not None:
            found.append(f"user {self.uid}")
        elif self.bubblewrap is not None:
            found.append(f"user {NOBODY} in a namespace of its own")
        found.append("rlimits")
        if self.cgroups is not None:
            parts = "+".join(sorted(self.cgroups.parents))
            found.append(f"cgroup v{self.cgroups.version} {parts}")
        if self.weaker:
            found.append("weaker: no bubblewrap, so files, processes and network are shared")
        return tuple(found)

    def inside(self, path: Path, folders: Sequence[Folder]) -> str:
        """Return the path under which the program sees a file of the machine.

        Raises:
            ValueError: none of the folders holds it.
        """
        for folder in folders:
            if path.is_relative_to(folder.host):
                if self.bubblewrap is None:
                    return str(path)
                return str(PurePosixPath(folder.inside) / path.relative_to(folder.host))
        raise ValueError(f"{path} is in none of the folders of the plan")

    def command(
        self, plan: Plan, files: Mapping[str, int], *, status: int | None = None
    ) -> list[str]:
        """Return the command line that runs a plan.

        Args:
            plan: what to run.
            files: descriptors to read the generated files from, by their path inside.
            status: a descriptor on which bubblewrap tells that the program began, and its end:
                its JSON has an "exit-code" only of what was executed.
        """
        # The plan's variables must not reach what we run before the program: LD_PRELOAD would.
        if self.bubblewrap is None:
            # With bubblewrap the kernel ends the program where we are killed; so it does here.
            bound = [_SETPRIV, "--pdeathsig", "KILL"] if Path(_SETPRIV).exists() else []
            variables = ["/usr/bin/env", *_assignments(plan)] if plan.env else []
            return [*bound, *variables, *plan.argv]
        assert self.bubblewrap_path is not None
        size = ("--size", str(_TMP_BYTES)) if self.bubblewrap_sizes_tmp else ()
        command = [self.bubblewrap_path, *self._isolation(), *_system(size)]
        if status is not None:
            command += ["--json-status-fd", str(status)]
        for path, descriptor in files.items():
            command += ["--file", str(descriptor), path]
        for folder in sorted(plan.folders, key=lambda folder: folder.inside.count("/")):
            bind = "--bind" if folder.writable else "--ro-bind"
            command += [bind, str(folder.host), folder.inside]
        # Last, as the mount points above are made on it: the root itself takes no more files.
        command += ["--remount-ro", "/", "--chdir", self.inside(plan.cwd, plan.folders)]
        for name, value in plan.env.items():
            command += ["--setenv", name, value]
        return [*command, "--", *plan.argv]

    def generated_files(self) -> dict[str, str]:
        """Return the contents of files that are made for the program, by their path inside."""
        if self.bubblewrap is None:
            return {}
        return {"/etc/passwd": _PASSWD, "/etc/group": _GROUP}

    def hand_over(self, folder: Path) -> None:
        """Make a folder that we made, and all in it, the other user's, so that it may write."""
        _chown_tree(folder, os.getuid(), self.owner)

    def take_back(self, folder: Path) -> None:
        """Make a folder ours again, so that the other user may read and run but not write.

        What the program made may have any mode or be a link; only ordinary files and folders
        with a single name are touched, as another name may be a file elsewhere.
        """
        _chown_tree(folder, self.owner, os.getuid())

    def _isolation(self) -> list[str]:
        parts = ["--unshare-user", "--unshare-net", "--unshare-pid", "--unshare-ipc"]
        parts += ["--unshare-uts", "--hostname", "virtlab", "--die-with-parent"]
        # No --new-session: the launch has made one, and both ends of it are in one place there.
        if self.uid is None:
            parts += ["--uid", str(NOBODY), "--gid", str(NOBODY)]
        return parts


def _assignments(plan: Plan) -> list[str]:
    return [f"{name}={value}" for name, value in plan.env.items()]


def _system(size: Sequence[str]) -> list[str]:
    """Return the part of bubblewrap's command line that shows a read-only system."""
    command = ["--ro-bind", "/usr", "/usr"]
    for name in _USR_LINKS:
        path = Path("/") / name
        if path.is_symlink():
            command += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            command += ["--ro-bind", str(path), str(path)]
    for name in _ETC:
        command += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    command += ["--proc", "/proc", *size, "--tmpfs", "/tmp"]
    # What bubblewrap puts at /dev is a file system in memory, without a bound.
    command += ["--dev", "/dev", *size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    return [*command, "--dir", "/run", "--dir", "/var", "--symlink", "../run", "/var/run"]


def find_sandbox(*, bubblewrap: bool = True, cgroups: bool = True) -> Sandbox:
    """Return the layers that work here; the first look costs some ms, later ones nothing.

    Args:
        bubblewrap: False leaves it out even where it works.
        cgroups: the same for control groups.
    """
    return _find(bubblewrap, cgroups)


@functools.cache
def _find(bubblewrap: bool, cgroups: bool) -> Sandbox:
    groups = find_cgroups() if cgroups else None
    uid = NOBODY if os.getuid() == 0 else None
    path = shutil.which("bwrap") if bubblewrap else None
    if path is not None:
        sizes = _version_of(path) >= (0, 7)
        kinds: list[tuple[BubblewrapKind, int | None]] = [("own user", None)]
        if uid is not None:
            kinds = [("other user", uid), ("namespace of root", None)]
        for kind, become in kinds:
            sandbox = Sandbox(kind, path, sizes, become, groups)
            if _works(sandbox):
                return sandbox
    return Sandbox(None, None, False, uid, groups)


def _works(sandbox: Sandbox) -> bool:
    """Tell whether an empty program comes to its end in the sandbox."""
    plan = Plan(argv=("true",), cwd=Path("/usr"), folders=(Folder(Path("/usr"), "/usr"),))
    try:
        probe = subprocess.run(
            sandbox.command(plan, {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            cwd="/",
            env=dict(ENVIRONMENT),
            user=sandbox.uid,
            group=sandbox.uid,
            extra_groups=None if sandbox.uid is None else [],
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return probe.returncode == 0


def _version_of(path: str) -> tuple[int, ...]:
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
        return tuple(int(part) for part in answer.stdout.split()[-1].split("."))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return (0,)


def check_reachable(path: Path, sandbox: Sandbox) -> None:
    """Refuse a path that the program's user cannot reach.

    Raises:
        EnvironmentLackError: names the folder that is in the way.
    """
    if sandbox.uid is None:
        return
    for folder in reversed(path.resolve().parents):
        status = folder.stat()
        if status.st_uid != sandbox.uid and not status.st_mode & stat.S_IXOTH:
            raise EnvironmentLackError(
                f"{path}: programs run as user {_name_of(sandbox.uid)}, who may not enter {folder}",
                fix=f"use a work folder elsewhere, such as below /tmp, or run: chmod o+x {folder}",
            )


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _chown_tree(top: Path, old: int, new: int) -> None:
    """Give a tree to another user, by descriptors: a path may turn into a link meanwhile."""
    for folder, names in walk(top):
        _give(folder, old, new)
        for name in names:
            try:
                descriptor = os.open(name, _OPEN_FLAGS, dir_fd=folder)
            except OSError:
                continue  # a link, a socket, or unreadable even for its owner
            try:
                _give(descriptor, old, new)
            finally:
                os.close(descriptor)


def _give(descriptor: int, old: int, new: int) -> None:
    status = os.fstat(descriptor)
    is_folder, is_file = stat.S_ISDIR(status.st_mode), stat.S_ISREG(status.st_mode)
    if status.st_uid != old or not (is_folder or (is_file and status.st_nlink == 1)):
        return
    if new != old:
        os.fchown(descriptor, new, new)
    # Readable by all, and never setuid: neither a build nor an archive may leave that behind.
    mode = stat.S_IMODE(status.st_mode) & 0o755 | (0o755 if is_folder else 0o644)
    os.fchmod(descriptor, mode)
