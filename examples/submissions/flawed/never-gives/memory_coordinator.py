#!/usr/bin/env python3
"""Asks for statistics each interval and never changes a balloon."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")

while not stopping:
    for domain in conn.listAllDomains():
        domain.setMemoryStatsPeriod(1)
        domain.memoryStats()
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
