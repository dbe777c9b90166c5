#!/usr/bin/env python3
"""Grows pressed guests and never takes anything back."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
MIB = 1024


def coordinate(domain):
    """Give 128 MiB when unused memory is low."""
    stats = domain.memoryStats()
    actual, unused = stats["actual"], stats["unused"]
    target = min(actual + 128 * MIB, domain.maxMemory())
    if unused < 115 * MIB and target != actual:
        domain.setMemory(target)


while not stopping:
    for domain in conn.listAllDomains():
        domain.setMemoryStatsPeriod(1)
        coordinate(domain)
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
