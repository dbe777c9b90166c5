"""Guests made on a real libvirtd without a network: their parts, and how these are undone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from virtlab.errors import EnvironmentLackError, InputError, UsageError
from virtlab.guests import making
from virtlab.guests.definition import Wanted
from virtlab.guests.host import GuestHost, guest_host
from virtlab.guests.keys import LoginKey
from virtlab.guests.making import CloudImage, Order, create
from virtlab.guests.places import image_of, make_overlay, pool_of, put_seed
from virtlab.guests.removal import OVERLAY, SEED, remove, remove_parts
from virtlab.hosts.real.connection import socket_of
from virtlab.images.pool import LibvirtPool

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
    put_seed(pool, SEED.format("made_vm"), b"of an earlier one")
    put_seed(pool, OVERLAY.format("made_vm"), b"half of a disk")
    monkeypatch.setattr(
        making, "_start", lambda host, text, _name: host.call("DOMAIN_DEFINE_XML", text)
    )

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
    remove_parts(host, "other", "made_vm")  # gone with its pool, which is well removed


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
