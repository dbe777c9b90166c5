"""A scheduling policy on the simulated host in this process: no socket, no second program.

The policy sees what libvirt would show: run time in ticks of 10 ms, delay in ns, one look each
interval, the first at time 0. Each call that a client would make costs its virtual time, so the
nth pin of a plan takes effect n calls after the look; where that takes longer than the interval,
the looks that were missed are left out. What happens is recorded as in any run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf

from virtlab.agent.cpu_sensing import CpuSensor, VcpuReading
from virtlab.hosts.clock import DEFAULT_CALL_COST_NS
from virtlab.hosts.simulated.driver.values import in_ticks
from virtlab.hosts.simulated.recorder import Recorder
from virtlab.league.wire import WireClient
from virtlab.model.plan import CpuPlan
from virtlab.model.scenario import Scenario
from virtlab.model.snapshot import CpuSnapshot, VcpuKey
from virtlab.model.timeline import ProgramOutcome, Timeline
from virtlab.model.units import NS_PER_S
from virtlab.policies.policy import SchedulingPolicy
from virtlab.simulator.guest import SimulatedGuest
from virtlab.simulator.host import SimulatedHost
from virtlab.simulator.vcpu import SimulatedVcpu

__all__ = ["run_scheduler"]


def run_scheduler(
    scenario: Scenario,
    policy: SchedulingPolicy,
    *,
    seed: int | None = None,
    on_tick: Callable[[CpuSnapshot, CpuPlan], None] | None = None,
    on_look: Callable[[SimulatedHost], None] | None = None,
    wire: bool = False,
) -> Timeline:
    """Run a policy on a scenario from its first to its last interval.

    Args:
        scenario: the host, its guests and what happens to them.
        policy: a fresh one; it keeps what it learns.
        seed: of the run; the scenario's own where None.
        on_tick: is shown each snapshot and the plan that came of it.
        on_look: is shown the host itself at each look, before the policy decides, and at the end.
        wire: through libvirt's protocol (`wire`).
    """
    host = SimulatedHost(scenario, seed=seed)
    recorder = Recorder(host, scenario, seed=seed)
    client = WireClient(host, recorder) if wire else None
    sensor = CpuSensor(scenario.host.layout)
    interval_ns = scenario.interval_s * NS_PER_S
    time_ns = 0
    while time_ns < scenario.duration_ns:
        recorder.advance(time_ns)
        if on_look is not None:
            on_look(host)
        readings = _readings(host) if client is None else client.vcpus()
        snapshot = sensor.look(host.now_ns, readings)
        plan = policy.decide(snapshot)
        if on_tick is not None:
            on_tick(snapshot, plan)
        if client is None:
            _act(host, recorder, plan)
        else:
            for pin in plan.actions:
                client.pin(pin)
        time_ns = (host.now_ns // interval_ns + 1) * interval_ns
    recorder.advance(scenario.duration_ns)
    if on_look is not None:
        on_look(host)
    return recorder.timeline(ProgramOutcome("ok", "completed", "", scenario.duration_ns))


def _readings(host: SimulatedHost) -> Iterator[VcpuReading]:
    """Yield what bulk statistics, affinities and scheduler parameters tell of running guests."""
    for name in sorted(host.guests):
        guest = host.guests[name]
        if guest.id < 0:
            continue
        life = str(guest.id)
        bound_to = guest.spec.memory_cell  # as `<numatune>` has it; first touch is told by nobody
        cells = None if bound_to is None else frozenset(guest.memory_cells)
        for vcpu in guest.vcpus:
            yield VcpuReading(
                key=VcpuKey(name, vcpu.index),
                life=life,
                run_ns=in_ticks(vcpu.thread_run_ns()),
                delay_ns=vcpu.thread_delay_ns(),
                pcpus=vcpu.mask,
                last_on=vcpu.pcpu,
                weight=vcpu.weight,
                cap_share=_cap(guest, vcpu),
                memory_cells=cells,
            )


def _cap(guest: SimulatedGuest, vcpu: SimulatedVcpu) -> float | None:
    """Return the most that a vCPU may run: its quota, or its part of its guest's."""
    pool = inf if vcpu.pool is None else vcpu.pool.quota / len(guest.vcpus)
    cap = min(vcpu.quota, pool)
    return None if cap == inf else cap


def _act(host: SimulatedHost, recorder: Recorder, plan: CpuPlan) -> None:
    """Pin as planned, one call after the other; the look itself was the first call."""
    time_ns = host.now_ns + DEFAULT_CALL_COST_NS
    for pin in plan.actions:
        time_ns += DEFAULT_CALL_COST_NS
        recorder.advance(time_ns)
        guest = host.guests.get(pin.vcpu.guest)
        # As libvirt would, refuse what has gone meanwhile, and masks of no pCPU there is; with a
        # guest's lock held the call would wait and then fail.
        pcpus = pin.pcpus & host.everywhere
        if guest is None or guest.id < 0 or guest.blocked:
            continue
        if pin.vcpu.number >= len(guest.vcpus) or not pcpus:
            continue
        effective = guest.pin(pin.vcpu.number, pcpus)
        recorder.pinned(guest.name, pin.vcpu.number, pcpus, effective)
