"""Small hosts for the simulator's tests."""

from __future__ import annotations

from collections.abc import Sequence

from virtlab.model.scenario import Event, GuestSpec, HostSpec, Scenario, StartWorkload
from virtlab.model.topology import Cell, Topology
from virtlab.model.units import mib, ms
from virtlab.model.workload import Duty
from virtlab.simulator.host import SimulatedHost

Masks = Sequence[tuple[int, ...] | None]


def guest(
    name: str, mask: tuple[int, ...] | None = None, *, noise: float = 0.0, **changes: object
) -> GuestSpec:
    """Return a guest of one vCPU and 512 of at most 2048 MiB."""
    return GuestSpec(
        **{
            "name": name,
            "vcpus": 1,
            "memory_kib": mib(512),
            "max_memory_kib": mib(2048),
            "affinity": (mask,),
            "kernel_kib": mib(64),
            "processes_kib": mib(88),
            "cache_kib": mib(170),
            "idle_noise_max": noise,
            **changes,
        }  # type: ignore[arg-type]
    )


def host(
    guests: Sequence[GuestSpec],
    events: Sequence[Event] = (),
    *,
    pcpus: int = 4,
    memory_mib: int = 16_384,
    swap_mib: int = 0,
    seed: int = 1,
    **changes: object,
) -> SimulatedHost:
    """Return a host with these guests; it holds 1 GiB itself."""
    spec = HostSpec(pcpus, mib(memory_mib), mib(1024), mib(swap_mib), **changes)  # type: ignore[arg-type]
    scenario = Scenario(
        "test", "t", "w", "vcpu_scheduler", seed, spec, tuple(guests), tuple(events), 1, 30, ()
    )
    return SimulatedHost(scenario)


def loops(
    duties: Sequence[float],
    masks: Masks | None = None,
    *,
    pcpus: int = 4,
    seed: int = 1,
    events: Sequence[Event] = (),
    **changes: object,
) -> SimulatedHost:
    """Return a host with a guest for each duty, named g0, g1 and so on."""
    places = masks or [None] * len(duties)
    starts = [StartWorkload(0, f"g{n}", Duty(duty, ms(0.5))) for n, duty in enumerate(duties)]
    return host(
        [guest(f"g{n}", mask) for n, mask in enumerate(places)],
        [*starts, *events],
        pcpus=pcpus,
        seed=seed,
        **changes,
    )


def paired(pcpus: int, cells: int = 1, **changes: object) -> Topology:
    """Return a topology whose neighbouring pCPUs are SMT siblings, in cells alike."""
    each = pcpus // cells
    size_kib = mib(16_384) // cells
    return Topology(
        cells=tuple(
            Cell(
                tuple(range(n * each, (n + 1) * each)),
                size_kib,
                tuple(10 if n == other else 20 for other in range(cells)),
            )
            for n in range(cells)
        ),
        **{
            "cores": tuple((n, n + 1) for n in range(0, pcpus, 2)),
            "capacity": (1024,) * pcpus,
            **changes,
        },  # type: ignore[arg-type]
    )


def run_shares(simulated: SimulatedHost, seconds: int) -> list[float]:
    """Return how much of the next seconds each guest's first vCPU ran."""
    before = [each.vcpus[0].run_ns() for each in simulated.guests.values()]
    simulated.advance(simulated.now_ns + seconds * 10**9)
    after = [each.vcpus[0].run_ns() for each in simulated.guests.values()]
    return [(b - a) / (seconds * 1e9) for a, b in zip(before, after, strict=True)]
