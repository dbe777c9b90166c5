"""Texts, lists and replies at the protocol's limits, with unmodified clients.

What is too long is refused in libvirtd's words, and the connection goes on. The sizes and refusals
are those of a libvirtd 9.0.0, except that it keeps what it has memory for.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from virtlab.libvirt_rpc.packet import PACKET_MAX, PACKET_MIN
from virtlab.libvirt_rpc.xdr import STRING_MAX

_SCRIPT = """
import json, sys, libvirt
libvirt.registerErrorHandler(lambda context, error: None, None)
conn = libvirt.open(sys.argv[1])
MAX = 4194304  # REMOTE_STRING_MAX
answers = {}
def ask(label, question):
    try:
        answers[label] = question()
    except libvirt.libvirtError as error:
        answers[label] = list(error.err[:3]) + [error.err[4], error.err[5]]
    assert conn.getHostname(), label  # on the same connection
def described(size):
    text = "<domain type='kvm'><name>big</name><uuid>11111111-2222-3333-4444-555555555555</uuid>" \\
        "<description>%s</description><memory>65536</memory><os><type>hvm</type></os></domain>"
    return text % ("x" * (size - len(text) + 2))
"""

CANNOT_ENCODE = [
    *(39, 7, "Unable to encode message payload"),
    *("%s", "Unable to encode message payload"),
]


@pytest.fixture
def python() -> Callable[[str, str], dict[str, Any]]:
    """Run lines of libvirt-python, in which `ask` collects answers and refusals."""

    def run(uri: str, script: str) -> dict[str, Any]:
        done = subprocess.run(
            ["/usr/bin/python3", "-c", f"{_SCRIPT}{script}\nprint(json.dumps(answers))", uri],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        answers: dict[str, Any] = json.loads(done.stdout)
        return answers

    return run


def test_descriptions_and_notes_may_be_as_long_as_a_text_of_the_protocol(
    lab: Any, python: Any
) -> None:
    answers = python(
        lab.uri,
        """
ask("define", lambda: conn.defineXML(described(MAX)).name())
big = conn.lookupByName("big")
ask("shown, with what the host adds", big.XMLDesc)
ask("define too much", lambda: conn.defineXML(described(MAX + 1)).name())
ask("define less", lambda: conn.defineXML(described(MAX - 1000)).name())
ask("shown", lambda: len(big.XMLDesc()) > MAX - 1000)
ask("note", lambda: big.setMetadata(0, "y" * MAX, None, None, 2))
ask("noted", lambda: len(big.metadata(0, None, 2)))
ask("note too much", lambda: big.setMetadata(0, "z" * (MAX + 1), None, None, 2))
ask("noted still", lambda: big.metadata(0, None, 2)[:1])
element = "<x>" + "y" * (MAX - 7) + "</x>"
ask("element", lambda: big.setMetadata(2, element, "k", "urn:x", 2))
ask("as it was", lambda: big.metadata(2, "urn:x", 2) == element)
ask("all at once", lambda: big.setMetadata(2, element, "k" * MAX, "u" * MAX, 2))
ask("title", lambda: big.setMetadata(1, "z" * MAX, None, None, 2))
ask("both", big.XMLDesc)
""",
    )

    assert answers == {
        "define": "big",
        "shown, with what the host adds": CANNOT_ENCODE,
        "define too much": CANNOT_ENCODE,  # the client's own check
        "define less": "big",
        "shown": True,
        "note": 0,
        "noted": STRING_MAX,
        "note too much": CANNOT_ENCODE,
        "noted still": "y",
        "element": 0,
        "as it was": True,
        "all at once": 0,  # 12 MiB in one call
        "title": 0,
        "both": CANNOT_ENCODE,
    }


def test_virsh_goes_on_behind_a_description_that_it_cannot_be_shown(
    lab: Any, tmp_path: Path
) -> None:
    text = (
        "<domain type='kvm'><name>big</name><description>{}</description>"
        "<memory>65536</memory><os><type>hvm</type></os></domain>"
    )
    described = tmp_path / "big.xml"
    described.write_text(text.format("x" * (STRING_MAX - len(text) + 2)))

    done = subprocess.run(
        ["virsh", "-q", "-c", lab.uri, f"define {described}; dumpxml big; domstate big"],
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.stdout.strip() == "shut off"
    assert done.stderr == "error: Unable to encode message payload\n"


def test_statistics_fill_a_packet_of_32_mib_and_are_refused_beyond(
    build: Any, make_lab: Callable[..., Any], python: Any
) -> None:
    lab = make_lab(build.scenario(build.guest("wide", vcpus=24), events=()))
    record = lab.within(
        lambda: lab.driver.handlers["CONNECT_GET_ALL_DOMAIN_STATS"]([], 0, 0)[0][0].data
    )
    most = (PACKET_MAX - PACKET_MIN - 4) // len(record)
    assert 6_000 < most < 16_384

    answers = python(
        lab.uri,
        f"""
wide = conn.lookupByName("wide")
ask("below", lambda: len(conn.domainListGetStats([wide] * {most})))
ask("above", lambda: conn.domainListGetStats([wide] * {most + 1}))
ask("one", lambda: len(conn.getAllDomainStats()))
""",
    )

    assert answers == {"below": most, "above": CANNOT_ENCODE, "one": 1}


def test_a_real_host_takes_and_refuses_the_same(python: Any, lab: Any, real_uri: str) -> None:
    script = """
MAX_NAME = 247
plain = "<domain type='qemu'><name>%s</name><uuid>11111111-2222-3333-4444-555555555555</uuid>" \\
    "<memory>65536</memory><os><type>hvm</type></os></domain>"
def named(name):
    made = conn.defineXML(plain % name)
    made.undefine()
    return made.name() == name
for name in ("n" * MAX_NAME, "n" * (MAX_NAME + 1), "é" * 123, "é" * 124):
    ask(f"name {len(name)} {name[0]}", lambda: named(name))
ask("created", lambda: conn.createXML(plain % ("n" * (MAX_NAME + 1))))
conn.defineXML(plain % "big")
ask("rename", lambda: conn.lookupByName("big").rename("n" * (MAX_NAME + 1)))
for size in (MAX, MAX + 1):
    text = described(size - 1).replace("'kvm'", "'qemu'")
    ask(f"define {size}", lambda: conn.defineXML(text).name())
    ask(f"show {size}", lambda: len(conn.lookupByName("big").XMLDesc()) > 0)
    big = conn.lookupByName("big")
    for kind in (0, 1):
        ask(f"note {kind} {size}", lambda: big.setMetadata(kind, "y" * size, None, None, 2))
        ask(f"show note {kind} {size}", lambda: big.XMLDesc())
        ask(f"no note {kind} {size}", lambda: big.setMetadata(kind, None, None, None, 2))
    ask(f"uri {size}", lambda: big.setMetadata(2, "<x/>", "k" * size, "u" * size, 2))
ask("look-up", lambda: conn.lookupByName("n" * 60_000))
"""

    assert python(lab.uri, script) == python(real_uri, script)
