#!/usr/bin/env python3
"""Plans anew from each interval's use, and moves on the smallest difference."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
pcpus = conn.getInfo()[2]
before = {}

while not stopping:
    now = {domain.name(): domain.info()[4] for domain in conn.listAllDomains()}
    if before:
        load = [0] * pcpus
        # The largest first, on the emptiest pCPU: a good plan, but a new one in each interval.
        for name in sorted(now, key=lambda name: before[name] - now[name]):
            chosen = load.index(min(load))
            load[chosen] += now[name] - before[name]
            mask = tuple(pcpu == chosen for pcpu in range(pcpus))
            conn.lookupByName(name).pinVcpu(0, mask)
    before = now
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
