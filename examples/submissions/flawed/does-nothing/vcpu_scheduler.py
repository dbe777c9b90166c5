#!/usr/bin/env python3
"""Looks at the guests each interval and never pins anything."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")

while not stopping:
    conn.listAllDomains()
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
