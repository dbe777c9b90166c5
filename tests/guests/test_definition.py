"""A guest as a domain: what libvirt is told, and what the lab reads back from it later."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from virtlab.guests.definition import Notes, Wanted, described, mark_of, notes_of, uvt_template
from virtlab.guests.host import GuestHost
from virtlab.hosts.real.guests import own_guests, remove_guest

_NOTES = Notes(
    "cloud", "lab", '/home/me/a "key" & <more>', "ssh-ed25519 AAAA", "ssh-ed25519 BBBB", "virtlab",
    "0123",
)  # fmt: skip
_UUID = "5d1c1b9e-9f0e-4e50-8f5a-6f0f9d3c2b1a"
_WANTED = Wanted("told_vm", 512 * 1024, 2048 * 1024, vcpus=2, deflate_on_oom=True)


def text() -> str:
    disk, seed = Path("/pool/a.qcow2"), Path("/pool/a.img")
    return described(_WANTED, _NOTES, disk, seed, Path("/log/a"), _UUID)


def test_it_boots_from_its_disk_with_its_seed_beside_and_all_that_scenarios_need() -> None:
    tree = ElementTree.fromstring(text())

    assert tree.get("type") == "qemu"
    assert [d.get("file") for d in tree.findall("devices/disk/source")] == [
        "/pool/a.qcow2", "/pool/a.img",
    ]  # fmt: skip
    assert [d.get("type") for d in tree.findall("devices/disk/driver")] == ["qcow2", "raw"]
    assert (tree.findtext("memory"), tree.findtext("currentMemory")) == ("2097152", "524288")
    balloon = tree.find("devices/memballoon")
    assert balloon is not None and balloon.get("autodeflate") == "on"
    assert tree.find("devices/memballoon/stats[@period='1']") is not None
    assert tree.find("devices/channel/target[@name='org.qemu.guest_agent.0']") is not None
    assert tree.find("devices/interface/source[@network='default']") is not None
    assert tree.find("devices/serial/source[@path='/log/a']") is not None
    assert tree.find("cpu") is None  # an emulated one is slowest with all features


def test_a_template_for_uvt_kvm_has_the_same_but_no_disks() -> None:
    tree = ElementTree.fromstring(uvt_template(_WANTED, None, "x"))

    assert tree.get("type") == "qemu"
    assert tree.find("devices/disk") is None
    assert tree.find("devices/memballoon/stats[@period='1']") is not None
    assert tree.find("devices/channel/target[@name='org.qemu.guest_agent.0']") is not None
    assert tree.find("devices/serial[@type='pty']") is not None


def test_the_notes_come_back_from_a_host_and_the_mark_tells_whose_it_is(host: GuestHost) -> None:
    host.call("DOMAIN_DEFINE_XML", text())

    found = host.find("told_vm")

    assert found is not None
    assert (found.ours, found.kind, found.notes, found.running) == (True, "cloud", _NOTES, False)
    assert [guest.name for guest in own_guests(host.connection)] == ["told_vm"]
    remove_guest(host.connection, "told_vm")


def test_what_somebody_else_or_a_playbook_made_has_no_notes(host: GuestHost) -> None:
    others = host.find("aos_vm1")
    micro = ElementTree.fromstring(
        "<domain><metadata><lab:guest xmlns:lab='urn:virtlab:guest:1'/></metadata></domain>"
    )

    assert others is not None
    assert (others.ours, others.kind, others.notes) == (False, "other", None)
    assert notes_of(micro) is None
    assert 'xmlns:lab="urn:virtlab:guest:1"' in mark_of(_NOTES)
