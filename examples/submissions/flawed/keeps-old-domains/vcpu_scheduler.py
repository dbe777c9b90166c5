#!/usr/bin/env python3
"""Lists the guests once, and goes on using that list when one of them has ended."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
pcpus = conn.getInfo()[2]
domains = conn.listAllDomains()

while not stopping:
    for index, domain in enumerate(domains):
        chosen = index % pcpus
        domain.pinVcpu(0, tuple(pcpu == chosen for pcpu in range(pcpus)))
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
