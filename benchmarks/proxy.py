"""What the guard's proxy adds to a call: direct and through it, in turn in one run.

Wants a libvirtd with its QEMU driver (`virtlab host up`) on which no other domains are: the same C
client asks for virDomainGetInfo of a domain that is defined for it, and removed afterwards. A call
through the proxy passes a guard that reads it, and is told to a log, as in a real run.
"""

from __future__ import annotations

import selectors
import statistics
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.roundtrip import CALLS, ROUNDS, SOURCE, p50_us
from virtlab.errors import EnvironmentLackError
from virtlab.hosts.call_log import CallLog
from virtlab.hosts.real.connection import LIBVIRT_SOCKET, HostConnection
from virtlab.hosts.real.proxy import GuardedHost
from virtlab.libvirt_rpc.call import Call
from virtlab.libvirt_rpc.values import DomainHandle

_ALL = 0
_XML = """\
<domain type='qemu'>
  <name>virtlab-bench-proxy</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64'>hvm</type></os>
</domain>
"""


def per_call() -> list[Figure]:
    """Time a call both ways."""
    name = "a call through the guard, of a direct one"
    try:
        with HostConnection() as connection:
            if others := connection.call("CONNECT_LIST_ALL_DOMAINS", 1, _ALL).domains:
                note = f"{others[0].name} is there, and the client asks for the first domain"
                return [Figure(name, None, "", note=note)]
            with _defined(connection) as dom, tempfile.TemporaryDirectory() as folder:
                return [_measured(name, Path(folder), dom)]
    except EnvironmentLackError as lack:
        return [Figure(name, None, "", note=str(lack))]


def _measured(name: str, folder: Path, dom: DomainHandle) -> Figure:
    client = folder / "roundtrip"
    subprocess.run(["cc", "-O2", "-o", client, SOURCE, "-lvirt"], check=True)
    with _guarded(folder, dom) as uri:
        pairs = [(p50_us(client, uri), p50_us(client, "qemu:///system")) for _ in range(ROUNDS)]
    ratios = [through / direct for through, direct in pairs]
    through, direct = (statistics.median(column) for column in zip(*pairs, strict=True))
    note = (
        f"p50 of {CALLS} calls {through:.0f} us, direct {direct:.0f} us; "
        f"ratios {min(ratios):.2f} to {max(ratios):.2f}"
    )
    return Figure(name, statistics.median(ratios), "", 1.5, note=note)


@contextmanager
def _defined(connection: HostConnection) -> Iterator[DomainHandle]:
    dom = connection.call("DOMAIN_DEFINE_XML", _XML.format(uuid=uuid.uuid4())).dom
    try:
        yield dom
    finally:
        connection.call("DOMAIN_UNDEFINE", dom)


@contextmanager
def _guarded(folder: Path, dom: DomainHandle) -> Iterator[str]:
    """Serve the host behind a guard in a thread of its own, and give its URI."""
    log, mine = CallLog(), {dom.uuid}

    def note(call: Call, error: str | None) -> None:
        log.add(0, call, error)

    with selectors.DefaultSelector() as selector:
        host = GuardedHost(selector, folder, LIBVIRT_SOCKET.parent, lambda: mine, note)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                for key, mask in selector.select(0.1):
                    key.data(mask)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"qemu+unix:///system?socket={folder / 'libvirt-sock'}"
        finally:
            done.set()
            thread.join()
            host.close()
