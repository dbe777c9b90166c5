"""A scenario as a file again: YAML, and a CSV file beside it for each trace.

Written is what recordings hold: a host, its guests, their traces, and when they come and go.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import yaml

from virtlab.errors import InputError
from virtlab.model.scenario import (
    Event,
    GuestSpec,
    HostSpec,
    Scenario,
    StartGuest,
    StartWorkload,
    StopGuest,
)
from virtlab.model.topology import FULL_CAPACITY, Topology
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.model.workload import Trace
from virtlab.scenario.schema.base import FORM

__all__ = ["scenario_files_of", "write_scenario"]

_TUNING = {"cpu_shares": "shares"}  # libvirt's names, and those of files


def write_scenario(scenario: Scenario, path: Path) -> list[Path]:
    """Write a scenario and its traces; return the files.

    Raises:
        InputError: something of it has no form in these files.
        OSError: they cannot be written.
    """
    files = scenario_files_of(scenario, path.stem)
    written = []
    for name, text in files.items():
        target = path if name == "" else path.parent / name
        target.write_text(text)
        written.append(target)
    return written


def scenario_files_of(scenario: Scenario, stem: str) -> dict[str, str]:
    """Return the texts of a scenario's files; that of the scenario itself has the name "".

    Raises:
        InputError: something of it has no form in these files.
    """
    traces: dict[str, str] = {}
    events = [_event(event, stem, traces) for event in scenario.events]
    described = {
        "schema_version": FORM,
        "id": scenario.id,
        "title": scenario.title,
        "why": scenario.why,
        "program": scenario.program,
        "seed": scenario.seed,
        "host": _host(scenario.host),
        "guests": [_guest(guest) for guest in scenario.guests],
        "events": events,
        "run": {"duration_s": scenario.duration_s, "interval_s": scenario.interval_s},
        "criteria": [{"name": criterion.name} for criterion in scenario.criteria],
    }
    text = yaml.safe_dump(described, sort_keys=False, width=100, allow_unicode=True)
    return {"": text} | traces


def _host(host: HostSpec) -> dict[str, Any]:
    described: dict[str, Any] = {
        "pcpus": host.pcpus,
        "memory_mib": host.memory_kib // KIB_PER_MIB,
        "used_mib": host.used_kib // KIB_PER_MIB,
    }
    if host.topology is not None:
        described["topology"] = _topology(host.topology)
    return described


def _topology(topology: Topology) -> dict[str, Any]:
    described: dict[str, Any] = {
        "cells": [
            {
                "pcpus": list(cell.pcpus),
                "memory_mib": cell.memory_kib // KIB_PER_MIB,
                "distances": list(cell.distances),
            }
            for cell in topology.cells
        ]
    }
    siblings = [list(core) for core in topology.cores if len(core) == 2]
    if siblings:
        described["siblings"] = siblings
    if any(capacity != FULL_CAPACITY for capacity in topology.capacity):
        described["capacity"] = list(topology.capacity)
    return described


def _guest(guest: GuestSpec) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": guest.name,
        "vcpus": guest.vcpus,
        "memory_mib": guest.memory_kib // KIB_PER_MIB,
        "max_memory_mib": guest.max_memory_kib // KIB_PER_MIB,
        "kernel_mib": guest.kernel_kib // KIB_PER_MIB,
        "processes_mib": guest.processes_kib // KIB_PER_MIB,
        "cache_mib": guest.cache_kib // KIB_PER_MIB,
        "start_on": [None if mask is None else list(mask) for mask in guest.affinity],
    }
    if not guest.running:
        described["running"] = False
    if guest.memory_cell is not None:
        described["memory_cell"] = guest.memory_cell
    if guest.tuning:
        described["cputune"] = {_TUNING[name]: value for name, value in guest.tuning}
    return described


def _event(event: Event, stem: str, traces: dict[str, str]) -> dict[str, Any]:
    described: dict[str, Any] = {"at_s": event.time_ns / NS_PER_S}
    if isinstance(event, StartGuest | StopGuest):
        power = "start" if isinstance(event, StartGuest) else "stop"
        return described | {"guest": event.guest, "power": power}
    if not isinstance(event, StartWorkload) or not isinstance(event.workload, Trace):
        raise InputError(f"{type(event).__name__} has no form in the files of a recording")
    part = "memory" if event.vcpus is None else "-".join(map(str, event.vcpus))
    name = f"{stem}-{event.guest}-{part}.csv"
    traces[name] = _trace(event.workload)
    described |= {"guest": event.guest, "start_load": {"trace": name}}
    return described if event.vcpus is None else described | {"vcpus": list(event.vcpus)}


def _trace(trace: Trace) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("time_s", "cpu", "memory_mib"))
    for point in trace.points:
        memory = "" if point.memory_kib is None else round(point.memory_kib / KIB_PER_MIB, 1)
        writer.writerow((point.time_ns / NS_PER_S, point.cpu_share, memory))
    return text.getvalue()
