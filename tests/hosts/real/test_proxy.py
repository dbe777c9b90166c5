"""A program behind the guard: real virsh, and a simulated host in the place of libvirtd."""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.proxy import GuardedHost
from virtlab.libvirt_rpc.call import Call
from virtlab.libvirt_rpc.errors import LibvirtError

OURS = ("aos_vm1", "aos_vm2")
Virsh = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Serve a host with eight guests; give the folder of its sockets."""
    folder = tmp_path_factory.mktemp("host")
    command = [Path(sys.executable).with_name("virtlab"), "serve", "cpu-1-all-on-one"]
    process = subprocess.Popen(
        [*command, "--socket", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"qemu+unix:")
    yield folder
    process.terminate()
    process.communicate(timeout=30)


class Guarded:
    """A guarded host in a thread, and what it told of calls."""

    def __init__(self, folder: Path, host: Path) -> None:
        self.calls: list[tuple[str, str | None, str | None]] = []
        self.folder = folder
        with HostConnection(host / "libvirt-sock") as connection:
            domains = connection.call("CONNECT_LIST_ALL_DOMAINS", 1, 0).domains
        self.uuids = {dom.name: dom.uuid for dom in domains}
        self.ids = {dom.name: dom.id for dom in domains}
        mine = {self.uuids[name] for name in OURS}
        self._selector = selectors.DefaultSelector()
        self._proxy = GuardedHost(self._selector, folder, host, lambda: mine, self._note)
        self._over = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _note(self, call: Call, error: str | None) -> None:
        self.calls.append((call.procedure.function, call.guest, error))

    def _serve(self) -> None:
        while not self._over:
            for key, mask in self._selector.select(0.05):
                key.data(mask)

    def close(self) -> None:
        self._over = True
        self._thread.join()
        self._proxy.close()
        self._selector.close()

    def virsh(self, *words: str, read_only: bool = False) -> subprocess.CompletedProcess[str]:
        socket = self.folder / ("libvirt-sock-ro" if read_only else "libvirt-sock")
        uri = f"qemu+unix:///system?socket={socket}"
        command = ["virsh", "--quiet", *(["--readonly"] if read_only else []), "-c", uri, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture
def guarded(tmp_path: Path, host: Path) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path, host)
    yield guarded
    guarded.close()


def test_lists_and_statistics_hold_the_runs_guests_only(guarded: Guarded) -> None:
    assert set(guarded.virsh("list", "--all", "--name").stdout.split()) == set(OURS)
    named = guarded.virsh("domstats", "--vcpu").stdout
    assert [line for line in named.splitlines() if line.startswith("Domain")] == [
        f"Domain: '{name}'" for name in ("aos_vm2", "aos_vm1")
    ]
    with HostConnection(guarded.folder / "libvirt-sock") as connection:  # and in the old forms
        assert connection.call("CONNECT_NUM_OF_DOMAINS").num == 2
        wanted = sorted(guarded.ids[name] for name in OURS)
        assert sorted(connection.call("CONNECT_LIST_DOMAINS", 64).ids) == wanted
        assert connection.call("CONNECT_LIST_DOMAINS", 1).ids == wanted[:1]
        assert connection.call("CONNECT_NUM_OF_DEFINED_DOMAINS").num == 0


def test_pins_and_balloons_of_the_runs_guests_pass_and_are_told(guarded: Guarded) -> None:
    assert guarded.virsh("vcpupin", "aos_vm1", "0", "3").returncode == 0
    assert guarded.virsh("setmem", "aos_vm1", "400M", "--live").returncode == 0
    assert guarded.virsh("vcpupin", "aos_vm1", "0").stdout.split() == ["0", "3"]
    told = [(function, guest) for function, guest, error in guarded.calls if error is None]
    assert ("virDomainPinVcpuFlags", "aos_vm1") in told or ("virDomainPinVcpu", "aos_vm1") in told
    assert any(f.startswith("virDomainSetMemory") and g == "aos_vm1" for f, g in told)


def test_other_guests_do_not_exist(guarded: Guarded) -> None:
    done = guarded.virsh("vcpupin", "aos_vm5", "0", "3")
    assert done.returncode != 0
    assert "aos_vm5" in done.stderr
    with HostConnection(guarded.folder / "libvirt-sock") as connection:
        for name, sought in (
            ("DOMAIN_LOOKUP_BY_NAME", "aos_vm5"),
            ("DOMAIN_LOOKUP_BY_UUID", guarded.uuids["aos_vm5"]),
            ("DOMAIN_LOOKUP_BY_ID", guarded.ids["aos_vm5"]),
        ):
            with pytest.raises(LibvirtError) as caught:
                connection.call(name, sought)
            assert caught.value.code == 42
        # A handle made up from what is known elsewhere does not help either.
        handle = ("aos_vm1", guarded.uuids["aos_vm5"], guarded.ids["aos_vm5"])
        for call, more in (
            ("DOMAIN_GET_INFO", ()),
            ("DOMAIN_PIN_VCPU", (0, b"\1")),
            ("DOMAIN_SET_MEMORY", (1024,)),
        ):
            with pytest.raises(LibvirtError) as caught:
                connection.call(call, handle, *more)
            assert caught.value.code == 42
        with pytest.raises(LibvirtError) as caught:
            connection.call("CONNECT_GET_ALL_DOMAIN_STATS", [handle], 0, 0)
        assert caught.value.code == 42


@pytest.mark.parametrize(
    "words",
    [
        ["destroy", "aos_vm1"],
        ["undefine", "aos_vm1"],
        ["suspend", "aos_vm1"],
        ["create", "/dev/stdin"],
        ["qemu-monitor-command", "aos_vm1", "info"],
        ["save", "aos_vm1", "/tmp/x"],
        ["attach-disk", "aos_vm1", "/dev/sda", "vdb"],
        ["net-list"],
        ["pool-list"],
    ],
)
def test_what_neither_program_needs_is_refused(
    guarded: Guarded, words: list[str], host: Path
) -> None:
    done = guarded.virsh(*words)
    assert done.returncode != 0
    with HostConnection(host / "libvirt-sock") as connection:
        assert connection.call("CONNECT_NUM_OF_DOMAINS").num == 8


def test_a_refusal_is_worded_as_by_access_control(guarded: Guarded) -> None:
    done = guarded.virsh("destroy", "aos_vm1")
    assert "access denied: 'QEMU' denied access" in done.stderr
    assert ("virDomainDestroy", "aos_vm1", "access denied: 'QEMU' denied access") in guarded.calls


def test_no_other_driver_is_opened(guarded: Guarded) -> None:
    connection = HostConnection(guarded.folder / "libvirt-sock")
    connection.close()
    with pytest.raises(LibvirtError) as caught:
        _open(guarded.folder, "lxc:///")
    assert caught.value.code == 5


def _open(folder: Path, uri: str) -> None:
    with HostConnection(folder / "libvirt-sock") as connection:
        connection.call("CONNECT_OPEN", uri, 0)


def test_the_read_only_socket_stays_one(guarded: Guarded) -> None:
    assert guarded.virsh("dominfo", "aos_vm1", read_only=True).returncode == 0
    done = guarded.virsh("vcpupin", "aos_vm1", "0", "2", read_only=True)
    assert "read only access" in done.stderr


def test_a_client_that_breaks_the_protocol_loses_its_connection_only(guarded: Guarded) -> None:
    with socket.socket(socket.AF_UNIX) as hostile:
        hostile.connect(str(guarded.folder / "libvirt-sock"))
        hostile.sendall(b"\xff" * 64)
        hostile.settimeout(30)
        assert hostile.recv(100) == b""
    assert guarded.virsh("list", "--name").returncode == 0


def test_events_of_the_runs_guests_come_and_no_others(guarded: Guarded, host: Path) -> None:
    uri = f"qemu+unix:///system?socket={guarded.folder / 'libvirt-sock'}"
    command = ["virsh", "--quiet", "-c", uri, "event", "--event", "tunable"]
    listener = subprocess.Popen([*command, "--timeout", "60"], stdout=subprocess.PIPE, text=True)
    function = "virConnectDomainEventRegisterAny"
    while not any(call[0] == function for call in list(guarded.calls)):
        assert listener.poll() is None
    with HostConnection(host / "libvirt-sock") as connection:
        for name in ("aos_vm5", "aos_vm2"):
            dom = connection.call("DOMAIN_LOOKUP_BY_NAME", name).dom
            connection.call("DOMAIN_PIN_VCPU", dom, 0, b"\4")
    said, _ = listener.communicate(timeout=90)  # it ends with the first event that comes
    assert "domain 'aos_vm2'" in said
