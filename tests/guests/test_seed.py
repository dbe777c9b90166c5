"""What cloud-init is told, and the volume that tells it."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from virtlab.guests.keys import HostKey
from virtlab.guests.seed import Seed, host_name
from virtlab.guests.vfat import vfat_volume

_SEED = Seed(
    "aos_vm1", "lab-1", "lab", "ssh-ed25519 AAAA me",
    HostKey("-----BEGIN-----\nsecret\n-----END-----\n", "ssh-ed25519 BBBB root@aos_vm1"),
)  # fmt: skip
_NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=30)


def files_of(volume: bytes) -> dict[str, bytes]:
    """Read a FAT12 volume's root, as the specification has it."""
    sector, per_cluster, reserved, fats, entries = struct.unpack_from("<HBHBH", volume, 11)
    (fat_sectors,) = struct.unpack_from("<H", volume, 22)
    fat = volume[reserved * sector :]
    root = (reserved + fats * fat_sectors) * sector
    data = root + entries * 32

    def following(cluster: int) -> int:
        (pair,) = struct.unpack_from("<H", fat, cluster * 3 // 2)
        return int(pair >> 4 if cluster % 2 else pair & 0xFFF)

    found, name = {}, ""
    for at in range(root, data, 32):
        entry = volume[at : at + 32]
        if entry[0] == 0:
            break
        if entry[11] == 0x0F:
            part = (entry[1:11] + entry[14:26] + entry[28:32]).decode("utf-16-le")
            name = part.split("\0")[0].rstrip("\uffff") + name
            continue
        if entry[11] & 0x08:
            continue
        cluster, size = struct.unpack_from("<HI", entry, 26)
        content = b""
        while len(content) < size:
            start = data + (cluster - 2) * per_cluster * sector
            content += volume[start : start + per_cluster * sector]
            cluster = following(cluster)
        found[name], name = content[:size], ""
    return found


def test_whoever_has_the_key_can_log_in_and_become_root() -> None:
    text = _SEED.user_data()
    told = yaml.safe_load(text)

    assert text.startswith("#cloud-config\n")
    assert told["users"] == [
        {
            "name": "lab", "shell": "/bin/bash", "lock_passwd": True,
            "sudo": "ALL=(ALL) NOPASSWD:ALL", "ssh_authorized_keys": ["ssh-ed25519 AAAA me"],
        }
    ]  # fmt: skip
    assert told["ssh_pwauth"] is False


def test_the_guests_own_key_comes_with_it_so_that_the_first_login_is_verified() -> None:
    told = yaml.safe_load(_SEED.user_data())

    assert told["ssh_keys"] == {
        "ed25519_private": _SEED.host_key.private,
        "ed25519_public": _SEED.host_key.public,
    }
    assert told["ssh_deletekeys"] is True


def test_a_guest_is_called_by_a_name_that_hosts_may_have() -> None:
    assert yaml.safe_load(_SEED.meta_data()) == {
        "instance-id": "lab-1", "local-hostname": "aos-vm1",
    }  # fmt: skip
    assert host_name("A.b_c") == "a-b-c"


def test_the_volume_is_what_cloud_init_looks_for(tmp_path: Path) -> None:
    path = tmp_path / "seed.img"
    path.write_bytes(_SEED.volume())

    told = subprocess.run(
        ["/sbin/blkid", "-p", "-o", "export", path], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert {"TYPE=vfat", "LABEL=CIDATA"} <= set(told)
    assert files_of(path.read_bytes()) == {
        "user-data": _SEED.user_data().encode(), "meta-data": _SEED.meta_data().encode(),
    }  # fmt: skip
    assert _SEED.volume() == _SEED.volume()


@given(files=st.dictionaries(_NAMES, st.binary(max_size=3000), max_size=12))
def test_every_file_is_read_back_as_it_was(files: dict[str, bytes]) -> None:
    assert files_of(vfat_volume("CIDATA", files)) == files


@pytest.mark.parametrize(
    "files", [{"big": b"x" * (1 << 20)}, {f"{'n' * 30}{i}": b"" for i in range(30)}]
)
def test_what_does_not_fit_is_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match="do not fit into the volume"):
        vfat_volume("CIDATA", files)
