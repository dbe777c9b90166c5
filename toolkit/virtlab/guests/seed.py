"""What cloud-init in a guest is told, and the volume that tells it.

Source: cloud-init, "NoCloud" and "Cloud config examples".
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import yaml

from virtlab.guests.keys import HostKey
from virtlab.guests.vfat import vfat_volume

__all__ = ["Seed", "host_name"]

_LABEL = "CIDATA"


@dataclass(frozen=True, slots=True)
class Seed:
    """Who may log in to a guest, and who the guest is."""

    name: str
    instance: str  # another one has cloud-init begin anew
    login: str  # the user to be made
    public_key: str  # of whoever will log in
    host_key: HostKey

    def user_data(self) -> str:
        """Return the user data."""
        kind = self.host_key.public.split()[0].removeprefix("ssh-")
        told = {
            "users": [
                {
                    "name": self.login,
                    "shell": "/bin/bash",
                    "lock_passwd": True,
                    "sudo": "ALL=(ALL) NOPASSWD:ALL",
                    "ssh_authorized_keys": [self.public_key],
                }
            ],
            "ssh_pwauth": False,
            # The guest's own key comes from here, so that who logs in first can verify it.
            "ssh_deletekeys": True,
            "ssh_keys": {
                f"{kind}_private": self.host_key.private,
                f"{kind}_public": self.host_key.public,
            },
            "package_update": False,
            "package_upgrade": False,
        }
        return "#cloud-config\n" + yaml.safe_dump(told, sort_keys=False, width=1000)

    def meta_data(self) -> str:
        """Return the meta data."""
        told = {"instance-id": self.instance, "local-hostname": host_name(self.name)}
        return yaml.safe_dump(told, sort_keys=False)

    def volume(self) -> bytes:
        """Return the volume, for a disk of its own."""
        files = {"user-data": self.user_data(), "meta-data": self.meta_data()}
        return vfat_volume(
            _LABEL,
            {name: text.encode() for name, text in files.items()},
            zlib.crc32(self.instance.encode()),
        )


def host_name(name: str) -> str:
    """Return a guest's name as a host's, which has no underscores (RFC 952)."""
    return name.replace("_", "-").replace(".", "-").lower()
