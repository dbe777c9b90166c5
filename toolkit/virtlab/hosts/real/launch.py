"""Bringing up a run's guests by the playbooks, and finding how fast their loads work."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.agent import Agent
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.journal import state_folder
from virtlab.hosts.real.loads import PROGRAM
from virtlab.hosts.real.micro_guest import micro_guest
from virtlab.hosts.real.playbooks import run_playbook
from virtlab.hosts.real.run_guests import Launch
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.scenario import Scenario

__all__ = ["accelerator_here", "iterations_per_s", "launch_by_playbook"]

# Where `provision.yml` notes what it found, and the role of the loads keeps its calibrations.
_HOST_RECORD: Final = "host.json"
_CALIBRATION: Final = "calibration.json"
_MEASURE_S: Final = 1.0
_MEASURE_WAIT_S: Final = 60.0

Progress = Callable[[str], None]


def accelerator_here() -> str:
    """Return what guests run on: what setting up the host found to work, emulation otherwise."""
    try:
        record = json.loads((state_folder() / _HOST_RECORD).read_text())
        return str(record.get("accelerator", "qemu"))
    except (OSError, ValueError):
        return "qemu"


def launch_by_playbook(socket: Path, accelerator: str, progress: Progress) -> Launch:
    """Return what has a scenario's guests run on a host, by `launch.yml`."""

    def launch(scenario: Scenario) -> None:
        variables: dict[str, object] = {
            "scenario_guests": _guest_list(scenario),
            "guests_accelerator": accelerator,
            "guests_uri": f"qemu+unix:///system?socket={socket}",
        }
        result = run_playbook("launch.yml", variables, progress=progress)
        if not result.good:
            raise EnvironmentLackError(
                f"The guests of {scenario.id} could not be brought up: {result.failed}: "
                f"{result.reason}",
                fix="virtlab doctor tells what the machine lacks; guests' own words are in "
                "/var/log/virtlab",
            )

    return launch


def iterations_per_s(connection: HostConnection, dom: DomainHandle, accelerator: str) -> float:
    """Return how many iterations of a load one whole pCPU does in a second.

    It is measured once for each micro-guest and accelerator, in a guest that idles.

    Raises:
        EnvironmentLackError: the guest cannot be measured.
    """
    path = state_folder() / _CALIBRATION
    key = f"{micro_guest().key}-{accelerator}"
    known = _kept(path)
    if key not in known:
        words = ["calibrate", "--seconds", f"{_MEASURE_S:g}"]
        try:
            said = Agent(connection, dom).run(PROGRAM, words, _MEASURE_WAIT_S)
            known[key] = float(json.loads(said)["iterations_per_s"])
        except (LibvirtError, ValueError, KeyError) as err:
            raise EnvironmentLackError(f"{dom.name} could not be calibrated: {err}") from err
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_text(json.dumps(known, indent=4) + "\n")
        fresh.rename(path)
    return known[key]


def _kept(path: Path) -> dict[str, float]:
    try:
        return {name: float(rate) for name, rate in json.loads(path.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _guest_list(scenario: Scenario) -> Sequence[Mapping[str, object]]:
    """Return the scenario's guests in the words of the collection's role."""
    return [
        {
            "name": guest.name,
            "memory_mib": guest.memory_kib // 1024,
            "max_memory_mib": guest.max_memory_kib // 1024,
            "vcpus": guest.vcpus,
            "deflate_on_oom": guest.deflate_on_oom,
            "pins": [list(pcpus or ()) for pcpus in guest.affinity],
        }
        for guest in scenario.guests
    ]
