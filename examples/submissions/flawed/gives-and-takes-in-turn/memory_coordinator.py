#!/usr/bin/env python3
"""Gives every guest 100 MiB in one interval and takes them back in the next."""

import signal
import sys
import time

import libvirt

MIB = 1024  # libvirt counts in KiB

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
turn = 0

while not stopping:
    step = -100 * MIB if turn % 2 else 100 * MIB
    for domain in conn.listAllDomains():
        domain.setMemory(domain.memoryStats()["actual"] + step)
    turn += 1
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
