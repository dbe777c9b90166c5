"""How somebody logs in to a guest: ssh with one key, against one known host key, and nothing else.

The user's own configuration is left out, and so are the agent's other keys: a server that counts
attempts would refuse before the right one came. What ssh needs lies in a folder for each guest, so
that plain ssh and Ansible log in the same way: `ssh -F FOLDER/ssh_config NAME`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.guests.definition import Notes
from virtlab.guests.names import guest_name
from virtlab.hosts.real.journal import state_folder

__all__ = ["Access", "Attempt", "forget_access"]

_CONNECT_S: Final = 30  # an emulated guest on a busy machine greets late
_FAILED: Final = 255  # ssh's own failures; else it ends as the program in the guest did


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of a program in a guest."""

    code: int
    output: str
    said: str  # on standard error

    @property
    def logged_in(self) -> bool:
        """Tell whether ssh came through at all."""
        return self.code != _FAILED


@dataclass(frozen=True, slots=True)
class Access:
    """The way into one guest."""

    name: str
    address: str
    notes: Notes

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return _folder(self.name)

    def write(self) -> Path:
        """Write what ssh needs; return its configuration.

        Raises:
            EnvironmentLackError: it cannot be written.
        """
        identity = self.notes.identity or str(self.folder / "login.pub")
        hosts = self.folder / "known_hosts"
        known = bool(self.notes.host_key)
        lines = [
            f"Host {self.name}",
            f"  HostName {self.address}",
            f"  User {self.notes.login}",
            f'  IdentityFile "{identity}"',
            "  IdentitiesOnly yes",
            f"  HostKeyAlias {self.name}",
            f'  UserKnownHostsFile "{hosts}"',
            "  GlobalKnownHostsFile /dev/null",
            # A guest of uvt-kvm's may not tell its key beforehand; then the first one counts.
            f"  StrictHostKeyChecking {'yes' if known else 'accept-new'}",
            "  UpdateHostKeys no",
            "  PasswordAuthentication no",
            f"  ConnectTimeout {_CONNECT_S}",
            "  LogLevel ERROR",
        ]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if known:
                _put(hosts, f"{self.name} {self.notes.host_key}\n")
            if not self.notes.identity:
                _put(self.folder / "login.pub", f"{self.notes.public_key}\n")
            return _put(self.folder / "ssh_config", "\n".join(lines) + "\n")
        except OSError as err:
            raise EnvironmentLackError(
                f"what ssh needs for {self.name} cannot be written: {err}",
                fix="be root, or name a folder that you may write to in VIRTLAB_STATE_DIR",
            ) from err

    def words(self, *options: str) -> list[str]:
        """Return the command line that logs in; a program's words may follow."""
        return ["ssh", "-F", str(self.folder / "ssh_config"), *options, self.name]

    def run(self, words: Sequence[str], wait_s: float, data: bytes | None = None) -> Attempt:
        """Run a program in the guest, without any question; its input is `data`.

        Raises:
            EnvironmentLackError: there is no OpenSSH client.
        """
        command = [*self.words("-o", "BatchMode=yes"), shlex.join(words)]
        try:
            done = subprocess.run(command, capture_output=True, input=data or b"", timeout=wait_s)
        except OSError as err:
            raise EnvironmentLackError(
                f"ssh could not be run: {err}", fix="sudo apt-get install openssh-client"
            ) from err
        except subprocess.TimeoutExpired:
            return Attempt(_FAILED, "", f"no end after {wait_s:g} s")
        texts = [text.decode(errors="replace") for text in (done.stdout, done.stderr)]
        return Attempt(done.returncode, texts[0], texts[1].strip())


def forget_access(name: str) -> None:
    """Remove what was written for a guest.

    Raises:
        UsageError: no guest may have this name, so nothing can have been written for it.
    """
    shutil.rmtree(_folder(name), ignore_errors=True)


def _folder(name: str) -> Path:
    root = state_folder() / "guests"
    folder = root / guest_name(name)
    # Once more, as all below it may be removed.
    if folder.parent != root or folder.name != name or name == "..":
        raise AssertionError(f"{folder} is no folder of a guest's")
    return folder


def _put(path: Path, text: str) -> Path:
    """Write a file in one step, so that nobody reads a half of it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.chmod(0o644)
    return fresh.rename(path)
