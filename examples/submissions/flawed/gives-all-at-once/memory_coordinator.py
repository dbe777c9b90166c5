#!/usr/bin/env python3
"""Gives a pressed guest its maximum in one step."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
MIB = 1024


def coordinate(domain):
    """Give 2048 MiB when unused memory is low, take what is too much when it is high."""
    stats = domain.memoryStats()
    actual, unused = stats["actual"], stats["unused"]
    if unused < 115 * MIB:
        target = min(actual + 2048 * MIB, domain.maxMemory())
    elif unused > 135 * MIB:
        target = max(actual - min(96 * MIB, unused - 135 * MIB), 300 * MIB)
    else:
        return
    if target != actual:
        domain.setMemory(target)


while not stopping:
    for domain in conn.listAllDomains():
        domain.setMemoryStatsPeriod(1)
        coordinate(domain)
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
