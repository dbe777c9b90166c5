#!/usr/bin/env python3
"""Grows pressed guests, and suspends one at its maximum, so that its consumer never ends."""

import signal
import sys
import time

import libvirt

MIB = 1024  # libvirt counts in KiB
LOW = 115 * MIB  # unused memory below which a guest is pressed

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")

while not stopping:
    for domain in conn.listAllDomains():
        if domain.info()[0] != libvirt.VIR_DOMAIN_RUNNING:
            continue
        domain.setMemoryStatsPeriod(1)
        stats = domain.memoryStats()
        actual, unused = stats["actual"], stats["unused"]
        if actual == domain.maxMemory():
            domain.suspend()
        elif unused < LOW:
            domain.setMemory(min(actual + 128 * MIB, domain.maxMemory()))
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
