#!/usr/bin/env python3
"""Moves one vCPU from the busiest to the idlest pCPU, but only every fifth interval."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
pcpus = conn.getInfo()[2]
before, rounds = {}, 0
while not stopping:
    rounds += 1
    now, home = {}, {}
    for domain in conn.listAllDomains():
        now[domain.name()] = domain.info()[4]
        home[domain.name()] = domain.vcpus()[0][0][3]
    if before and rounds % 5 == 0:
        load = [0.0] * pcpus
        for name, pcpu in home.items():
            load[pcpu] += (now[name] - before[name]) / 1e9 / int(sys.argv[1])
        busiest, idlest = load.index(max(load)), load.index(min(load))
        if load[busiest] - load[idlest] > 0.2:
            name = min(name for name in home if home[name] == busiest)
            domain = conn.lookupByName(name)
            domain.pinVcpu(0, tuple(pcpu == idlest for pcpu in range(pcpus)))
    before = now
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
