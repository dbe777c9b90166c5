#!/usr/bin/env python3
"""Pins every vCPU to a pCPU drawn at random, anew in each interval."""

import random
import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
pcpus = conn.getInfo()[2]
draw = random.Random(6210)

while not stopping:
    for domain in conn.listAllDomains():
        chosen = draw.randrange(pcpus)
        domain.pinVcpu(0, tuple(pcpu == chosen for pcpu in range(pcpus)))
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
