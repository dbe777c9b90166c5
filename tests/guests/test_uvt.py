"""uvt-kvm, by a stand-in: what it makes becomes a guest of the lab's, its traps become errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.guests import uvt
from virtlab.guests.definition import Wanted
from virtlab.guests.host import GuestHost, StandingGuest
from virtlab.guests.keys import LoginKey
from virtlab.guests.making import create, would_change
from virtlab.guests.order import Order
from virtlab.guests.removal import half_made, remove_marked, remove_named
from virtlab.guests.uvt import Release, made_by_uvt
from virtlab.libvirt_rpc.values import DomainHandle

from .conftest import Put

_KEY = LoginKey("ssh-ed25519 AAAA", Path("/home/me/.ssh/id"), "the test")


@pytest.fixture(autouse=True)
def uvt_kvm(host: GuestHost, uri: str, put: Put, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the stand-in for uvt-kvm into the path; networks are libvirt's own matter."""
    script = Path(__file__).with_name("uvt_kvm_stand_in.py").read_text()
    put("uvt-kvm", script.replace("/usr/bin/env python3", sys.executable, 1))
    monkeypatch.setenv("STAND_IN_URI", uri)
    monkeypatch.setattr("virtlab.guests.making.network_up", lambda _connection, _name: None)
    yield
    monkeypatch.delenv("STAND_IN_TROUBLE", raising=False)
    remove_named(host, "uvt_vm")


def order(memory_mib: int = 512) -> Order:
    wanted = Wanted("uvt_vm", memory_mib * 1024, 2048 * 1024, vcpus=2)
    return Order(wanted, "uvt", Release("noble", "amd64"), _KEY)


def refusal(host: GuestHost) -> str:
    with pytest.raises(EnvironmentLackError) as caught:
        create(host, order())
    return str(caught.value)


def test_what_it_made_is_ours_from_then_on_with_the_size_that_was_wanted(host: GuestHost) -> None:
    assert create(host, order())

    guest = host.find("uvt_vm")
    assert guest is not None and guest.running and guest.notes is not None
    assert (guest.kind, guest.notes.login, guest.notes.identity) == (
        "uvt", "ubuntu", "/home/me/.ssh/id",
    )  # fmt: skip
    assert guest.notes.host_key == f"ssh-rsa {'A' * 60}"  # as uvt-kvm noted it
    assert guest.tree.findtext("memory") == str(2048 * 1024)
    assert guest.tree.findtext("currentMemory") == str(512 * 1024)
    assert guest.tree.find("devices/memballoon/stats[@period='1']") is not None
    assert not create(host, order())  # the second time nothing is done

    with pytest.raises(EnvironmentLackError, match="another one than asked for"):
        create(host, order(memory_mib=600))


def test_ended_with_0_and_nothing_made_is_an_error_that_says_why(
    host: GuestHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_TROUBLE", "no-kvm")

    said = refusal(host)

    assert "ended as if it had made uvt_vm, and there is no such guest" in said
    assert "sudo apt-get remove cpu-checker" in said


def test_a_guest_without_a_key_is_no_guest(
    host: GuestHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_TROUBLE", "no-key")

    said = refusal(host)

    assert "gave uvt_vm no key, so that nobody could log in; it was removed" in said
    assert host.find("uvt_vm") is None


def test_no_image_is_told_with_how_to_see_them(
    host: GuestHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_TROUBLE", "no-image")

    said = refusal(host)

    assert "no images found that match filters" in said
    assert "uvt-simplestreams-libvirt query shows the images" in said


def test_without_uvt_kvm_there_is_another_way(
    host: GuestHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert "take --kind cloud" in refusal(host)


def test_removal_is_looked_at_and_not_believed(
    host: GuestHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(host, order())
    monkeypatch.setenv("STAND_IN_TROUBLE", "stays")
    with pytest.raises(EnvironmentLackError, match="uvt-kvm did not remove uvt_vm"):
        remove_named(host, "uvt_vm")

    monkeypatch.delenv("STAND_IN_TROUBLE")
    assert remove_named(host, "uvt_vm")
    assert not remove_named(host, "uvt_vm")


def made_without_the_lab(host: GuestHost, tmp_path: Path) -> StandingGuest:
    template, key = tmp_path / "template.xml", tmp_path / "key.pub"
    template.write_text(
        "<domain type='qemu'><name/><vcpu/><memory/><currentMemory/><os><type>hvm</type></os>"
        "</domain>"
    )
    key.touch()
    command = ["uvt-kvm", "create", "uvt_vm", "--template", template, "--ssh-public-key-file", key]
    subprocess.run(command, check=True, timeout=60)
    guest = host.find("uvt_vm")
    assert guest is not None
    return guest


def test_what_uvt_kvm_made_without_the_lab_goes_only_when_it_is_named_with_force(
    host: GuestHost, tmp_path: Path
) -> None:
    guest = made_without_the_lab(host, tmp_path)
    assert made_by_uvt(guest) and not guest.ours

    with pytest.raises(EnvironmentLackError, match=r"did not make uvt_vm[\s\S]*--force"):
        remove_named(host, "uvt_vm")
    assert remove_named(host, "uvt_vm", force=True)

    with pytest.raises(EnvironmentLackError, match="did not make aos_vm1"):
        remove_named(host, "aos_vm1", force=True)


@pytest.mark.parametrize(
    ("disk", "by_uvt"),
    [
        ("/var/lib/uvtool/libvirt/images/uvtool/told_vm.qcow", True),
        ("/var/lib/uvtool/libvirt/images/uvtool/told_vm-ds.qcow", True),
        ("/home/me/uvtool/win.qcow2", False),
        ("/home/me/uvtool/images/told_vm.qcow", False),
    ],
)
def test_a_disk_below_a_folder_called_uvtool_is_not_yet_uvt_kvms(disk: str, by_uvt: bool) -> None:
    tree = ElementTree.fromstring(
        f"<domain><devices><disk><source file='{disk}'/></disk></devices></domain>"
    )

    assert made_by_uvt(StandingGuest(DomainHandle("told_vm", bytes(16), 1), tree)) == by_uvt


@pytest.mark.parametrize("mend", [remove_named, lambda host, name: remove_marked(host, name)])
def test_one_that_was_killed_before_the_mark_is_known_as_the_labs_and_removed(
    host: GuestHost, mend: Callable[[GuestHost, str], object]
) -> None:
    guest = uvt.create(host, order().wanted, Release("noble", "amd64"), _KEY, None, "a1")
    assert not guest.ours
    assert half_made(host) == ["uvt_vm"]

    mend(host, "uvt_vm")

    assert host.find("uvt_vm") is None


def test_create_takes_up_one_that_was_killed_before_the_mark(host: GuestHost) -> None:
    uvt.create(host, order().wanted, Release("noble", "amd64"), _KEY, None, "a1")

    assert would_change(host, order())
    assert create(host, order())

    guest = host.find("uvt_vm")
    assert guest is not None and guest.ours and guest.running
    assert guest.tree.findtext("currentMemory") == str(512 * 1024)


def test_an_attempt_that_fails_leaves_a_guest_of_the_name_that_somebody_made_meanwhile(
    host: GuestHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = uvt.create

    def somebody_was_faster(*arguments: Any) -> StandingGuest:
        made_without_the_lab(host, tmp_path)
        return make(*arguments)

    monkeypatch.setattr(uvt, "create", somebody_was_faster)
    with pytest.raises(EnvironmentLackError, match="uvt-kvm made no guest uvt_vm"):
        create(host, order())

    assert host.find("uvt_vm") is not None
    assert remove_named(host, "uvt_vm", force=True)


def test_without_uvt_kvm_its_guests_are_not_removed_by_halves(
    host: GuestHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(host, order())
    with monkeypatch.context() as without:
        without.setenv("PATH", "/nowhere")
        with pytest.raises(EnvironmentLackError, match=r"could not be run[\s\S]*install uvtool"):
            remove_named(host, "uvt_vm")

    assert host.find("uvt_vm") is not None
