"""The daemons' commands as a user runs them: against a served host, and where nothing is right."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from virtlab.agent.journal import RecordedTick, read_journal
from virtlab.agent.single import hold_alone
from virtlab.cli.app import app
from virtlab.errors import VirtlabError

VIRTLAB = Path(sys.executable).with_name("virtlab")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def uri(tmp_path: Path) -> Iterator[str]:
    """Give the URI of a host that is served in real time."""
    with subprocess.Popen(
        [VIRTLAB, "serve", "cpu-1-all-on-one", "--socket", tmp_path / "lab"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        yield serving.stdout.readline().strip()
        serving.terminate()


Refusal = Callable[..., VirtlabError]


@pytest.fixture
def refusal() -> Iterator[Refusal]:
    """Give a way to run a command in this process, which is sooner, and to get why it is refused.

    What becomes of the error is the same for all commands, and tested elsewhere.
    """
    logger = logging.getLogger("virtlab.agent")
    kept = (logger.handlers, logger.propagate, logger.level)

    def run(*arguments: str) -> VirtlabError:
        result = CliRunner().invoke(app, arguments)
        assert isinstance(result.exception, VirtlabError), result.output
        assert result.stdout == ""
        return result.exception

    yield run
    logger.handlers, logger.propagate = kept[0], kept[1]
    logger.setLevel(kept[2])


def assert_refused(error: VirtlabError, code: int, says: str) -> None:
    first, *rest = str(error).splitlines()
    assert (error.exit_code, says in str(error)) == (code, True), str(error)
    assert first and all(line.startswith("  fix: ") for line in rest)


class Started:
    """A daemon as a process, with what it says."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process = subprocess.Popen(
            [VIRTLAB, *arguments], stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL
        )

    def line(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline().rstrip("\n")

    def end(self) -> tuple[int, str]:
        """Ask it to end; return its exit code and what it said."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture
def start() -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def make(*arguments: str | Path) -> Started:
        started.append(Started(*arguments))
        return started[-1]

    yield make
    for one in started:
        with one.process as process:
            process.kill()


def ticks(journal: Path) -> list[RecordedTick]:
    """Return what a journal has by now."""
    return list(read_journal(journal)) if list(journal.glob("*")) else []


def affinities(uri: str) -> list[str]:
    """Return where each guest's vCPU may run, as another client sees it."""
    from virtlab.agent.known_guest import masks_of
    from virtlab.hosts.real.connection import HostConnection, socket_of

    with HostConnection(socket_of(uri)) as host:
        doms = host.call("CONNECT_LIST_ALL_DOMAINS", 1, 1).domains
        return [
            str(sorted(masks_of(host.call("DOMAIN_GET_VCPUS", dom, 1, 1).cpumaps, 1, 4)[0]))
            for dom in doms
        ]


def test_a_daemon_works_ends_in_good_order_and_can_be_undone(
    virtlab: Run, start: Callable[..., Started], uri: str, tmp_path: Path
) -> None:
    before, state = affinities(uri), tmp_path / "state"
    options = ("--connect", uri, "--state", state, "--interval", "0.3", "--log-format", "json")
    daemon = start("schedule", *options, "--override-pins")
    changed = [json.loads(daemon.line()) for _ in range(6)]

    again = virtlab("schedule", *options)
    busy = virtlab("undo", "--connect", uri, "--state", state)
    code, _ = daemon.end()

    assert code == 0
    assert {line["what"] for line in changed} == {"pin"} and affinities(uri) != before
    assert again.returncode == 4
    assert f"serves {tmp_path}/lab/libvirt-sock already (process" in again.stderr
    assert (busy.returncode, "stop it first" in busy.stderr) == (2, True)

    why = virtlab("why", changed[0]["of"], "--at", "0s", "--state", state, "--json")
    assert json.loads(why.stdout)["target"] == changed[0]["of"]

    undone = virtlab("undo", "--connect", uri, "--state", state, "--json")
    assert affinities(uri) == before
    assert len(json.loads(undone.stdout)["changes"]) == 6
    nothing = virtlab("undo", "--connect", uri, "--state", state)
    assert nothing.stdout == "Nothing is to be put back.\n"


def test_what_was_changed_is_put_back_at_exit(
    start: Callable[..., Started], uri: str, tmp_path: Path
) -> None:
    before = affinities(uri)
    options = ("--connect", uri, "--state", tmp_path, "--interval", "0.3", "--override-pins")
    daemon = start("schedule", *options, "--restore-at-exit")
    for _ in range(6):
        daemon.line()

    code, said = daemon.end()

    assert code == 0
    assert "6 of 6 changes were put back" in said
    assert affinities(uri) == before


def test_a_daemon_that_was_killed_can_be_undone(
    virtlab: Run, start: Callable[..., Started], uri: str, tmp_path: Path
) -> None:
    before = affinities(uri)
    options = ("--connect", uri, "--state", tmp_path, "--interval", "0.3", "--override-pins")
    daemon = start("schedule", *options)
    for _ in range(6):
        daemon.line()
    os.kill(daemon.process.pid, signal.SIGKILL)
    daemon.process.wait()

    undone = virtlab("undo", "--connect", uri, "--state", tmp_path)

    assert undone.returncode == 0, undone.stderr
    assert affinities(uri) == before


def test_a_recording_is_a_scenario_file(virtlab: Run, uri: str, tmp_path: Path) -> None:
    options = ("--connect", uri, "--interval", "0.1", "--duration", "1")
    made = virtlab("record", "--out", "night.yaml", *options)

    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[0] == "night.yaml"
    checked = virtlab("scenarios", "check", "night.yaml")
    assert "no mistakes" in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--policy", "evn"], 2, "did you mean even?"),
        (["--policy", "steady"], 2, "steady is a coordination policy"),
        (["--set", "gain_mni=1"], 2, "did you mean gain_min?"),
        (["--set", "gain_min=-1"], 2, "gain_min=-1 is out of its range"),
        (["--set", "gain_min"], 2, "--set gain_min: that sets nothing"),
        (["--policy", "none.py"], 2, "none.py: there is no such file"),
        (["--log-format", "xml"], 2, "use json or text"),
        (["--dry-run", "--restore-at-exit"], 2, "there is nothing to restore"),
        (["--metrics", "here"], 2, "that is no address and port"),
        (["--connect", "test:///default"], 2, "the lab needs the socket of a libvirtd"),
        (["--connect", "{ro}"], 4, "is for reading only"),
        (["--connect", "{none}"], 4, "libvirtd does not answer at"),
        (["--state", "/proc/none"], 4, "what is changed cannot be written down"),
        (["--journal", "/proc/none"], 4, "the journal cannot be written"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    refusal: Refusal, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    places = {
        "ro": f"qemu+unix:///system?socket={tmp_path}/libvirt-sock-ro",
        "none": f"qemu+unix:///system?socket={tmp_path}/none",
    }
    given = [argument.format(**places) for argument in arguments]
    if "--state" not in given:
        given += ["--state", str(tmp_path / "state")]

    assert_refused(refusal("schedule", *given), code, says)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["why", "web:0", "--at", "noon"], 2, "noon: that is no moment"),
        (["why", "web:0", "--at", "1m"], 3, "there is no journal of schedule"),
        (["replay", "nowhere", "--policy", "even"], 3, "there is no journal"),
        (["replay", "nowhere", "--policy", "evn"], 2, "did you mean even?"),
        (["record", "--out", "night.txt"], 2, "a scenario file ends in .yaml"),
        (["record", "--out", "a.yaml", "--of", "disks"], 2, "use cpu or memory"),
        (["undo", "--since", "never"], 2, "never: that is no moment"),
    ],
)
def test_what_cannot_be_told_is_one_clear_line(
    refusal: Refusal, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    state = ["--state", str(tmp_path)] if arguments[0] in ("why", "undo") else []

    assert_refused(refusal(*arguments, *state), code, says)


def test_nothing_is_undone_beside_a_daemon_however_often_it_is_asked_for(
    refusal: Refusal, tmp_path: Path
) -> None:
    socket = tmp_path / "libvirt-sock"
    asked = ("undo", "--connect", f"qemu+unix:///system?socket={socket}", "--state", str(tmp_path))
    with hold_alone("coordinate", socket):
        for _ in range(6):
            assert_refused(refusal(*asked), 2, "stop it first")


def test_a_host_without_guests_is_served_all_the_same(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    with subprocess.Popen(
        [VIRTLAB, "serve", "general-4-no-guest", "--socket", tmp_path / "lab"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        uri = serving.stdout.readline().strip()
        options: tuple[Any, ...] = ("--connect", uri, "--state", tmp_path, "--interval", "0.1")
        daemon = start("schedule", *options)
        while not ticks(tmp_path / "journal"):
            assert daemon.process.poll() is None
        code, said = daemon.end()
        serving.terminate()

    assert (code, said) == (0, "")
