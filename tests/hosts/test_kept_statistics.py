"""On a large host bulk statistics are kept from call to call, and say what they would say anew."""

from __future__ import annotations

from random import Random
from typing import Any, get_args

import pytest

from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.driver.events import Subscriptions
from virtlab.hosts.simulated.driver.state import handle_of
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.procedures import BY_NAME
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.faults import GuestFault, GuestFaultKind
from virtlab.model.scenario import StartWorkload
from virtlab.model.units import NS_PER_MS, mib, ms
from virtlab.model.workload import Duty, MemoryGrowth
from virtlab.simulator.host import SimulatedHost

pytest.importorskip("numpy")

_STATS = BY_NAME["CONNECT_GET_ALL_DOMAIN_STATS"]


class Lab:
    """A host of 520 guests of one to four vCPUs on 64 pCPUs, and its driver."""

    def __init__(self, build: Any) -> None:
        guests = [
            build.guest(
                f"g{n}", vcpus=1 + n % 4, running=n % 9 != 0,
                emulator_share=0.2 if n % 5 == 1 else None,
            )
            for n in range(520)
        ]  # fmt: skip
        events = [
            *(StartWorkload(0, one.name, Duty(0.3, ms(0.5))) for one in guests[1::4]),
            *(
                StartWorkload(ms(700), one.name, MemoryGrowth(mib(64), None))
                for one in guests[::50]
            ),
            *(
                GuestFault(ms(300 * n), guests[n].name, kind, ms(2500))
                for n, kind in enumerate(get_args(GuestFaultKind) * 8, 1)
            ),
        ]
        self.host = SimulatedHost(
            build.scenario(*guests, events=tuple(events), pcpus=64, memory_kib=mib(1_000_000))
        )
        self.handlers = SimulatedDriver(self.host).handlers_for(Subscriptions())

    def do(self, name: str, *args: Any) -> Any:
        return self.handlers[name](*args)

    def stats(self, doms: list[DomainHandle], groups: int) -> bytes:
        return _STATS.encode_results(self.do("CONNECT_GET_ALL_DOMAIN_STATS", doms, groups, 0))


def _anew(lab: Lab, doms: list[DomainHandle], groups: int) -> bytes:
    """Ask a driver that has kept nothing, as it would answer for a small host."""
    columns, lab.host.scheduler.columns = lab.host.scheduler.columns, None
    try:
        return lab.stats(doms, groups)
    finally:
        lab.host.scheduler.columns = columns


@pytest.mark.parametrize("seed", range(3))
def test_kept_statistics_are_what_they_would_be_anew(build: Any, seed: int) -> None:
    lab, rng = Lab(build), Random(seed)
    guests = list(lab.host.guests.values())
    acts = ("pin", "memory", "period", "pause", "stop", "start", "vcpus", "nothing", "nothing")

    for _ in range(60):
        lab.host.advance(lab.host.now_ns + rng.randrange(400 * NS_PER_MS))
        chosen = rng.choice(guests)
        dom = handle_of(chosen)
        match rng.choice(acts):
            case "pin":
                calls = [("DOMAIN_PIN_VCPU", dom, 0, bytes([1 << rng.randrange(8)]))]
            case "memory":
                calls = [("DOMAIN_SET_MEMORY", dom, mib(rng.randrange(300, 2048)))]
            case "period":
                calls = [("DOMAIN_SET_MEMORY_STATS_PERIOD", dom, rng.randrange(3), 0)]
            case "pause":
                calls = [("DOMAIN_SUSPEND", dom)]
            case "stop":
                calls = [("DOMAIN_DESTROY", dom)]
            case "start":
                calls = [("DOMAIN_CREATE", dom), ("DOMAIN_RESUME", dom)]
            case "vcpus":
                calls = [("DOMAIN_SET_VCPUS", dom, rng.randrange(1, 5))]
            case _:
                calls = []
        for name, *args in calls:
            try:
                lab.do(name, *args)
            except LibvirtError:
                continue  # refused as it should be, in the state it is in
        groups = rng.choice((0, 15, 15, 9, 5, 1))
        doms = [] if rng.random() < 0.8 else [handle_of(one) for one in rng.sample(guests, 40)]
        assert lab.stats(doms, groups) == _anew(lab, doms, groups)
        assert lab.stats(doms, groups) == _anew(lab, doms, groups)
