"""What loads cost a real guest's vCPU: loops against their duty, and a process that touches pages.

A closed loop that runs a share r of the time and waits for a share w wants r / (1 - w), so that
other work on the machine matters less. What is then off comes from what each round costs beside its
work, as far as that is not followed (`work_rate`), and from sleeps that last too long. Where a vCPU
waits much, some of it is in its sleep, and r / (1 - w) says too much: 2 to 4 points beside a dozen
other processes. Loops and growth are started and followed as in a run. Wants a host (`virtlab host
up`) on which no guests of the lab are.
"""

from __future__ import annotations

import selectors
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import guests
from benchmarks.figure import Figure
from virtlab.fidelity.alike import growth_duty
from virtlab.hosts.real.connection import LIBVIRT_SOCKET, HostConnection
from virtlab.hosts.real.earlier import end_loads, lookup
from virtlab.hosts.real.launch import accelerator_here, iterations_per_s
from virtlab.hosts.real.link import HostLink
from virtlab.hosts.real.loads import AgentLoads, GuestEnd, loops_are_held
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.units import KIB_PER_MIB, NS_PER_MS
from virtlab.model.workload import Duty, MemoryGrowth, Workload

DUTIES = (0.2, 0.36, 0.5, 0.8)
PERIOD_MS = 20  # of the shipped tests for two pCPUs; an emulated guest cannot wake up more often
SPAN_S = 10
SETTLE_S = 6  # a rate is followed from the fourth second on
RATES_MIB_S = (8, 16, 32)  # the course's tests have 16
GROWTH_SPAN_S = 6  # a guest of 512 MiB has no room for more at the largest rate
VCPU = 1 << 3  # VIR_DOMAIN_STATS_VCPU
OFF_POINTS_MAX = 2.0  # as far as CPU shares may be off


def achieved() -> list[Figure]:
    """Measure each duty and each rate once."""
    if (missing := guests.lack()) is not None:
        return [Figure("duty achieved", None, "points", note=missing)]
    with tempfile.TemporaryDirectory() as folder:
        guests.launch(Path(folder), 1)
        try:
            return _figures()
        finally:
            guests.remove(Path(folder), 1)


def _figures() -> list[Figure]:
    accelerator = accelerator_here()
    with HostConnection() as connection:
        dom = lookup(connection, "bench_vm1")
        connection.call("DOMAIN_PIN_VCPU", dom, 0, b"\2")
        rate = iterations_per_s(LIBVIRT_SOCKET, dom.name, accelerator)
        figures = [_idle(connection, dom)]
        for duty in DUTIES:
            load = Duty(duty, PERIOD_MS * NS_PER_MS)
            with _loaded(connection, dom, load, rate, accelerator) as wait:
                wait(SETTLE_S)
                figures.append(_off(duty, *_shares(connection, dom, wait, SPAN_S)))
        for mib_s in RATES_MIB_S:
            growth = MemoryGrowth(mib_s * KIB_PER_MIB, None)
            with _loaded(connection, dom, growth, rate, accelerator) as wait:
                wait(1)
                ran, waited = _shares(connection, dom, wait, GROWTH_SPAN_S)
            simulated = 100 * growth_duty(growth, accelerator)
            note = f"waited {waited:.3f}; {simulated:.1f} simulated, beside an idle guest's noise"
            figures.append(Figure(f"touching {mib_s} MiB/s costs", 100 * ran, "points", note=note))
    return figures


def _idle(connection: HostConnection, dom: DomainHandle) -> Figure:
    ran, _waited = _shares(connection, dom, time.sleep, SPAN_S)
    return Figure("an idle guest costs", 100 * ran, "points")


def _off(duty: float, ran: float, waited: float) -> Figure:
    wanted = ran / (1 - waited)
    note = f"{wanted:.3f} wanted: ran {ran:.3f} of the time and waited {waited:.3f}"
    off = 100 * abs(wanted - duty)
    return Figure(f"duty {duty:g} is off by", off, "points", OFF_POINTS_MAX, note=note)


@contextmanager
def _loaded(
    connection: HostConnection, dom: DomainHandle, load: Workload, rate: float, accelerator: str
) -> Iterator[Callable[[float], None]]:
    """Have a load in the guest; yield what waits for some seconds and looks after it meanwhile."""
    selector = selectors.DefaultSelector()
    link = HostLink(selector, LIBVIRT_SOCKET, lambda: None)
    ends = {dom.name: GuestEnd(dom, link)}
    loads = AgentLoads(
        ends, rate, lambda _kind, _guest, _what: None, follow=loops_are_held(accelerator)
    )

    def wait(seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            loads.look()
            time_ns, run_ns, _delay_ns = _times_ns(connection, dom)
            loads.ran(dom.name, time_ns, [run_ns])
            next_s = time.monotonic() + min(left_s, 1)
            while (rest_s := next_s - time.monotonic()) > 0:
                for key, mask in selector.select(rest_s):
                    key.data(mask)

    loads.start(dom.name, load, [0])
    try:
        yield wait
    finally:
        end_loads(connection, dom)
        link.close()
        selector.close()


def _shares(
    connection: HostConnection,
    dom: DomainHandle,
    wait: Callable[[float], None],
    seconds: float,
) -> tuple[float, float]:
    """Return for what share of a while the guest's vCPU ran, and for what share it waited."""
    before = _times_ns(connection, dom)
    wait(seconds)
    span, ran, waited = (
        now - then for now, then in zip(_times_ns(connection, dom), before, strict=True)
    )
    return ran / span, waited / span


def _times_ns(connection: HostConnection, dom: DomainHandle) -> tuple[int, int, int]:
    """Return the time, and for how long the guest's vCPU has run and waited."""
    found = connection.call("CONNECT_GET_ALL_DOMAIN_STATS", [dom], VCPU, 0).retStats[0].params
    values = {param.field: int(param.value) for param in found if param.field.startswith("vcpu.0.")}
    return time.monotonic_ns(), values["vcpu.0.time"], values["vcpu.0.delay"]
