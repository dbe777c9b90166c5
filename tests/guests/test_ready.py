"""From a guest that runs to a first login: on a simulated host, with both ends of ssh our own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtlab.guests import ready
from virtlab.guests.definition import Notes, mark_of
from virtlab.guests.host import GuestHost
from virtlab.guests.ready import wait_until_ready
from virtlab.guests.removal import remove_named
from virtlab.guests.stages import GuestNotReadyError

from .conftest import HandClock, Put

_NOTES = Notes("cloud", "lab", "/k", "ssh-ed25519 AAAA", "ssh-ed25519 BBBB", "none", "0")
_DOMAIN = """<domain type='qemu'><name>ready_vm</name><memory unit='MiB'>512</memory>
<metadata>{mark}</metadata><os><type>hvm</type></os><devices>
<serial type='file'><source path='{log}'/></serial>
<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/></interface>
</devices></domain>"""
# Logs in from the third attempt on; a guest behind it is through with cloud-init from the fifth on.
_SSH = """#!/bin/sh
cat >/dev/null
echo . >>{count}
tried=$(wc -l <{count})
[ $tried -ge 3 ] || {{ echo 'lab@127.0.0.1: Permission denied (publickey).' >&2; exit 255; }}
for last; do :; done
case $last in
*boot-finished*) [ $tried -ge 5 ] && echo '{{"v1": {{"errors": ["a small thing"]}}}}' ;;
esac
"""


@pytest.fixture(autouse=True)
def guest(host: GuestHost, tmp_path: Path) -> Iterator[None]:
    """Have a guest of the lab's run, with something on its serial console."""
    log = tmp_path / "serial.log"
    log.write_text("booting\r\nDataSourceNone\r\n")
    dom = host.call("DOMAIN_DEFINE_XML", _DOMAIN.format(mark=mark_of(_NOTES), log=log)).dom
    host.call("DOMAIN_CREATE", dom)
    yield
    remove_named(host, "ready_vm")


@pytest.fixture
def greeting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have something greet as ssh does, where the guest is said to be."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            while True:
                try:
                    link, _address = server.accept()
                except OSError:
                    return
                with link:
                    link.sendall(b"SSH-2.0-of-the-test\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        monkeypatch.setattr(ready, "_SSH_PORT", server.getsockname()[1])
        monkeypatch.setattr(GuestHost, "address", lambda _self, _guest: "127.0.0.1")
        yield
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def stopped(host: GuestHost, limit_s: float | None = None) -> str:
    with pytest.raises(GuestNotReadyError) as caught:
        wait_until_ready(host, "ready_vm", limit_s=limit_s, clock=HandClock().clock())
    return str(caught.value)


def test_without_an_address_it_stops_at_the_lease_with_the_consoles_last_words(
    host: GuestHost,
) -> None:
    said = stopped(host)

    assert said.startswith("ready_vm stopped at stage 'lease' after 300 s: it has no address yet")
    assert "booting\nDataSourceNone\n" in said


def test_a_key_that_is_refused_is_told_with_what_it_means(
    host: GuestHost, greeting: None, put: Put
) -> None:
    put("ssh", "#!/bin/sh\necho 'lab@x: Permission denied (publickey).' >&2; exit 255\n")

    said = stopped(host, limit_s=3)

    assert "stopped at stage 'login' after 3 s: nobody can log in: lab@x: Permission denied" in said
    assert "cloud-init has not given /k to lab: look for its data source in" in said


def test_it_is_ready_once_somebody_logged_in_and_cloud_init_is_through(
    host: GuestHost, greeting: None, put: Put, tmp_path: Path
) -> None:
    put("ssh", _SSH.format(count=tmp_path / "count"))
    steps: list[str] = []
    clock = HandClock()

    found = wait_until_ready(host, "ready_vm", progress=steps.append, clock=clock.clock())

    assert list(found.stages_s) == ["running", "lease", "ssh", "login", "cloud-init"]
    assert (found.address, found.login, found.agent) == ("127.0.0.1", "lab", False)
    assert found.complaints == ["a small thing"]
    assert steps[3] == "ready_vm: login, 300 s at most"
    assert clock.now_s == 1.5  # two logins that were refused, and one look that came too early
