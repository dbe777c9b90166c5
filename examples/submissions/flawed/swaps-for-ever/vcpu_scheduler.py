#!/usr/bin/env python3
"""Balances by count, then swaps two equal vCPUs in each interval for ever."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
pcpus = conn.getInfo()[2]
turn = 0

while not stopping:
    domains = conn.listAllDomains()
    places = [index % pcpus for index in range(len(domains))]
    if turn % 2:
        places[0], places[1] = places[1], places[0]
    for domain, chosen in zip(domains, places, strict=True):
        domain.pinVcpu(0, tuple(pcpu == chosen for pcpu in range(pcpus)))
    turn += 1
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
