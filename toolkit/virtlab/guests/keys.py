"""The key of whoever will log in to a guest: found, held against its other half, or made.

Under sudo that is the user who called it, not root. A public key counts only where its private half
can be used without a question: it lies beside it and is not encrypted, or ssh-agent holds it. So no
guest is made that nobody can log in to.
"""

from __future__ import annotations

import base64
import binascii
import os
import pwd
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError, InputError

__all__ = ["HostKey", "Invoker", "LoginKey", "invoker", "login_key", "new_host_key"]

_TIMEOUT_S: Final = 30
_MADE: Final = "virtlab_ed25519"
# Kinds of keys, best first; those on a security key (sk-) want a touch at each login.
_KINDS: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
                 "ecdsa-sha2-nistp521", "ssh-rsa")  # fmt: skip
_NO_SSH: Final = "sudo apt-get install openssh-client"


@dataclass(frozen=True, slots=True)
class Invoker:
    """Whoever called the lab, and will log in."""

    home: Path
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class LoginKey:
    """A key pair that opens a guest."""

    public: str  # as a line of authorized_keys has it
    identity: Path | None  # for `ssh -i`; None: only ssh-agent has it
    source: str  # where it comes from, in words


@dataclass(frozen=True, slots=True)
class HostKey:
    """A guest's own key pair, made before the guest, so that its first login is verified."""

    private: str
    public: str


def invoker(environment: Mapping[str, str] = os.environ) -> Invoker:
    """Return who called the lab, through sudo too."""
    if os.geteuid() == 0 and environment.get("SUDO_UID", "").isdecimal():
        try:
            found = pwd.getpwuid(int(environment["SUDO_UID"]))
        except KeyError:
            pass  # an id that no user has
        else:
            return Invoker(Path(found.pw_dir), found.pw_uid, found.pw_gid)
    home = environment.get("HOME") or pwd.getpwuid(os.geteuid()).pw_dir
    return Invoker(Path(home), os.geteuid(), os.getegid())


def login_key(
    given: Path | None = None, *, who: Invoker | None = None, make: bool = True
) -> LoginKey:
    """Return the key to log in with: the one given, one that is there, or a new one.

    Args:
        given: its public or its private file.
        who: whose it is to be; `invoker()` if left out.
        make: whether a new one is made; else it is only told of.

    Raises:
        InputError: the file given is no key, or its other half cannot be used.
        EnvironmentLackError: there is no OpenSSH client, or no key can be made.
    """
    user = invoker() if who is None else who
    in_agent = _agent_keys()
    if given is not None:
        return _given(given, in_agent)
    folder = user.home / ".ssh"
    found = []
    for path in sorted(folder.glob("*.pub")) if os.access(folder, os.R_OK | os.X_OK) else ():
        public = _public(path)
        if public is not None and public.split()[0] in _KINDS and _usable(path, public, in_agent):
            found.append((public, path))
    if found:
        public, path = min(found, key=lambda item: (_KINDS.index(item[0].split()[0]), item[1]))
        return LoginKey(public, _identity(path), f"{path}")
    if in_agent:
        return LoginKey(in_agent[0], None, "ssh-agent")
    path = folder / _MADE
    return _made(path, user) if make else LoginKey("", path, f"{path}, which is made then")


def new_host_key(name: str) -> HostKey:
    """Return a fresh key pair for a guest itself.

    Raises:
        EnvironmentLackError: there is no OpenSSH client.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        _generate(path, f"root@{name}")
        return HostKey(path.read_text(), _public_of(path).read_text().strip())


def _given(path: Path, in_agent: list[str]) -> LoginKey:
    public_path = path if path.suffix == ".pub" else _public_of(path)
    public = _public(public_path)
    if public is None:
        raise InputError(
            f"{public_path} is no public key of OpenSSH's that can be read.",
            fix=f"ssh-keygen -y -f {_private_of(public_path)} > {public_path} writes it anew",
        )
    if not _usable(public_path, public, in_agent):
        raise InputError(
            f"Nobody could log in with {public_path}: its private half is neither in ssh-agent nor "
            f"in {_private_of(public_path)}, or is encrypted, or belongs to another key.",
            fix=f"ssh-add {_private_of(public_path)}, or name another key",
        )
    return LoginKey(public, _identity(public_path), f"{public_path}")


def _usable(path: Path, public: str, in_agent: list[str]) -> bool:
    """Tell whether the private half of a public key can be used without a question."""
    blob = public.split()[1]
    if any(line.split()[1] == blob for line in in_agent):
        return True
    private = _private_of(path)
    if not private.is_file():
        return False
    # With an empty passphrase: an encrypted key fails, instead of asking for one.
    done = _run("ssh-keygen", "-y", "-P", "", "-f", str(private))
    return done.returncode == 0 and done.stdout.split()[1:2] == [blob]


def _identity(public: Path) -> Path:
    """Return what `ssh -i` takes; the public half does where ssh-agent holds the other."""
    private = _private_of(public)
    return private if private.is_file() else public


def _public(path: Path) -> str | None:
    """Return a public key's line, or None for anything else."""
    try:
        words = path.read_text().split()
        kind = base64.b64decode(words[1], validate=True)
    except (OSError, UnicodeDecodeError, IndexError, binascii.Error):
        return None
    # The key's body begins with its kind, as a length of four bytes and text (RFC 4253, 6.6).
    length = int.from_bytes(kind[:4], "big")
    return " ".join(words[:3]) if kind[4 : 4 + length] == words[0].encode() else None


def _public_of(private: Path) -> Path:
    return private.with_name(private.name + ".pub")


def _private_of(public: Path) -> Path:
    return public.with_suffix("")


def _agent_keys() -> list[str]:
    """Return the public keys that ssh-agent holds; none where there is no agent."""
    done = _run("ssh-add", "-L")
    lines = [line.strip() for line in done.stdout.splitlines()] if done.returncode == 0 else []
    return [line for line in lines if line.split()[:1] and line.split()[0] in _KINDS]


def _made(path: Path, user: Invoker) -> LoginKey:
    """Return the lab's own key pair; a half of one is made whole, and nothing is lost.

    A public half alone opens nothing, so its place is taken; a private one may open all guests so
    far, so the public one is written of it.
    """
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700)
            _hand_over(path.parent, user)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".virtlab-") as folder:
            fresh = Path(folder) / path.name
            if not path.exists():
                _generate(fresh, "virtlab")
                _hand_over(fresh, user)
                with suppress(FileExistsError):  # another command has made one meanwhile
                    os.link(fresh, path)
            _public_of(fresh).write_text(_public_half(path))
            _hand_over(_public_of(fresh), user)
            _public_of(fresh).rename(_public_of(path))
    except OSError as err:
        raise EnvironmentLackError(
            f"there is no key to log in to guests with, and none can be made: {err}",
            fix="name one that you have: --key FILE.pub",
        ) from err
    return _given(path, [])


def _public_half(private: Path) -> str:
    done = _run("ssh-keygen", "-y", "-P", "", "-f", str(private))
    if done.returncode != 0:
        raise EnvironmentLackError(
            f"{private} cannot be used to log in to guests: {done.stderr.strip()}",
            fix=f"ssh-add {private}, move it elsewhere, or name another key: --key FILE.pub",
        )
    return done.stdout


def _hand_over(path: Path, user: Invoker) -> None:
    if os.geteuid() == 0:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)


def _generate(path: Path, comment: str) -> None:
    done = _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    if done.returncode != 0:
        raise EnvironmentLackError(f"ssh-keygen: {done.stderr.strip()}", fix=_NO_SSH)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=_TIMEOUT_S
        )
    except OSError as err:
        raise EnvironmentLackError(f"{command[0]} could not be run: {err}", fix=_NO_SSH) from err
    except subprocess.TimeoutExpired as err:
        raise EnvironmentLackError(
            f"{command[0]} does not end", fix="does ssh-agent answer? ssh-add -l"
        ) from err
