"""When a guest counts as ready: it runs, has an address, and somebody has logged in to it.

A guest that boots is of no use yet. The way ends with a login by the very key that its user will
use, verified by the guest's own key, and with the end of cloud-init.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.guests.access import Access
from virtlab.guests.host import GuestHost, StandingGuest
from virtlab.guests.stages import Clock, Stage, pass_stages
from virtlab.guests.workload import put_workload
from virtlab.hosts.real.agent import Agent
from virtlab.libvirt_rpc.errors import LibvirtError

__all__ = ["Ready", "wait_until_ready"]

_SSH_PORT: Final = 22
_GREETING: Final = b"SSH-"
_GREETING_S: Final = 10.0
_LOGIN_S: Final = 120.0
_AGENT_S: Final = 20.0
_TAIL_BYTES: Final = 4096
# Waits inside of the guest for a while, as each login costs an emulated guest a second or two. By
# the file, and not by `cloud-init status`, which fails for as little as a locale that is missing.
_FINISHED: Final = (
    "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "
    "test -e /var/lib/cloud/instance/boot-finished && exec cat /run/cloud-init/result.json; "
    "sleep 1; done; exit 1"
)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ready:
    """A guest into which somebody has logged in."""

    name: str
    address: str
    login: str
    stages_s: dict[str, float]  # seconds until each was passed
    agent: bool  # whether its guest agent answers
    complaints: list[str] = field(default_factory=list)  # of cloud-init


def wait_until_ready(
    host: GuestHost,
    name: str,
    *,
    workload: bool = False,
    limit_s: float | None = None,
    progress: Progress = lambda _line: None,
    clock: Clock | None = None,
) -> Ready:
    """Wait until a guest is ready.

    Args:
        host: where it is.
        name: the guest's.
        workload: whether the lab's loads are put into it, too.
        limit_s: for each stage, instead of its own.
        progress: told of each stage as it begins.
        clock: how time is told and spent.

    Raises:
        GuestNotReadyError: it stopped at a stage.
        EnvironmentLackError: there is no such guest, or it is none to log in to.
    """
    guest = host.find(name)
    if guest is None:
        raise EnvironmentLackError(
            f"There is no guest {name} on this host.", fix=f"virtlab guests create {name}"
        )
    way = _Way(host, guest)
    stages_s = pass_stages(
        name, way.stages(workload), guest.accelerator,
        gone=way.gone, tail=way.tail, limit_s=limit_s, progress=progress, clock=clock,
    )  # fmt: skip
    assert way.access is not None
    login, address = way.access.notes.login, way.access.address
    return Ready(name, address, login, stages_s, way.agent(), way.complaints)


class _Way:
    """The way of one guest; each step leaves what the next one needs."""

    def __init__(self, host: GuestHost, guest: StandingGuest) -> None:
        if guest.notes is None:
            what = "is a micro-guest, into which nobody logs in"
            raise EnvironmentLackError(
                f"{guest.name} {what if guest.ours else 'was not made by the lab'}.",
                fix="virtlab guests list shows those that were",
            )
        self._host = host
        self._guest = guest
        self._notes = guest.notes
        self.access: Access | None = None
        self.complaints: list[str] = []

    def stages(self, workload: bool) -> list[Stage]:
        name, login = self._guest.name, self._notes.login
        log = self._guest.serial_log or f"virsh console {name}"
        key = self._notes.identity or "ssh-agent's key"
        found = [
            Stage("running", 10, self._stopped, f"virsh start {name}; its last words: {log}"),
            Stage("lease", 60, self._leased, f"does it boot, and is dnsmasq there? {log}"),
            Stage("ssh", 60, self._greeted, f"does its ssh come up? {log}"),
            Stage(
                "login", 60, self._logged_in,
                f"'Permission denied' means that cloud-init has not given {key} to {login}: look "
                f"for its data source in {log}; 'Host key verification failed', that another "
                f"machine has that address. Begin anew: virtlab guests destroy {name}",
            ),
            Stage("cloud-init", 180, self._finished, f"ssh -F {self._config} {name} to look at it"),
        ]  # fmt: skip
        if workload:
            found.append(Stage("workload", 30, self._loaded, f"may {login} become root by sudo?"))
        return found

    @property
    def _config(self) -> Path:
        return Access(self._guest.name, "", self._notes).folder / "ssh_config"

    def gone(self) -> str | None:
        now = self._host.find(self._guest.name)
        if now is None or not now.running:
            return "it does not run"
        self._guest = now
        return None

    def tail(self) -> str:
        log = self._guest.serial_log
        if log is None:
            return ""
        try:
            with log.open("rb") as file:
                file.seek(0, 2)
                file.seek(max(file.tell() - _TAIL_BYTES, 0))
                return file.read().decode(errors="replace").replace("\r", "").strip()
        except OSError as err:
            return f"({log} cannot be read: {err.strerror})"

    def agent(self) -> bool:
        try:
            Agent(self._host.connection, self._guest.dom).run("/bin/true", [], _AGENT_S)
        except (LibvirtError, EnvironmentLackError):
            return False
        return True

    def _stopped(self, _left_s: float) -> str | None:
        return self.gone()

    def _leased(self, _left_s: float) -> str | None:
        address = self._host.address(self._guest)
        if address is None:
            return "it has no address yet"
        self.access = Access(self._guest.name, address, self._notes)
        self.access.write()
        return None

    def _greeted(self, left_s: float) -> str | None:
        assert self.access is not None
        try:
            wait_s = min(_GREETING_S, left_s)
            with socket.create_connection((self.access.address, _SSH_PORT), wait_s) as link:
                link.settimeout(wait_s)
                greeting = link.recv(len(_GREETING))
        except OSError as err:
            return f"nothing answers at {self.access.address}, port {_SSH_PORT}: {err}"
        return None if greeting == _GREETING else f"what answers at {self.access.address} is no ssh"

    def _logged_in(self, left_s: float) -> str | None:
        assert self.access is not None
        attempt = self.access.run(["true"], min(_LOGIN_S, left_s))
        return None if attempt.code == 0 else f"nobody can log in: {attempt.said}"

    def _finished(self, left_s: float) -> str | None:
        assert self.access is not None
        attempt = self.access.run(["sh", "-c", _FINISHED], min(_LOGIN_S, left_s))
        if attempt.code != 0:
            return f"cloud-init is not through: {attempt.said or 'still at work'}"
        try:
            self.complaints = list(json.loads(attempt.output)["v1"]["errors"])
        except (ValueError, KeyError, TypeError):
            self.complaints = ["cloud-init does not tell what came of it"]
        return None

    def _loaded(self, left_s: float) -> str | None:
        assert self.access is not None
        return put_workload(self.access, left_s)
