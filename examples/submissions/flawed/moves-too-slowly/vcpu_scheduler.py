#!/usr/bin/env python3
"""Moves one vCPU from the busiest to the idlest pCPU, but only in every fifth interval."""

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
    domains = {domain.name(): domain for domain in conn.listAllDomains()}
    now = {name: domain.info()[4] for name, domain in domains.items()}
    homes = {name: domain.vcpus()[0][0][3] for name, domain in domains.items()}
    rounds += 1
    if rounds % 5 == 0:
        load = [0.0] * pcpus
        for name, home in homes.items():
            load[home] += (now[name] - before[name]) / 1e9
        busiest, idlest = load.index(max(load)), load.index(min(load))
        if load[busiest] - load[idlest] > 0.2:
            name = min(name for name in homes if homes[name] == busiest)
            domains[name].pinVcpu(0, tuple(pcpu == idlest for pcpu in range(pcpus)))
    before = now
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
