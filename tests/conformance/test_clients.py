"""Clients of other kinds: event loops, many threads, monitors' calls, another protocol library."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from virtlab.libvirt_rpc.client import Answer, ClientConnection, Event


def python(uri: str, script: str) -> Any:
    """Run lines of Python with libvirt-python that fill `answers`; return those."""
    prelude = (
        "import json, sys, threading, libvirt\n"
        "libvirt.registerErrorHandler(lambda context, error: None, None)\n"
        "uri, answers = sys.argv[1], {}\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", f"{prelude}{script}\nprint(json.dumps(answers))", uri],
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_threads_share_a_connection_and_each_gets_its_own_answers(lab: Any) -> None:
    answers = python(
        lab.uri,
        """
conn = libvirt.open(uri)
names = ["aos_vm1", "aos_vm2", "aos_vm3", "aos_off"]
wrong = []
def work(number):
    for turn in range(100):
        name = names[(number + turn) % 4]
        d = conn.lookupByName(name)
        if d.name() != name or len(d.vcpuPinInfo()) != (2 if name == "aos_vm2" else 1):
            wrong.append(name)
        try:
            conn.lookupByName(f"nobody{number}")
        except libvirt.libvirtError as error:
            if f"nobody{number}" not in str(error):
                wrong.append(str(error))
threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
answers["wrong"] = wrong
""",
    )

    assert answers == {"wrong": []}


def test_asyncio_programs_hear_events_and_keep_their_connection_alive(lab: Any) -> None:
    answers = python(
        lab.uri,
        """
import asyncio, libvirtaio
async def main():
    libvirtaio.virEventRegisterAsyncIOImpl()
    conn = libvirt.open(uri)
    conn.setKeepAlive(5, 3)
    heard = asyncio.Queue()
    def hear(c, d, event, detail, opaque):
        heard.put_nowait([d.name(), event, detail])
    number = conn.domainEventRegisterAny(None, 0, hear, None)
    d = conn.lookupByName("aos_off")
    d.create(); d.destroy()
    answers["heard"] = [await asyncio.wait_for(heard.get(), 20) for _ in range(4)]
    answers["alive"] = conn.isAlive()
    conn.domainEventDeregisterAny(number)
    conn.close()
asyncio.run(main())
""",
    )

    assert answers == {
        "heard": [["aos_off", *values] for values in ([2, 0], [4, 0], [6, 2], [5, 1])],
        "alive": 1,
    }


def test_each_event_id_of_the_library_can_be_registered_and_taken_back(lab: Any) -> None:
    answers = python(
        lab.uri,
        """
libvirt.virEventRegisterDefaultImpl()
conn = libvirt.open(uri)
ids = [getattr(libvirt, name) for name in dir(libvirt) if name.startswith("VIR_DOMAIN_EVENT_ID_")]
made = [conn.domainEventRegisterAny(None, number, lambda *a: None, None) for number in ids]
for number in made: conn.domainEventDeregisterAny(number)
answers["count"] = len(made)
conn.registerCloseCallback(lambda *a: None, None)
conn.unregisterCloseCallback()
""",
    )

    assert answers["count"] >= 26


def test_a_monitors_calls_over_the_read_only_socket_find_figures(lab: Any) -> None:
    lab.move(5)

    # What virt-top 1.1 asks for: the node, the host's name, then all statistics and each domain.
    answers = python(
        lab.uri_read_only,
        """
conn = libvirt.openReadOnly(uri)
answers["host"] = [conn.getHostname(), conn.getInfo()[2]]
records = conn.getAllDomainStats(0, 0)
answers["domains"] = [conn.lookupByUUID(d.UUID()).name() for d, _ in records]
answers["keys"] = sorted({key.split(".")[0] for _, stats in records for key in stats})
""",
    )

    assert answers["host"] == ["virtlab", 4]
    assert answers["domains"] == ["aos_vm1", "aos_vm2", "aos_vm3", "aos_off"]
    assert answers["keys"] == ["balloon", "block", "cpu", "net", "state", "vcpu"]


def test_the_calls_of_the_ansible_collections_modules_are_answered(lab: Any) -> None:
    xml = (
        "<domain type='kvm'><name>web</name><memory unit='MiB'>256</memory>"
        "<os><type>hvm</type></os></domain>"
    )

    # virt, virt_net, virt_pool and the inventory of community.libvirt, as their sources call.
    answers = python(
        lab.uri,
        f"""
conn = libvirt.open(uri)
xml = {xml!r}
d = conn.defineXML(xml)
d.setAutostart(1)
d.create()
answers["info"] = [d.info()[0], d.autostart(), d.isPersistent(), d.OSType()]
answers["again"] = conn.defineXML(xml.replace("<memory", "<uuid>%s</uuid><memory"
                                              % d.UUIDString())).name()
answers["nodeinfo"] = len(conn.getInfo())
answers["freemem"] = conn.getFreeMemory() > 0
answers["type"] = conn.getType()
answers["ids"] = sorted(conn.listDomainsID())
answers["defined"] = conn.listDefinedDomains()
answers["networks"] = [n.name() for n in conn.listAllNetworks(0)]
answers["pools"] = [p.name() for p in conn.listAllStoragePools(0)]
answers["xml"] = "<name>web</name>" in d.XMLDesc(0)
d.shutdown()
d.destroy()
d.undefineFlags(0)
""",
    )

    assert answers == {
        "info": [1, 1, 1, "hvm"],
        "again": "web",
        "nodeinfo": 8,
        "freemem": True,
        "type": "QEMU",
        "ids": [1, 2, 3, 4],
        "defined": ["aos_off"],
        "networks": [],
        "pools": [],
        "xml": True,
    }


class Wire:
    """A client that is not libvirt's, on a plain socket."""

    def __init__(self, path: str) -> None:
        self._client = ClientConnection()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(path)
        self._waiting: list[Answer | Event] = []
        self._socket.sendall(self._client.open())
        self.next()
        self.next()

    def next(self) -> Answer | Event:
        while not self._waiting:
            self._waiting = self._client.receive(self._socket.recv(65_536))
        return self._waiting.pop(0)

    def call(self, name: str, *args: Any) -> Any:
        self._socket.sendall(self._client.call(name, *args))
        answer = self.next()
        assert isinstance(answer, Answer)
        assert answer.error is None, answer.error
        return answer.results

    def event(self) -> tuple[str, Any]:
        event = self.next()
        assert isinstance(event, Event)
        return event.name, event.values

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def wire(lab: Any) -> Iterator[Wire]:
    client = Wire(str(lab.directory / "libvirt-sock"))
    yield client
    client.close()


def test_very_old_clients_hear_events_without_callback_ids(wire: Wire) -> None:
    # As libvirtd answers, which leaves the number unset.
    assert wire.call("CONNECT_DOMAIN_EVENT_REGISTER").cb_registered == 0
    wire.call("CONNECT_DOMAIN_EVENT_REGISTER_ANY", 1)
    (guest,) = wire.call("DOMAIN_LOOKUP_BY_NAME", "aos_vm1")

    wire.call("DOMAIN_REBOOT", guest, 0)
    name, values = wire.event()

    assert (name, values.dom) == ("DOMAIN_EVENT_REBOOT", guest)
    wire.call("DOMAIN_SUSPEND", guest)
    name, values = wire.event()
    assert (name, values.event, values.detail) == ("DOMAIN_EVENT_LIFECYCLE", 3, 0)
    assert wire.call("CONNECT_DOMAIN_EVENT_DEREGISTER").cb_registered == 0


def test_changes_to_definitions_and_notes_are_events(wire: Wire) -> None:
    for event_id in (0, 23):
        wire.call("CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY", event_id, None)
    xml = (
        "<domain type='kvm'><name>w</name><memory>262144</memory><os><type>hvm</type></os></domain>"
    )

    (guest,) = wire.call("DOMAIN_DEFINE_XML", xml)
    defined = wire.event()
    wire.call("DOMAIN_SET_METADATA", guest, 1, "a title", None, None, 0)
    noted = wire.event()
    wire.call("DOMAIN_RENAME", guest, "v", 0)
    renamed = [wire.event()[1] for _ in range(2)]
    wire.call("DOMAIN_UNDEFINE", guest)
    undefined = wire.event()

    assert (defined[1].event, defined[1].detail, defined[1].dom.name) == (0, 0, "w")
    assert noted == ("DOMAIN_EVENT_CALLBACK_METADATA_CHANGE", (1, guest, 1, None))
    assert [(told.dom.name, told.event, told.detail) for told in renamed] == [
        ("w", 1, 1),
        ("v", 0, 2),
    ]
    assert (undefined[1].event, undefined[1].detail) == (1, 0)
