#!/usr/bin/env python3
"""Balances the CPU time used since boot, not the recent use."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")


def pin_largest_first(loads):
    """Place the largest load first, on the emptiest pCPU."""
    used = [0.0] * pcpus
    for name in sorted(loads, key=lambda n: (-loads[n], n)):
        chosen = used.index(min(used))
        used[chosen] += loads[name]
        domain = conn.lookupByName(name)
        domain.pinVcpu(0, tuple(pcpu == chosen for pcpu in range(pcpus)))


pcpus = conn.getInfo()[2]
rounds = 0
while not stopping:
    used = {domain.name(): domain.info()[4] for domain in conn.listAllDomains()}
    rounds += 1
    if rounds == 2:
        planned_at = sum(used.values())
        pin_largest_first(used)
    elif rounds > 2 and max(used.values()) > 2 * min(used.values()) + 10**9:
        pin_largest_first(used)
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
