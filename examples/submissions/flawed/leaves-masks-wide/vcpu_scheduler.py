#!/usr/bin/env python3
"""Lets each vCPU run on two pCPUs and trusts the kernel with the rest."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
pcpus = conn.getInfo()[2]

while not stopping:
    for index, domain in enumerate(conn.listAllDomains()):
        chosen = {index % pcpus, (index + 1) % pcpus}
        domain.pinVcpu(0, tuple(pcpu in chosen for pcpu in range(pcpus)))
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
