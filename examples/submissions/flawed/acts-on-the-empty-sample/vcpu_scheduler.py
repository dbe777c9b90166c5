#!/usr/bin/env python3
"""Plans on its first sample, before a second one could tell what the vCPUs use."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
pcpus = conn.getInfo()[2]
planned = False

while not stopping:
    domains = conn.listAllDomains()
    if not planned:
        # Right after the start nobody has used anything: the largest first is just any order.
        domains.sort(key=lambda domain: (-domain.info()[4], domain.name()))
        for index, domain in enumerate(domains):
            chosen = index % pcpus
            domain.pinVcpu(0, tuple(pcpu == chosen for pcpu in range(pcpus)))
        planned = True
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
