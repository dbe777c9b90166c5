#!/usr/bin/env python3
"""Lets guests run down to a few MiB unused before it gives, and squeezes idle ones."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
MIB = 1024


def coordinate(domain):
    """Give 64 MiB when unused memory is low, take 64 MiB when it is high."""
    stats = domain.memoryStats()
    actual, unused = stats["actual"], stats["unused"]
    if unused < 40 * MIB:
        target = min(actual + 64 * MIB, domain.maxMemory())
    elif unused > 60 * MIB:
        target = max(actual - 64 * MIB, 210 * MIB)
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
