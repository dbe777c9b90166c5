"""Guests made on a real libvirtd without a network: their parts, and how these are undone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from virtlab.errors import EnvironmentLackError, InputError, UsageError
from virtlab.guests import making
from virtlab.guests.belongings import Belongings, note, noted
from virtlab.guests.definition import Wanted
from virtlab.guests.host import GuestHost, guest_host
from virtlab.guests.keys import LoginKey
from virtlab.guests.lock import AtWorkError
from virtlab.guests.making import create
from virtlab.guests.order import CloudImage, Order
from virtlab.guests.places import drop_unfinished, image_of, make_overlay, pool_of, put_seed
from virtlab.guests.removal import OVERLAY, SEED, remove, remove_named, sweep
from virtlab.hosts.real.connection import socket_of
from virtlab.hosts.real.journal import Changes, Earlier, Journal
from virtlab.hosts.real.run_guests import put_back
from virtlab.images.pool import LibvirtPool
from virtlab.libvirt_rpc.errors import LibvirtError

_POOL = "guests-test"


def _load(name: str, path: Path) -> Any:
    """Return a module of the tests that is no package's."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="module")
def libvirtd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URI of a libvirtd that has no network; else skip, and say what to install."""
    tests = Path(__file__).parents[1]
    real = _load("virtlab_tests_libvirtd", tests / "conformance" / "libvirtd.py")
    if reason := real.why_not():
        pytest.skip(f"no libvirtd here: {reason}; scripts/setup realhost installs what it takes")
    with real.private_libvirtd(tmp_path_factory.mktemp("libvirtd")) as uri:
        with guest_host(socket_of(uri)) as host:
            folder = tmp_path_factory.mktemp("pool")
            LibvirtPool.made(host.connection, _POOL, folder, mode="0711")
        yield uri


@pytest.fixture
def host(libvirtd: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GuestHost]:
    monkeypatch.setenv("VIRTLAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(making, "_SERIAL", tmp_path / "serial")
    with guest_host(socket_of(libvirtd)) as found:
        yield found


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on as if the network were up, so that the last step fails: the start."""
    monkeypatch.setattr(making, "network_up", lambda _connection, _name: None)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.qcow2"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", str(path), "2M"]
    subprocess.run(command, check=True, timeout=60)
    return path


def order(image: Path, **changes: Any) -> Order:
    key = LoginKey("ssh-ed25519 AAAA", Path("/home/me/.ssh/id"), "the test")
    wanted = Wanted("made_vm", 512 * 1024, 1024 * 1024)
    return Order(replace(wanted, **changes), "cloud", CloudImage(image), key, _POOL)


def virsh(host: GuestHost, *words: str) -> None:
    uri = f"qemu+unix:///system?socket={host.connection.path}"
    subprocess.run(["virsh", "-q", "-c", uri, *words], check=True, capture_output=True, timeout=60)


def volumes(host: GuestHost) -> set[str]:
    pool = pool_of(host.connection, _POOL)
    pool.refresh()
    return set(pool.volumes())


def test_without_the_network_nothing_is_begun_and_it_is_said_how_to_have_it(
    host: GuestHost, image: Path
) -> None:
    before = volumes(host)

    with pytest.raises(EnvironmentLackError) as caught:
        create(host, order(image))

    assert "There is no network default on this host" in str(caught.value)
    assert "libvirt-daemon-config-network dnsmasq-base" in str(caught.value)
    assert volumes(host) == before


def test_a_guest_that_does_not_start_leaves_nothing_but_its_image(
    host: GuestHost, image: Path, without_network: None
) -> None:
    with pytest.raises(EnvironmentLackError, match="libvirt does not start made_vm"):
        create(host, order(image))

    assert host.find("made_vm") is None
    assert not [name for name in volumes(host) if "made_vm" in name]
    assert [name for name in volumes(host) if name.startswith("image-")]


def test_one_who_is_interrupted_leaves_nothing_either(
    host: GuestHost, image: Path, without_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        create(host, order(image))

    assert not [name for name in volumes(host) if "made_vm" in name]


def test_what_a_killed_one_left_is_no_hindrance_and_goes_with_the_next(
    host: GuestHost, image: Path, without_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(host.connection, _POOL)
    left_by_a_killed_one(host, "made_vm")
    only_define(monkeypatch)

    assert create(host, order(image))

    guest = host.find("made_vm")
    assert guest is not None and guest.notes is not None
    assert guest.kind == "cloud"
    shown = subprocess.run(
        ["qemu-img", "info", "--output=json", pool.target / OVERLAY.format("made_vm")],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "image-" in shown and '"virtual-size": 8589934592' in shown
    assert b"#cloud-config" in (pool.target / SEED.format("made_vm")).read_bytes()
    assert (pool.target / SEED.format("made_vm")).stat().st_mode & 0o777 == 0o600

    with pytest.raises(EnvironmentLackError, match="another one than asked for"):
        create(host, order(image, vcpus=2))
    remove(host, guest)
    assert host.find("made_vm") is None
    assert not [name for name in volumes(host) if "made_vm" in name]


def only_define(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have guests made that never start, as there is no network."""
    monkeypatch.setattr(
        making, "_start", lambda host, text, _name: host.call("DOMAIN_DEFINE_XML", text)
    )


def left_by_a_killed_one(host: GuestHost, name: str) -> tuple[Path, Path]:
    """Make the two volumes of a guest, with the lab's note of them, and no guest."""
    pool = pool_of(host.connection, _POOL)
    files = (pool.target / OVERLAY.format(name), pool.target / SEED.format(name))
    here = str(host.connection.path.resolve())
    note(Belongings(uuid.uuid4().hex, name, here, _POOL, tuple(map(str, files))))
    for file in files:
        put_seed(pool, file.name, b"half of a disk")
    return files


def test_what_is_left_over_goes_by_the_note_of_it_and_not_by_its_name(host: GuestHost) -> None:
    pool = pool_of(host.connection, _POOL)
    ours = left_by_a_killed_one(host, "killed_vm")
    others = put_seed(pool, OVERLAY.format("theirs"), b"the disk of somebody else's")

    assert sweep(host) == [file.name for file in ours]

    assert others.exists()
    assert not any(file.exists() for file in ours)
    assert not noted() and not sweep(host)
    others.unlink()


def test_a_volume_that_was_not_noted_is_not_written_over(
    host: GuestHost, image: Path, without_network: None
) -> None:
    pool = pool_of(host.connection, _POOL)
    others = put_seed(pool, OVERLAY.format("made_vm"), b"the disk of somebody else's")

    with pytest.raises(EnvironmentLackError, match=r"is there already[\s\S]*virsh vol-delete"):
        create(host, order(image))

    assert others.read_bytes() == b"the disk of somebody else's"
    others.unlink()


def test_a_renamed_guest_keeps_its_disk_until_it_is_removed_itself(
    host: GuestHost, image: Path, without_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_define(monkeypatch)
    create(host, order(image))
    virsh(host, "domrename", "made_vm", "web")
    disk = pool_of(host.connection, _POOL).target / OVERLAY.format("made_vm")

    assert not sweep(host)
    assert not remove_named(host, "made_vm")
    with pytest.raises(EnvironmentLackError, match="is there already"):
        create(host, order(image))
    assert disk.exists()

    assert remove_named(host, "web")
    assert not disk.exists() and not noted()


def test_the_disk_of_a_guest_that_gave_way_for_a_run_stays_for_its_return(
    host: GuestHost, image: Path, without_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_define(monkeypatch)
    create(host, order(image))
    guest = host.find("made_vm")
    assert guest is not None
    xml = host.call("DOMAIN_GET_XML_DESC", guest.dom, 2).xml
    disk = pool_of(host.connection, _POOL).target / OVERLAY.format("made_vm")
    changes = Changes(replaced=[Earlier("made_vm", guest.uuid, xml, False)])
    with Journal(host.connection.path) as journal:
        journal.write(changes)
        host.call("DOMAIN_UNDEFINE", guest.dom)

        for act in (lambda: create(host, order(image)), lambda: remove_named(host, "made_vm")):
            with pytest.raises(EnvironmentLackError, match=r"will give it back[\s\S]*host clean"):
                act()
        assert not sweep(host)
        assert disk.exists()

        put_back(host.connection.path, changes)
        journal.clear()
    assert remove_named(host, "made_vm")
    assert not disk.exists()


def test_two_at_once_do_not_make_the_same_guest(
    host: GuestHost, image: Path, without_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_define(monkeypatch)
    refused: list[str] = []

    def meanwhile(pool: LibvirtPool, name: str, content: bytes) -> Path:
        seed = put_seed(pool, name, content)  # now it has both volumes, and is no domain yet
        for act in (lambda: create(host, order(image)), lambda: remove_named(host, "made_vm")):
            with pytest.raises(AtWorkError) as caught:
                act()
            refused.append(str(caught.value))
        assert not sweep(host)
        return seed

    monkeypatch.setattr(making, "put_seed", meanwhile)
    assert create(host, order(image))
    guest = host.find("made_vm")
    assert guest is not None and all(disk.exists() for disk in guest.disks)

    assert len(refused) == 2
    assert "Another command is at work on the guest made_vm" in refused[0]
    assert remove_named(host, "made_vm")


def test_an_attempt_that_fails_leaves_anothers_guest_of_the_name_alone(
    host: GuestHost, image: Path, without_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_was_faster(host: GuestHost, text: str, _name: str) -> None:
        tree = ElementTree.fromstring(text)
        found = tree.find("uuid")
        assert found is not None
        found.text = str(uuid.uuid4())
        host.call("DOMAIN_DEFINE_XML", ElementTree.tostring(tree, encoding="unicode"))
        host.call("DOMAIN_DEFINE_XML", text)

    monkeypatch.setattr(making, "_start", somebody_was_faster)
    with pytest.raises(LibvirtError, match="already exists"):
        create(host, order(image))

    guest = host.find("made_vm")
    assert guest is not None
    assert all(disk.exists() for disk in guest.disks)
    assert remove_named(host, "made_vm")


def test_a_guest_with_a_snapshot_is_removed_too(
    host: GuestHost, image: Path, without_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_define(monkeypatch)
    create(host, order(image))
    guest = host.find("made_vm")
    assert guest is not None
    seed = next(disk for disk in guest.disks if disk.suffix == ".img")
    virsh(host, "detach-disk", "made_vm", str(seed), "--config")  # raw disks take no snapshot
    virsh(host, "snapshot-create-as", "made_vm", "before")

    assert remove_named(host, "made_vm")

    assert host.find("made_vm") is None
    assert not seed.exists()  # it was noted as the guest's


def test_what_a_killed_copy_left_of_an_image_goes_once_nobody_is_at_work(host: GuestHost) -> None:
    pool = pool_of(host.connection, _POOL)
    half = pool.target / ".virtlab-abcd"
    half.mkdir()
    (half / "image").write_bytes(b"half of an image")

    assert drop_unfinished(pool) == [".virtlab-abcd"]
    assert not half.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-F", "raw", "-b", "/etc/hostname"], "it names a backing file"),
        (["-o", "data_file={data},data_file_raw=on"], "it keeps its data in another file"),
    ],
)
def test_an_image_that_would_show_other_files_of_the_host_is_not_taken(
    host: GuestHost, tmp_path: Path, words: list[str], said: str
) -> None:
    pool = pool_of(host.connection, _POOL)
    file = tmp_path / "crafted.qcow2"
    options = [word.format(data=tmp_path / "data") for word in words]
    command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, str(file), "2M"]
    subprocess.run(command, check=True, timeout=60)
    before = volumes(host)

    with pytest.raises(InputError, match=said):
        image_of(pool, file)

    assert volumes(host) == before


def test_an_image_is_taken_in_once_and_nothing_but_an_image(
    host: GuestHost, image: Path, tmp_path: Path
) -> None:
    pool = pool_of(host.connection, _POOL)
    copy = tmp_path / "copy.qcow2"
    copy.write_bytes(image.read_bytes())

    taken = image_of(pool, image)

    assert taken == image_of(pool, copy)
    assert taken.read_bytes() == image.read_bytes()
    (tmp_path / "text").write_text("no image")
    with pytest.raises(InputError, match=r"no image in the form qcow2[\s\S]*qemu-img convert"):
        image_of(pool, tmp_path / "text")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        image_of(pool, tmp_path / "none")


def test_a_disk_that_cannot_be_made_says_why(host: GuestHost, tmp_path: Path) -> None:
    pool = pool_of(host.connection, _POOL)

    with pytest.raises(EnvironmentLackError, match=r"cannot be made: .*No such file"):
        make_overlay(pool, "lone.qcow2", tmp_path / "none", 1)
    assert not list(pool.target.glob("*lone*"))


def test_a_disk_smaller_than_its_image_is_refused(host: GuestHost, tmp_path: Path) -> None:
    pool = pool_of(host.connection, _POOL)
    large = tmp_path / "large.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", large, "2049M"], check=True)

    with pytest.raises(UsageError, match=r"2 GiB cannot hold the image .*large[\s\S]*--disk 3"):
        make_overlay(pool, "lone.qcow2", large, 2)


def test_a_pool_that_is_not_there_is_named_with_how_to_make_it(host: GuestHost) -> None:
    with pytest.raises(EnvironmentLackError, match=r"no storage pool other[\s\S]*pool-define-as"):
        pool_of(host.connection, "other")


def test_a_pool_whose_making_was_killed_before_its_folder_is_made_whole(
    host: GuestHost, tmp_path: Path
) -> None:
    virsh(host, "pool-define-as", "half", "dir", "--target", str(tmp_path / "half"))
    with pytest.raises(EnvironmentLackError, match="half cannot be started"):
        LibvirtPool.found(host.connection, "half")

    found = LibvirtPool.found(host.connection, "half", build=True)

    assert found is not None and not found.volumes()
    virsh(host, "pool-destroy", "half")
    virsh(host, "pool-undefine", "half")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "a/b"}, "a guest's name has letters"),
        ({"memory_kib": 128 * 1024}, "128 MiB are too few"),
        ({"max_memory_kib": 256 * 1024}, "largest size of 256 MiB is below"),
    ],
)
def test_what_no_guest_can_be_is_refused(
    host: GuestHost, image: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        create(host, order(image, **changes))
