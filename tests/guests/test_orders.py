"""Whether a guest that stands is the one that is asked for: what counts, and what may differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.guests.definition import Notes, Wanted, described
from virtlab.guests.host import GuestHost
from virtlab.guests.keys import LoginKey
from virtlab.guests.making import would_change
from virtlab.guests.order import CloudImage, Order
from virtlab.hosts.real.guests import remove_guest

_NOBLE = CloudImage(Path("/pool/noble-1"), "virtlab", "release noble amd64", "20260101")
_KEY = LoginKey("ssh-ed25519 AAAA me@here", Path("/home/me/.ssh/id"), "the test")
_ORDER = Order(Wanted("told_vm", 512 * 1024, 1024 * 1024), "cloud", _NOBLE, _KEY)
_UUID = "5d1c1b9e-9f0e-4e50-8f5a-6f0f9d3c2b1a"


@pytest.fixture(autouse=True)
def standing(host: GuestHost) -> Iterator[None]:
    """Have a guest there, running, as it was ordered."""
    notes = Notes(
        "cloud", "lab", "/home/me/.ssh/id", _KEY.public, "h k", "virtlab", _ORDER.name_of_all,
        _NOBLE.means, _NOBLE.version,
    )  # fmt: skip
    text = described(_ORDER.wanted, notes, Path("/p/a.qcow2"), Path("/p/a.img"), None, _UUID)
    host.call("DOMAIN_CREATE", host.call("DOMAIN_DEFINE_XML", text).dom)
    yield
    remove_guest(host.connection, "told_vm")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image": replace(_NOBLE, path=Path("/pool/noble-2"), version="20260901")},
        {"key": replace(_KEY, public="ssh-ed25519 AAAA me@there")},  # only its comment differs
        {"left_open": {"release"}, "image": replace(_NOBLE, means="release jammy amd64")},
        {"left_open": {"key"}, "key": replace(_KEY, public="ssh-ed25519 BBBB")},
        {"left_open": {"accelerator"}, "wanted": replace(_ORDER.wanted, accelerator="kvm")},
    ],
)
def test_a_newer_build_and_what_was_left_open_make_no_other_guest(
    host: GuestHost, changes: dict[str, Any]
) -> None:
    assert not would_change(host, replace(_ORDER, **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": replace(_NOBLE, means="release jammy amd64")}, "it began as release noble"),
        ({"image": CloudImage(Path("/a"), means="content 12")}, "it began as release noble"),
        ({"left_open": set(), "key": replace(_KEY, public="ssh-ed25519 BBBB")}, "another key"),
        ({"wanted": replace(_ORDER.wanted, accelerator="kvm")}, "it runs on qemu"),
        ({"wanted": replace(_ORDER.wanted, vcpus=2)}, "its sizes"),
        ({"pool": "other"}, "or its pool"),
    ],
)
def test_what_was_asked_for_and_is_otherwise_is_refused_with_wherein(
    host: GuestHost, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(EnvironmentLackError, match=f"another one than asked for: .*{said}"):
        would_change(host, replace(_ORDER, **changes))
