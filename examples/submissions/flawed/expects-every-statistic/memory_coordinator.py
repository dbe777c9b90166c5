#!/usr/bin/env python3
"""Takes each statistic for granted: a guest that reports less ends the program."""

import signal
import sys
import time

import libvirt

MIB = 1024  # libvirt counts in KiB
LOW = 115 * MIB  # unused memory below which a guest is pressed
HIGH = 135 * MIB  # unused memory above which a guest gives
HOST_RESERVE = 250 * MIB

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
for domain in conn.listAllDomains():
    domain.setMemoryStatsPeriod(1)

while not stopping:
    every = [(domain, domain.memoryStats()) for domain in conn.listAllDomains()]
    promised = sum(max(0, stats["actual"] - stats["rss"]) for _, stats in every)
    spare = max(0, conn.getFreeMemory() // 1024 - promised - HOST_RESERVE)
    for domain, stats in every:
        actual, unused = stats["actual"], stats["unused"]
        step = min(128 * MIB, domain.maxMemory() - actual, spare)
        if unused < LOW and step > 0:
            domain.setMemory(actual + step)
            spare -= step
        elif unused > HIGH and actual > 300 * MIB:
            domain.setMemory(actual - min(96 * MIB, unused - HIGH, actual // 4, actual - 300 * MIB))
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
