#!/usr/bin/env python3
"""Destroys every guest: pCPUs that nobody uses are all used alike."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")

while not stopping:
    for domain in conn.listAllDomains():
        if domain.isActive():
            domain.destroy()
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
