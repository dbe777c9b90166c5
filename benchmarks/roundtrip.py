"""One call's round trip, against a real libvirtd's test driver, in turn in one run.

The same C client asks both for virDomainGetInfo. libvirtd runs with a configuration and sockets of
its own in a private folder, and is ended afterwards.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figure import Figure

ROUNDS = 7
CALLS = 20_000
SOURCE = Path(__file__).with_name("roundtrip.c")
PATIENCE_S = 20


def against_libvirtd() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        client = folder / "roundtrip"
        subprocess.run(["cc", "-O2", "-o", client, SOURCE, "-lvirt"], check=True)
        with _ours(folder) as ours, _libvirtd(folder) as theirs:
            if theirs is None:
                own = [p50_us(client, ours) for _ in range(ROUNDS)]
                note = "no libvirtd started (install libvirt-daemon, end one that runs): no ratio"
                return [Figure("GetInfo round trip", statistics.median(own), "us", note=note)]
            pairs = [(p50_us(client, ours), p50_us(client, theirs)) for _ in range(ROUNDS)]
    ratios = [a / b for a, b in pairs]
    mine, real = (statistics.median(column) for column in zip(*pairs, strict=True))
    note = (
        f"p50 {mine:.0f} us, libvirtd {real:.0f} us; ratios {min(ratios):.2f} to {max(ratios):.2f}"
    )
    return [
        Figure(
            "GetInfo round trip, of libvirtd's", statistics.median(ratios), "", 0.7, 0.5, note=note
        )
    ]


def p50_us(client: Path, uri: str) -> float:
    done = subprocess.run(
        [client, uri, "info", str(CALLS)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[0]) / 1000


@contextmanager
def _ours(folder: Path) -> Iterator[str]:
    sockets = folder / "ours"
    command = [Path(sys.executable).with_name("virtlab"), "serve", "cpu-3-balanced"]
    server = subprocess.Popen([*command, "--socket", sockets], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.terminate()
        server.wait()


@contextmanager
def _libvirtd(folder: Path) -> Iterator[str | None]:
    daemon = shutil.which("libvirtd")
    if daemon is None:
        yield None
        return
    sockets = folder / "theirs"
    sockets.mkdir()
    config = folder / "libvirtd.conf"
    config.write_text(
        f'unix_sock_dir = "{sockets}"\nauth_unix_rw = "none"\nauth_unix_ro = "none"\n'
        'log_outputs = "4:stderr"\n'
    )
    server = subprocess.Popen(
        [daemon, "--config", config, "--pid-file", folder / "libvirtd.pid"],
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (sockets / "libvirt-sock").exists():
            if server.poll() is not None or time.monotonic() > deadline:
                yield None
                return
            time.sleep(0.05)
        yield f"test+unix:///default?socket={sockets / 'libvirt-sock'}"
    finally:
        server.terminate()
        server.wait()
