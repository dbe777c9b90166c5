#!/usr/bin/env python3
"""Plans anew from each interval's use, and moves on the smallest difference."""

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
before = {}
while not stopping:
    now = {domain.name(): domain.info()[4] for domain in conn.listAllDomains()}
    if before:
        pin_largest_first({name: now[name] - before[name] for name in now})
    before = now
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
