"""Bringing up a run's guests by the playbooks, and finding how fast their loads work."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.journal import state_folder
from virtlab.hosts.real.micro_guest import micro_guest
from virtlab.hosts.real.playbooks import run_playbook
from virtlab.model.scenario import GuestSpec, Scenario

__all__ = ["PlaybookLaunch", "accelerator_here", "iterations_per_s"]

# Where `provision.yml` notes what it found, and the role of the loads keeps its calibrations.
_HOST_RECORD: Final = "host.json"
_CALIBRATION: Final = "calibration.json"

Progress = Callable[[str], None]


def accelerator_here() -> str:
    """Return what guests run on: what setting up the host found to work, emulation otherwise."""
    try:
        record = json.loads((state_folder() / _HOST_RECORD).read_text())
        return str(record.get("accelerator", "qemu"))
    except (OSError, ValueError):
        return "qemu"


@dataclass(frozen=True, slots=True)
class PlaybookLaunch:
    """Brings a scenario's guests up by `launch.yml`."""

    socket: Path  # libvirtd's
    accelerator: str
    progress: Progress

    def fits(self, description: ElementTree.Element, spec: GuestSpec) -> bool:
        """Tell whether a guest with this stored description is the one that would be made."""
        balloon = description.find("devices/memballoon")
        deflates = balloon is not None and balloon.get("autodeflate") == "on"
        return (
            description.get("type") == self.accelerator
            and int(description.findtext("vcpu", "0")) == spec.vcpus
            and int(description.findtext("memory", "0")) == spec.max_memory_kib
            and deflates == spec.deflate_on_oom
            # The folder of what a micro-guest boots from is named by its content.
            and Path(description.findtext("os/initrd", "")).parent.name == micro_guest().key
        )

    def up(self, scenario: Scenario, kept: Collection[str]) -> None:
        """Have all run: bound, sized, their agents answering; those in `kept` run already.

        Raises:
            EnvironmentLackError: they do not come up.
        """
        variables: dict[str, object] = {
            "scenario_guests": _guest_list(scenario),
            "guests_kept": sorted(kept),
            "guests_accelerator": self.accelerator,
            "guests_uri": _uri(self.socket),
        }
        result = run_playbook("launch.yml", variables, progress=self.progress)
        if not result.good:
            raise EnvironmentLackError(
                f"The guests of {scenario.id} could not be brought up: {result.failed}: "
                f"{result.reason}",
                fix="virtlab doctor tells what the machine lacks; guests' own words are in "
                "/var/log/virtlab",
            )


def iterations_per_s(
    socket: Path, guest: str, accelerator: str, progress: Progress = lambda _task: None
) -> float:
    """Return how many iterations of a load one whole pCPU does in a second.

    It is measured once for each micro-guest and accelerator, by `calibrate.yml`, in a guest that
    idles.

    Raises:
        EnvironmentLackError: the guest cannot be measured.
    """
    path = state_folder() / _CALIBRATION
    key = f"{micro_guest().key}-{accelerator}"
    if (known := _kept(path)).get(key) is None:
        variables: dict[str, object] = {
            "workloads_guest": guest,
            "workloads_key": key,
            "workloads_calibration": str(path),
            "workloads_uri": _uri(socket),
        }
        result = run_playbook("calibrate.yml", variables, progress=progress)
        if not result.good:
            raise EnvironmentLackError(
                f"{guest} could not be calibrated: {result.failed}: {result.reason}",
                fix="guests' own words are in /var/log/virtlab",
            )
        known = _kept(path)
    return known[key]


def _uri(socket: Path) -> str:
    return f"qemu+unix:///system?socket={socket}"


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
