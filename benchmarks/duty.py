"""The share of a pCPU that a guest's load takes, against the duty that it was asked for.

The guest is alone on its pCPU, so what is off comes from the calibration, from what each round
costs beside its work, and from sleeps that last too long. Wants a host (`virtlab host up`) on which
no guests of the lab are.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks import guests
from benchmarks.figure import Figure
from virtlab.hosts.real.agent import Agent
from virtlab.hosts.real.connection import LIBVIRT_SOCKET, HostConnection
from virtlab.hosts.real.earlier import end_loads, lookup
from virtlab.hosts.real.launch import accelerator_here, iterations_per_s
from virtlab.hosts.real.loads import PROGRAM, cpu_words
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.units import NS_PER_MS, NS_PER_S
from virtlab.model.workload import Duty

DUTIES = (0.2, 0.36, 0.5, 0.8)
PERIOD_MS = 20  # of the shipped tests for two pCPUs; an emulated guest cannot wake up more often
SPAN_S = 10
SETTLE_S = 2
OFF_POINTS_MAX = 2.0  # as far as CPU shares may be off


def achieved() -> list[Figure]:
    """Measure each duty once."""
    if (missing := guests.lack()) is not None:
        return [Figure("duty achieved", None, "points", note=missing)]
    with tempfile.TemporaryDirectory() as folder:
        guests.launch(Path(folder), 1)
        try:
            return _figures()
        finally:
            guests.remove(Path(folder), 1)


def _figures() -> list[Figure]:
    figures = []
    with HostConnection() as connection:
        dom = lookup(connection, "bench_vm1")
        connection.call("DOMAIN_PIN_VCPU", dom, 0, b"\2")
        rate = iterations_per_s(LIBVIRT_SOCKET, dom.name, accelerator_here())
        for duty in DUTIES:
            load = Duty(duty, PERIOD_MS * NS_PER_MS)
            Agent(connection, dom).start(PROGRAM, cpu_words(load, 0, rate))
            time.sleep(SETTLE_S)
            share = _share(connection, dom)
            end_loads(connection, dom)
            off = 100 * abs(share - duty)
            note = f"{100 * share:.1f} % of a pCPU"
            figures.append(
                Figure(f"duty {duty:g} is off by", off, "points", OFF_POINTS_MAX, note=note)
            )
    return figures


def _share(connection: HostConnection, dom: DomainHandle) -> float:
    """Return what the guest's vCPU takes of a pCPU for a while."""
    began_s, before_ns = time.monotonic(), _ran_ns(connection, dom)
    time.sleep(SPAN_S)
    return (_ran_ns(connection, dom) - before_ns) / NS_PER_S / (time.monotonic() - began_s)


def _ran_ns(connection: HostConnection, dom: DomainHandle) -> int:
    ran: int = connection.call("DOMAIN_GET_VCPUS", dom, 1, 1).info[0].cpu_time
    return ran
