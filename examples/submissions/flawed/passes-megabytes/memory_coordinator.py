#!/usr/bin/env python3
"""Reckons in megabytes and hands them to setMemory, which counts in KiB."""

import signal
import sys
import time

import libvirt

MIB = 1024  # libvirt counts in KiB
LOW = 115 * MIB  # unused memory below which a guest is pressed
HIGH = 135 * MIB  # unused memory above which a guest gives

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")

while not stopping:
    for domain in conn.listAllDomains():
        domain.setMemoryStatsPeriod(1)
        stats = domain.memoryStats()
        actual, unused = stats["actual"], stats["unused"]
        if unused < LOW:
            domain.setMemory((actual + 128 * MIB) // MIB)
        elif unused > HIGH and actual > 300 * MIB:
            domain.setMemory((actual - 96 * MIB) // MIB)
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
