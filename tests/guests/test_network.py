"""The network of guests: stopped after the last of them, and only where the lab started it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.guests import network
from virtlab.guests.network import network_up, unused_network_down
from virtlab.libvirt_rpc.errors import ErrorCode, LibvirtError

_ON_IT = ElementTree.fromstring(
    "<domain><devices><interface type='network'><source network='default'/></interface></devices>"
    "</domain>"
)


@dataclass
class Networks:
    """A libvirtd's networks, of which there is one."""

    active: bool = False
    starts: bool = True
    uuid: bytes = bytes(16)
    calls: list[str] = field(default_factory=list)

    def call(self, name: str, *_arguments: Any) -> Any:
        assert name == "NETWORK_LOOKUP_BY_NAME"
        return SimpleNamespace(item=SimpleNamespace(name="default", uuid=self.uuid))

    def request(self, procedure: Any, _network: Any) -> Any:
        if procedure.name == "NETWORK_IS_ACTIVE":
            return SimpleNamespace(active=self.active)
        if not self.starts:
            raise LibvirtError(ErrorCode.INTERNAL_ERROR, 0, "its addresses are taken")
        self.calls.append(procedure.name)
        self.active = procedure.name == "NETWORK_CREATE"
        return None


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIRTLAB_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def up(networks: Networks) -> None:
    network_up(networks, "default")  # type: ignore[arg-type]


def down(networks: Networks, *others: ElementTree.Element) -> None:
    unused_network_down(networks, "default", others)  # type: ignore[arg-type]


def test_one_that_was_down_is_stopped_after_the_last_domain_on_it() -> None:
    networks = Networks()

    up(networks)
    up(networks)
    down(networks, _ON_IT)
    assert networks.calls == ["NETWORK_CREATE"]
    down(networks)

    assert networks.calls == ["NETWORK_CREATE", "NETWORK_DESTROY"]


def test_one_that_ran_before_stays() -> None:
    networks = Networks(active=True)

    up(networks)
    down(networks)

    assert networks.calls == []


def test_one_that_did_not_start_and_was_started_by_somebody_else_stays() -> None:
    networks = Networks(starts=False)
    with pytest.raises(EnvironmentLackError, match="does not start"):
        up(networks)

    networks.active = networks.starts = True
    down(networks)

    assert networks.calls == []


@pytest.mark.parametrize("up_again", [False, True])
def test_a_note_of_an_earlier_boot_or_of_another_network_counts_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, up_again: bool
) -> None:
    boot = tmp_path / "boot"
    boot.write_text("the first\n")
    monkeypatch.setattr(network, "_BOOT", boot)
    for of_now in ({"boot": "the second"}, {"uuid": b"1" * 16}):
        networks = Networks()
        boot.write_text("the first\n")
        up(networks)

        boot.write_text(of_now.get("boot", "the first"))  # type: ignore[arg-type]
        networks.uuid = of_now.get("uuid", bytes(16))  # type: ignore[assignment]
        if up_again:
            up(networks)
        down(networks)

        assert networks.calls == ["NETWORK_CREATE"]


def test_no_guests_name_and_no_networks_name_leads_to_anothers_note(state: Path) -> None:
    (state / "guests/started-default").mkdir(parents=True)  # the access of a guest of that name
    networks = Networks(active=True)
    down(networks)
    assert networks.calls == []

    networks.active = False
    network_up(networks, "../../escaped")  # type: ignore[arg-type]
    assert [path.parent for path in state.rglob("*.json")] == [state / "networks"]
