"""What becomes of a guest whose weight changes as its vCPUs come and go, by two rules of Linux.

    python -m benchmarks.reweighed

Two loops of 50 % of 0.5 ms of a guest share a CPU with another guest's busy thread, while a third
vCPU of theirs is busy elsewhere. Linux 6.18 gave them 0.47 each, and the busy one 0.06. By commit
6d71a9c61604 (January 2025) a group is placed anew where its weight changes, with V as it is while
the group itself is counted in it, though placing takes V to be without. Commit 101f3498b4bd
(February 2026) took that back: V and the group's lag stay as they are, which is what the simulator
has (`virtlab.simulator.eevdf`). The kernel that was measured behaves as by the first; whether it
has the second was not to be seen. Weights follow at once here; with the kernel's load averages,
which lag behind, the first rule came to 0.46 and 0.08.
"""

from __future__ import annotations

from unittest.mock import patch

from virtlab.simulator import eevdf
from virtlab.simulator.queue_law import slice_ns

_CPUS = 2
_OWN = eevdf.Loop(250_000.0, 250_000.0, guest=0, elsewhere=1.0)
_OTHER = eevdf.Loop(0.0, 0.0, guest=1)


def placed_anew(entity: eevdf._Entity, now_ns: int) -> None:
    """Give a group the weight of those who are there, by the first rule (reweight_entity)."""
    own, queue = entity.own, entity.queue
    if own is None or not entity.elsewhere or not own.queued:
        return
    number = len(own.queued)
    weight = entity.shares * number / (number + entity.elsewhere)
    ratio = entity.weight / weight
    if ratio == 1.0:
        return
    if not entity.queued:
        entity.lag, entity.weight = entity.lag * ratio, weight
        return
    queue.update(now_ns)
    entity.note_lag()
    left = (entity.deadline - entity.vruntime) * ratio
    entity.lag, entity.weight = entity.lag * ratio, weight
    runs = queue.current is entity
    if not runs:
        queue.queued.remove(entity)
    others = queue.weight()  # which counts it where it runs, as V does
    alone = len(queue.queued) == (1 if runs else 0)
    lag = 0.0 if alone else entity.lag * (others + weight) / others
    entity.vruntime = queue.mean() - lag
    entity.deadline = entity.vruntime + left
    if not runs:
        queue.queued.append(entity)


def main() -> None:
    loops = (_OWN, _OWN, _OTHER)
    for name, rule in (("placed anew", placed_anew), ("V kept", eevdf._Entity.reweigh)):
        with patch.object(eevdf._Entity, "reweigh", rule):
            runs = [run for run, _ in eevdf.played(loops, slice_ns(_CPUS))]
        print(f"{name}: loops {runs[0]:.2f} and {runs[1]:.2f}, busy {runs[2]:.2f}")


if __name__ == "__main__":
    main()
