"""Checks that guests and events of a scenario file share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from virtlab.errors import Problem
from virtlab.scenario.located_yaml import Document, KeyPath
from virtlab.scenario.schema import GrowthFile, GuestFile, HostFile, TuningFile

__all__ = ["growth_problems", "pcpu_problems", "tuning_problems"]

_QUOTA_MIN_US: Final = 1_000
# What a guest that is short of memory keeps: see docs/explanation/laws.md.
_FREE_MIN_MIB: Final = 4
_CACHE_REST_MIB: Final = 20
_WEIGHT_MAX: Final = 10_000  # the kernel's, of cgroup v2


def pcpu_problems(
    document: Document, path: KeyPath, pcpus: Sequence[int], host: HostFile | None
) -> Iterator[Problem]:
    """Yield a problem for each pCPU that the host does not have, or that is listed twice."""
    seen: set[int] = set()
    for position, pcpu in enumerate(pcpus):
        inner = (*path, position)
        where = inner if inner in document.lines else path
        if host is not None and pcpu >= host.pcpus:
            last = host.pcpus - 1
            has = "only 0" if last == 0 else f"0-{last}"
            use = "pCPU 0" if last == 0 else f"a pCPU from 0 to {last}"
            what = f"pCPU {pcpu} does not exist (the host has {has})."
            yield document.problem(where, what, f"use {use}, or raise host.pcpus to {pcpu + 1}.")
        if pcpu in seen:
            yield document.problem(where, f"pCPU {pcpu} is listed twice.", "list it once.")
        seen.add(pcpu)


def growth_problems(
    document: Document, path: KeyPath, load: GrowthFile, guest: GuestFile
) -> Iterator[Problem]:
    """Yield what is wrong with a memory load in a guest."""
    if (load.until is None) == (load.until_mib is None):
        what = "a memory load has either `until: limit` or `until_mib`."
        yield document.problem(path, what, "write one of the two keys.")
        return
    if load.until is not None:
        for key in ("hold_s", "then"):
            if key in load.model_fields_set:
                what = "a load that grows to the guest's limit is killed there and holds nothing."
                fix = f"remove {key}, or give until_mib instead of until."
                yield document.problem((*path, key), what, fix)
    elif load.until_mib is not None and load.until_mib > (room := _room_mib(guest)):
        most = guest.max_memory_mib or guest.memory_mib
        what = (
            f"{load.until_mib} MiB are never reached: "
            f"of at most {most} MiB the guest has {room} for a load."
        )
        fix = f"write `until: limit`, or an until_mib of at most {room}."
        yield document.problem((*path, "until_mib"), what, fix)


def _room_mib(guest: GuestFile) -> int:
    """Return what a load can hold of the guest's largest size and its swap."""
    most = guest.max_memory_mib or guest.memory_mib
    left = most - guest.kernel_mib - guest.processes_mib - min(guest.cache_mib, _CACHE_REST_MIB)
    return max(left - _FREE_MIN_MIB, 0) + guest.swap_mib


def tuning_problems(
    document: Document, path: KeyPath, tuning: TuningFile, host: HostFile | None
) -> Iterator[Problem]:
    """Yield what a host's libvirt and kernel would refuse of scheduler parameters."""
    if not tuning.parameters:
        yield document.problem(path, "nothing is set.", "give shares or a quota, or remove it.")
    for key in ("vcpu_quota_us", "global_quota_us"):
        quota_us = getattr(tuning, key)
        if quota_us is not None and 0 <= quota_us < _QUOTA_MIN_US:
            what = f"a quota of {quota_us} us is below libvirt's least of {_QUOTA_MIN_US}."
            fix = f"use at least {_QUOTA_MIN_US}, or -1 for no limit."
            yield document.problem((*path, key), what, fix)
    version = 1 if host is None else host.cgroup_version
    if version == 2 and tuning.shares is not None and tuning.shares > _WEIGHT_MAX:
        what = f"{tuning.shares} shares are above the largest weight of cgroup v2, {_WEIGHT_MAX}."
        fix = f"use at most {_WEIGHT_MAX}, or set host.cgroup_version to 1."
        yield document.problem((*path, "shares"), what, fix)
