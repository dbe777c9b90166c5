#!/usr/bin/env python3
"""Pins every vCPU to pCPU 0, and lets none compute for more than a hundredth of the time."""

import signal
import sys
import time

import libvirt

stopping = []
signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
conn = libvirt.open("qemu:///system")
pcpus = conn.getInfo()[2]

while not stopping:
    for domain in conn.listAllDomains():
        domain.setSchedulerParameters({"vcpu_period": 100000, "vcpu_quota": 1000})
        domain.pinVcpu(0, tuple(pcpu == 0 for pcpu in range(pcpus)))
    for _ in range(int(sys.argv[1])):
        if not stopping:
            time.sleep(1)
