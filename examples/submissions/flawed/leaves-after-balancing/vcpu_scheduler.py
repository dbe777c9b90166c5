#!/usr/bin/env python3
"""Pins once and exits, as if nothing could change any more."""

import sys

import libvirt

conn = libvirt.open("qemu:///system")
pcpus = conn.getInfo()[2]
for index, domain in enumerate(conn.listAllDomains()):
    domain.pinVcpu(0, tuple(pcpu == index % pcpus for pcpu in range(pcpus)))
sys.exit(0)
