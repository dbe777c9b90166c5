#!/usr/bin/env python3
"""Balances the average use since the start instead of the recent use."""

import signal
import sys
import time

import libvirt

EVEN = 0.2  # difference between two pCPUs that is left alone, as a share of one

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
pcpus = conn.getInfo()[2]
start_s, start_ns = time.monotonic(), {}

while not stopping:
    domains = {domain.name(): domain for domain in conn.listAllDomains()}
    for name, domain in domains.items():
        start_ns.setdefault(name, domain.info()[4])
    since_s = time.monotonic() - start_s
    if since_s > 0.5:
        use = {name: (d.info()[4] - start_ns[name]) / 1e9 / since_s for name, d in domains.items()}
        homes = {name: domain.vcpus()[0][0][3] for name, domain in domains.items()}
        bound = all(sum(domain.vcpuPinInfo()[0]) == 1 for domain in domains.values())
        load = [sum(use[n] for n in homes if homes[n] == pcpu) for pcpu in range(pcpus)]
        if not bound or max(load) - min(load) > EVEN:
            load = [0.0] * pcpus
            for name in sorted(use, key=lambda name: -use[name]):
                chosen = load.index(min(load))
                load[chosen] += use[name]
                domains[name].pinVcpu(0, tuple(pcpu == chosen for pcpu in range(pcpus)))
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
