#!/usr/bin/env python3
"""Never sets a statistics period, so that it sees the report of the boot for ever."""

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
        stats = domain.memoryStats()
        actual, unused = stats["actual"], stats["unused"]
        if unused < LOW:
            domain.setMemory(min(actual + 128 * MIB, domain.maxMemory()))
        elif unused > HIGH and actual > 300 * MIB:
            domain.setMemory(actual - min(96 * MIB, unused - HIGH))
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
