"""Images in pools of a real libvirtd, where one can run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from image_lab import MIB, keep, make_qcow2, record
from mirror_lab import Mirror, Server

from virtlab.hosts.real.connection import HostConnection
from virtlab.images import ImageMissingError, find_image
from virtlab.images.http_source import HttpSource
from virtlab.images.pool import LibvirtPool
from virtlab.images.source import Location, offered
from virtlab.images.store import NATIVE_POOL
from virtlab.images.streams import chosen
from virtlab.images.uvtool import UVT_SYNC, sync_uvtool
from virtlab.images.wanted import Wanted

_DOMAIN = """
<domain type='qemu'><name>web</name><memory>131072</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='{disk}'/><target dev='vda' bus='virtio'/></disk></devices></domain>
"""


def virsh(uri: str, *words: str) -> str:
    command = ["virsh", "--connect", uri, "--quiet", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_pool_of_libvirts_is_made_once_and_its_images_are_found(
    libvirtd: str, calls: HostConnection, tmp_path: Path
) -> None:
    assert LibvirtPool.found(calls, NATIVE_POOL) is None
    with pytest.raises(ImageMissingError, match="there is none at all"):
        find_image(calls)

    pool = LibvirtPool.made(calls, NATIVE_POOL, tmp_path / "home" / "volumes", mode="0755")
    keep(pool, record())

    image = find_image(calls, "noble")
    assert image.pool == NATIVE_POOL
    assert image.virtual_size_kib == 2 * MIB
    assert Path(image.path) == tmp_path / "home" / "volumes" / record().volume
    again = LibvirtPool.found(calls, NATIVE_POOL)
    assert again is not None and again.target == pool.target
    assert again.volumes().keys() == {record().volume}

    virsh(libvirtd, "pool-destroy", NATIVE_POOL)
    assert find_image(calls, "noble").pool == NATIVE_POOL  # a pool that was stopped is started
    virsh(libvirtd, "pool-destroy", NATIVE_POOL)
    virsh(libvirtd, "pool-undefine", NATIVE_POOL)


def test_a_whole_sync_into_libvirts_pool_and_what_guests_are_built_on_stays(
    mirror: Mirror, server: Server, keyring: Path, libvirtd: str, small_image: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"

    def images(*words: str) -> dict[str, object]:
        command = [Path(sys.executable).with_name("virtlab"), "images", *words, "--json",
                   "--uri", libvirtd]  # fmt: skip
        environment = {**os.environ, "VIRTLAB_STATE_DIR": str(home)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    sync = ("sync", "--release", "noble", "--arch", "amd64", "--source", server.url,
            "--keyring", str(keyring), "--method", "native")  # fmt: skip
    mirror.add(small_image)
    mirror.publish("mirror")

    assert images(*sync, "--check")["changed"] is True
    assert not home.exists()
    first = images(*sync)["image"]
    assert isinstance(first, dict)
    assert images(*sync)["changed"] is False
    assert first["pool"] == NATIVE_POOL
    assert first["volume"] in virsh(libvirtd, "vol-list", NATIVE_POOL)
    assert images("list")["images"] == [first]
    assert images("verify")["images"] == [{**first, "damage": None}]

    disk = make_qcow2(tmp_path / "disk.qcow2", "-b", first["path"], "-F", "qcow2")
    (tmp_path / "web.xml").write_text(_DOMAIN.format(disk=disk))
    virsh(libvirtd, "define", str(tmp_path / "web.xml"))
    mirror.add(small_image, version="20260202")
    mirror.publish("mirror")
    assert images(*sync, "--prune")["removed"] == []
    virsh(libvirtd, "undefine", "web")
    # The same disk as a volume of a pool that is another than the images'.
    virsh(libvirtd, "pool-define-as", "guests", "dir", "--target", str(tmp_path))
    (tmp_path / "web.xml").write_text(
        _DOMAIN.format(disk=disk)
        .replace("disk type='file'", "disk type='volume'")
        .replace(f"file='{disk}'", f"pool='guests' volume='{disk.name}'")
    )
    virsh(libvirtd, "define", str(tmp_path / "web.xml"))
    assert images(*sync, "--prune")["removed"] == []
    assert "guests" in virsh(libvirtd, "pool-list", "--inactive")  # it is somebody else's
    virsh(libvirtd, "pool-undefine", "guests")
    virsh(libvirtd, "undefine", "web")
    assert images(*sync, "--prune")["removed"] == [first["volume"]]
    assert first["volume"] not in virsh(libvirtd, "vol-list", NATIVE_POOL)


def test_uvtools_way_ends_with_its_image_in_libvirts_pool(
    mirror: Mirror, server: Server, keyring: Path, libvirtd: str, calls: HostConnection,
    small_image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("UVT_STANDIN", str(tmp_path))
    standin = Path(__file__).with_name("standins") / UVT_SYNC
    monkeypatch.setenv("PATH", f"{standin.parent}:{os.environ['PATH']}")
    (tmp_path / "metadata").mkdir()
    pool = LibvirtPool.made(calls, "uvtool", tmp_path / "images", mode="0700")
    mirror.add(small_image)
    mirror.publish("mirror")
    with HttpSource(server.url) as source:
        location = Location.named(server.url, keyring)
        offer = chosen(offered(source, location), "noble", "amd64", server.url)
    wanted = Wanted("amd64", "noble", server.url, keyring)

    result = sync_uvtool(
        wanted, offer, pool, tmp_path / "scratch", lambda _step: None,
        metadata=tmp_path / "metadata",
    )  # fmt: skip

    assert result.image is not None
    assert result.image.volume in virsh(libvirtd, "vol-list", "uvtool")
    assert result.image.virtual_size_kib == MIB
