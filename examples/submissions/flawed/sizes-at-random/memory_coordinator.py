#!/usr/bin/env python3
"""Sets every guest to a size drawn at random, anew in each interval."""

import random
import signal
import sys
import time

import libvirt

MIB = 1024  # libvirt counts in KiB

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
draw = random.Random(6210)

while not stopping:
    for domain in conn.listAllDomains():
        domain.setMemory(draw.randint(256, 2048) * MIB)
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
