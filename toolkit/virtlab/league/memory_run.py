"""A coordination policy on the simulated host in this process: no socket, no second program.

The policy sees what libvirt would show (`memory_sensor`), at time 0 and then once an interval. Each
call that a client would make costs its virtual time, so the nth balloon of a plan is set n calls
after the look; where that takes longer than the interval, the looks that were missed are left out.
What happens is recorded as in any run, so the same criteria judge it.
"""

from __future__ import annotations

from collections.abc import Callable

from virtlab.hosts.clock import DEFAULT_CALL_COST_NS, call_cost_ns
from virtlab.hosts.simulated.recorder import Recorder
from virtlab.league.memory_sensor import MemoryLimits, MemorySensor
from virtlab.league.wire import WireClient
from virtlab.model.plan import MemoryPlan
from virtlab.model.scenario import Scenario
from virtlab.model.snapshot import MemorySnapshot
from virtlab.model.timeline import ProgramOutcome, Timeline
from virtlab.model.units import NS_PER_S, mib
from virtlab.policies.policy import CoordinationPolicy
from virtlab.simulator.host import SimulatedHost

__all__ = ["COURSE_LIMITS", "run_coordinator"]

# What the course asks for: 200 MiB left free on the host, no guest below 200 MiB.
COURSE_LIMITS = MemoryLimits(reserve_kib=mib(200), floor_kib=mib(200))
_SET_NS = call_cost_ns("DOMAIN_SET_MEMORY")


def run_coordinator(
    scenario: Scenario,
    policy: CoordinationPolicy,
    *,
    seed: int | None = None,
    limits: MemoryLimits = COURSE_LIMITS,
    period_s: int = 1,
    on_tick: Callable[[MemorySnapshot, MemoryPlan], None] | None = None,
    on_look: Callable[[SimulatedHost], None] | None = None,
    wire: bool = False,
) -> Timeline:
    """Run a policy on a scenario from its first to its last interval.

    Args:
        scenario: the host, its guests and what happens to them.
        policy: a fresh one; it keeps what it learns.
        seed: of the run; the scenario's own where None.
        limits: what the policy has to keep.
        period_s: the statistics period of the guests.
        on_tick: is shown each snapshot and the plan that came of it.
        on_look: is shown the host itself at each look, before the policy decides, and at the end.
        wire: through libvirt's protocol (`wire`).
    """
    host = SimulatedHost(scenario, seed=seed)
    recorder = Recorder(host, scenario, seed=seed)
    client = WireClient(host, recorder) if wire else None
    source = None if client is None else client.memory
    sensor = MemorySensor(host, limits, period_s=period_s, source=source)
    interval_ns = scenario.interval_s * NS_PER_S
    time_ns = 0
    while time_ns < scenario.duration_ns:
        recorder.advance(time_ns)
        if on_look is not None:
            on_look(host)
        snapshot = sensor.look()
        plan = policy.decide(snapshot)
        if on_tick is not None:
            on_tick(snapshot, plan)
        if client is None:
            _act(host, sensor, recorder, plan)
        else:
            _act_by_wire(client, sensor, plan)
        time_ns = (host.now_ns // interval_ns + 1) * interval_ns
    recorder.advance(scenario.duration_ns)
    if on_look is not None:
        on_look(host)
    return recorder.timeline(ProgramOutcome("ok", "completed", "", scenario.duration_ns))


def _act(host: SimulatedHost, sensor: MemorySensor, recorder: Recorder, plan: MemoryPlan) -> None:
    """Set balloons as planned, one call after the other; the look itself was the first call."""
    time_ns = host.now_ns + DEFAULT_CALL_COST_NS
    for resize in plan.actions:
        time_ns += _SET_NS
        recorder.advance(time_ns)
        guest = host.guests.get(resize.guest)
        # It may have gone meanwhile, and with its lock held the call would wait and then fail.
        if guest is None or guest.id < 0 or guest.blocked:
            continue
        guest.set_memory(resize.memory_kib)
        sensor.asked(guest, resize.memory_kib)
        recorder.memory_set(guest.name, resize.memory_kib)


def _act_by_wire(client: WireClient, sensor: MemorySensor, plan: MemoryPlan) -> None:
    for resize in plan.actions:
        life = client.resize(resize)
        if life is not None:
            sensor.asked_of(life, resize.memory_kib)
