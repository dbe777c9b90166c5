"""The share of a pCPU that a guest's load wants, against the duty that it was asked for.

A closed loop that runs a share r of the time and waits for a share w wants r / (1 - w), so that
other work on the machine matters less. What is then off comes from the calibration, from what each
round costs beside its work, and from sleeps that last too long. Wants a host (`virtlab host up`) on
which no guests of the lab are.
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
from virtlab.model.units import NS_PER_MS
from virtlab.model.workload import Duty

DUTIES = (0.2, 0.36, 0.5, 0.8)
PERIOD_MS = 20  # of the shipped tests for two pCPUs; an emulated guest cannot wake up more often
SPAN_S = 10
SETTLE_S = 2
VCPU = 1 << 3  # VIR_DOMAIN_STATS_VCPU
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
            ran, waited = _shares(connection, dom)
            end_loads(connection, dom)
            wanted = ran / (1 - waited)
            note = f"{wanted:.3f} wanted: ran {ran:.3f} of the time and waited {waited:.3f}"
            off = 100 * abs(wanted - duty)
            name = f"duty {duty:g} is off by"
            figures.append(Figure(name, off, "points", OFF_POINTS_MAX, note=note))
    return figures


def _shares(connection: HostConnection, dom: DomainHandle) -> tuple[float, float]:
    """Return for what share of a while the guest's vCPU ran, and for what share it waited."""
    before = _times_ns(connection, dom)
    time.sleep(SPAN_S)
    span, ran, waited = (
        now - then for now, then in zip(_times_ns(connection, dom), before, strict=True)
    )
    return ran / span, waited / span


def _times_ns(connection: HostConnection, dom: DomainHandle) -> tuple[int, int, int]:
    """Return the time, and for how long the guest's vCPU has run and waited."""
    found = connection.call("CONNECT_GET_ALL_DOMAIN_STATS", [dom], VCPU, 0).retStats[0].params
    values = {param.field: int(param.value) for param in found if param.field.startswith("vcpu.0.")}
    return time.monotonic_ns(), values["vcpu.0.time"], values["vcpu.0.delay"]
