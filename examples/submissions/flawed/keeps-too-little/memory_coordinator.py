#!/usr/bin/env python3
"""Gives when a guest is nearly out of memory, and takes until it nearly is."""

import signal
import sys
import time

import libvirt

MIB = 1024  # libvirt counts in KiB
LOW = 40 * MIB  # unused memory below which a guest is pressed
HIGH = 60 * MIB  # unused memory above which a guest gives

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")

while not stopping:
    for domain in conn.listAllDomains():
        domain.setMemoryStatsPeriod(1)
        stats = domain.memoryStats()
        actual, unused = stats["actual"], stats["unused"]
        if unused < LOW:
            domain.setMemory(min(actual + 64 * MIB, domain.maxMemory()))
        elif unused > HIGH and actual > 210 * MIB:
            domain.setMemory(actual - min(64 * MIB, unused - HIGH))
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
