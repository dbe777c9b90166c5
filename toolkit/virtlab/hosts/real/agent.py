"""The agent inside of a guest: running programs there and reading files, by libvirt.

`Agent` waits for each answer, for what happens before and after a run. The functions beside it make
the same calls over a link that never waits; where the agent does not answer, or refuses, they hand
on None, as a guest that is busy or out of memory is nothing unusual.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.link import HostLink
from virtlab.libvirt_rpc.client import Answer
from virtlab.libvirt_rpc.procedures.agent import AGENT_COMMAND
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["Agent", "ask_status", "read_file", "start_program", "write_file"]

_ANSWER_S: Final = 10  # an emulated guest on a busy machine answers late
_POLL_S: Final = 0.05
_FILE_BYTES: Final = 8192

Take = Callable[[Any], None]


class Agent:
    """One guest's agent, over a connection that waits."""

    def __init__(self, connection: HostConnection, dom: DomainHandle) -> None:
        self._connection = connection
        self._dom = dom

    def run(self, program: str, words: Sequence[str], wait_s: float) -> str:
        """Run a program in the guest to its end, and return what it printed.

        Raises:
            LibvirtError: the agent does not answer, or refused it.
            EnvironmentLackError: it failed, or did not end in time.
        """
        asked = {"path": program, "arg": list(words), "capture-output": True}
        pid = self._ask("guest-exec", asked)["pid"]
        until_s = time.monotonic() + wait_s
        while time.monotonic() < until_s:
            state = self._ask("guest-exec-status", {"pid": pid})
            if state["exited"]:
                if state.get("exitcode") != 0:
                    said = _decoded(state.get("err-data", ""))
                    raise EnvironmentLackError(f"{program} failed in {self._dom.name}: {said}")
                return _decoded(state.get("out-data", ""))
            time.sleep(_POLL_S)
        raise EnvironmentLackError(f"{program} did not end within {wait_s:g} s in {self._dom.name}")

    def start(self, program: str, words: Sequence[str]) -> None:
        """Start a program in the guest and leave it running.

        Raises:
            LibvirtError: the agent does not answer, or refused it.
        """
        self._ask("guest-exec", {"path": program, "arg": list(words)})

    def _ask(self, command: str, arguments: dict[str, Any]) -> Any:
        found = self._connection.request(AGENT_COMMAND, *_request(self._dom, command, arguments))
        return json.loads(found.result)["return"]


def start_program(
    link: HostLink, dom: DomainHandle, program: str, words: Sequence[str], then: Take
) -> None:
    """Start a program in a guest; hand on its number there."""
    _ask(
        link, dom, "guest-exec", {"path": program, "arg": list(words)},
        lambda found: then(None if found is None else found["pid"]),
    )  # fmt: skip


def ask_status(link: HostLink, dom: DomainHandle, pid: int, then: Take) -> None:
    """Hand on what became of a program: `exited`, and then `exitcode` or `signal`."""
    _ask(link, dom, "guest-exec-status", {"pid": pid}, then)


def read_file(link: HostLink, dom: DomainHandle, path: str, then: Take) -> None:
    """Hand on the text of a small file in a guest."""

    def opened(handle: Any) -> None:
        if handle is None:
            then(None)
            return
        asked = {"handle": handle, "count": _FILE_BYTES}
        _ask(link, dom, "guest-file-read", asked, lambda found: read(handle, found))

    def read(handle: Any, found: Any) -> None:
        _ask(link, dom, "guest-file-close", {"handle": handle}, lambda _found: None)
        then(None if found is None else _decoded(found["buf-b64"]))

    _ask(link, dom, "guest-file-open", {"path": path, "mode": "r"}, opened)


def write_file(link: HostLink, dom: DomainHandle, path: str, text: str) -> None:
    """Write a small file in a guest; where the agent does not, nothing comes of it."""

    def opened(handle: Any) -> None:
        if handle is not None:
            written = {"handle": handle, "buf-b64": base64.b64encode(text.encode()).decode()}
            _ask(link, dom, "guest-file-write", written, lambda _found: None)
            _ask(link, dom, "guest-file-close", {"handle": handle}, lambda _found: None)

    _ask(link, dom, "guest-file-open", {"path": path, "mode": "w"}, opened)


def _ask(
    link: HostLink, dom: DomainHandle, command: str, arguments: dict[str, Any], then: Take
) -> None:
    def take(answer: Answer) -> None:
        then(None if answer.error is not None else json.loads(answer.results.result)["return"])

    link.ask(AGENT_COMMAND, *_request(dom, command, arguments), then=take)


def _request(
    dom: DomainHandle, command: str, arguments: dict[str, Any]
) -> tuple[DomainHandle, str, int, int]:
    return dom, json.dumps({"execute": command, "arguments": arguments}), _ANSWER_S, 0


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")
