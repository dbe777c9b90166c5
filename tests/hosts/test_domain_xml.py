"""Descriptions of domains: whatever a client sends is read or refused, and nothing else happens."""

from __future__ import annotations

import contextlib
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from virtlab.hosts.simulated.driver.definition import read_definition
from virtlab.hosts.simulated.driver.quantities import cpu_list
from virtlab.hosts.simulated.driver.xml_text import document
from virtlab.libvirt_rpc.errors import LibvirtError

_GOOD = """<domain type='kvm'><name>x</name><memory unit='MiB'>256</memory><vcpu>2</vcpu>
<cputune><vcpupin vcpu='0' cpuset='0-3,^2'/><shares>512</shares></cputune>
<metadata><k:a xmlns:k='urn:x'>1</k:a></metadata><os><type>hvm</type></os>
<devices><disk type='file'><source file='/x'/><target dev='vda'/></disk></devices></domain>
"""
_UUID = bytes(16)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(_GOOD)), removed=st.integers(0, 12), put=st.text(max_size=8))
@example(at=len(_GOOD) - 10, removed=10, put="\n")
@example(at=0, removed=0, put="\ud800")
@example(at=0, removed=0, put="\x0c\u2028")
def test_a_mutated_description_is_read_or_refused(at: int, removed: int, put: str) -> None:
    with contextlib.suppress(LibvirtError):
        read_definition(_GOOD[:at] + put + _GOOD[at + removed :], _UUID)


@pytest.mark.parametrize("source", ["<domain>\n", "<domain>\n\n<name", "<domain", "\n<a>&b;\n"])
def test_the_place_of_a_mistake_is_told_at_the_texts_end_too(source: str) -> None:
    with pytest.raises(LibvirtError, match="domain_definition"):
        read_definition(source, _UUID)


def test_entities_are_never_expanded() -> None:
    bomb = "<!DOCTYPE d [<!ENTITY a '" + "x" * 1000 + "'>"
    for number in range(20):
        bomb += f"<!ENTITY a{number} '&a;&a;&a;&a;&a;&a;&a;&a;'>"

    with pytest.raises(LibvirtError, match="a document type is not accepted here"):
        read_definition(bomb + "]><domain>&a19;</domain>", _UUID)


def test_figures_are_read_in_libvirts_units() -> None:
    read = read_definition(_GOOD, _UUID)

    assert (read.max_memory_kib, read.memory_kib) == (262_144, 262_144)
    assert read.masks == (frozenset({0, 1, 3}), None)
    assert read.scheduler == {"cpu_shares": 512}
    assert read.uuid == _UUID


@pytest.mark.parametrize(
    ("text", "cpus"), [("0", {0}), ("1-3,^2", {1, 3}), (" 4 , 6-7", {4, 6, 7}), ("0,0", {0})]
)
def test_cpu_lists_are_read_as_libvirt_writes_them(text: str, cpus: set[int]) -> None:
    assert cpu_list(text) == cpus


@pytest.mark.parametrize("text", ["", "a", "3-1", "^1", "1-", "99999", "1,,2", "^0-3"])
def test_other_texts_are_no_cpu_lists(text: str) -> None:
    with pytest.raises(LibvirtError, match="Failed to parse bitmap"):
        cpu_list(text)


def test_documents_are_written_in_libvirts_hand() -> None:
    root = ET.Element("domain", type="kvm", id="3")
    ET.SubElement(root, "name").text = "a<b"
    ET.SubElement(ET.SubElement(root, "cputune"), "vcpupin", vcpu="0", cpuset="it's")

    text = document(root)

    assert text == (
        "<domain type='kvm' id='3'>\n  <name>a&lt;b</name>\n  <cputune>\n"
        "    <vcpupin vcpu='0' cpuset='it&apos;s'/>\n  </cputune>\n</domain>\n"
    )
    assert ET.fromstring(text).find("cputune/vcpupin").attrib == {  # type: ignore[union-attr]
        "vcpu": "0",
        "cpuset": "it's",
    }


def test_metadata_survives_with_namespaces_and_mixed_text() -> None:
    odd = "<k:a xmlns:k='urn:x' k:b='1' xml:lang='en'>1<k:c/>2</k:a>"
    read = read_definition(_GOOD.replace("<k:a xmlns:k='urn:x'>1</k:a>", odd), _UUID)

    again = ET.fromstring(document(read.text))

    found = again.find("metadata/{urn:x}a")
    assert found is not None
    assert found.attrib == {
        "{urn:x}b": "1",
        "{http://www.w3.org/XML/1998/namespace}lang": "en",
    }
    assert (found.text, found[0].tail) == ("1", "2")


def test_what_xml_cannot_hold_is_left_out_so_that_every_parser_reads_the_rest(lab: Any) -> None:
    handlers = lab.driver.handlers
    (dom,) = handlers["DOMAIN_LOOKUP_BY_NAME"]("aos_vm1")

    lab.within(lambda: handlers["DOMAIN_SET_METADATA"](dom, 1, "a\x01b\tc", None, None, 1))
    (text,) = lab.within(lambda: handlers["DOMAIN_GET_XML_DESC"](dom, 0))

    assert ET.fromstring(text).findtext("title") == "ab\tc"


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("startupPolicy='optional' file='/tmp/a.iso'", "/tmp/a.iso"),
        ("index='3' dev='/dev/sdb'", "/dev/sdb"),
        ("protocol='rbd' name='pool/image'", "pool/image"),
        ("pool='default' volume='a.img'", "a.img"),
        ("startupPolicy='optional'", ""),
    ],
)
def test_a_disk_is_known_by_what_lies_in_it_wherever_its_source_says_so(
    lab: Any, source: str, path: str
) -> None:
    described = (
        "<domain type='kvm'><name>web</name><memory>65536</memory><os><type>hvm</type></os>"
        f"<devices><disk type='file'><source {source}/><target dev='vdb'/></disk></devices>"
        "</domain>"
    )

    lab.within(lambda: lab.driver.handlers["DOMAIN_CREATE_XML"](described, 0))

    (disk,) = lab.driver._state.disks(lab.host.guests["web"])
    assert disk == ("vdb", path)
