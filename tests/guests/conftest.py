"""A simulated host as a process; programs in the search path and a clock of the tests' own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtlab.guests.host import GuestHost, guest_host
from virtlab.guests.stages import Clock
from virtlab.hosts.real.connection import socket_of

BIN = Path(sys.executable).parent
Put = Callable[[str, str], Path]


class HandClock:
    """Time that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def clock(self) -> Clock:
        return Clock(lambda: self.now_s, self.sleep)

    def sleep(self, span_s: float) -> None:
        self.now_s += span_s


@pytest.fixture(scope="session")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a host with eight guests that the lab did not make; give its URI."""
    folder = tmp_path_factory.mktemp("host")
    command = [BIN / "virtlab", "serve", "cpu-1-all-on-one", "--socket", folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture
def host(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GuestHost]:
    """Give that host, with what is written beside it in a folder of the test's own."""
    monkeypatch.setenv("VIRTLAB_STATE_DIR", str(tmp_path / "state"))
    with guest_host(socket_of(uri)) as found:
        yield found


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Give a way to put a program into the search path, before all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")

    def write(name: str, text: str) -> Path:
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    return write
