#!/usr/bin/env python3
"""A vCPU scheduler for hosts with NUMA cells: ./vcpu_scheduler.py INTERVAL

It keeps each guest next to its memory. The capabilities tell which pCPUs lie in which cell and
which are threads of one core; a guest's <numatune> tells in which cell its memory lies. Within
each cell vCPUs are dealt out evenly, a core each before any core gets a second one. It does so
once, and again when guests come or go.

Weak spot: it counts vCPUs and does not look at how much they want.
"""

import signal
import sys
import time
from xml.etree import ElementTree

import libvirt


def pcpus_by_cell(conn):
    """Return the pCPUs of each cell, first one thread of each core, then the others."""
    cells = {}
    capabilities = ElementTree.fromstring(conn.getCapabilities())
    for cell in capabilities.findall("host/topology/cells/cell"):
        threads, met = [], {}
        for cpu in cell.findall("cpus/cpu"):
            core = (cpu.get("socket_id"), cpu.get("core_id"))
            threads.append((met.get(core, 0), int(cpu.get("id"))))
            met[core] = met.get(core, 0) + 1
        cells[int(cell.get("id"))] = [number for _, number in sorted(threads)]
    return cells


def memory_cell(domain):
    """Return the cell in which a domain's memory lies, or None where nobody said."""
    memory = ElementTree.fromstring(domain.XMLDesc()).find("numatune/memory")
    nodes = "" if memory is None else memory.get("nodeset", "")
    return int(nodes) if nodes.isdigit() else None


def place(conn, cells):
    """Deal all vCPUs out, each within the cell of its guest's memory."""
    pcpus = conn.getInfo()[2]
    dealt = dict.fromkeys(cells, 0)
    for domain in sorted(
        conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE), key=lambda one: one.ID()
    ):
        cell = memory_cell(domain)
        if cell not in cells:
            cell = min(dealt, key=lambda number: (dealt[number], number))
        for number, mask in enumerate(domain.vcpuPinInfo()):
            wanted = cells[cell][dealt[cell] % len(cells[cell])]
            dealt[cell] += 1
            if [pcpu for pcpu, usable in enumerate(mask) if usable] != [wanted]:
                domain.pinVcpu(number, tuple(pcpu == wanted for pcpu in range(pcpus)))
                print(f"{domain.name()} vCPU {number} -> {wanted} (cell {cell})")
    sys.stdout.flush()


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdigit() or int(sys.argv[1]) < 1:
        sys.exit(f"usage: {sys.argv[0]} INTERVAL, a whole number of seconds from 1")
    stopping = []
    signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
    conn = libvirt.open("qemu:///system")
    cells, known = pcpus_by_cell(conn), None
    while not stopping:
        running = sorted(conn.listDomainsID())
        if running != known:
            place(conn, cells)
            known = running
        time.sleep(int(sys.argv[1]))


if __name__ == "__main__":
    main()
