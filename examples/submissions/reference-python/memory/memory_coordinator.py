#!/usr/bin/env python3
"""A memory coordinator that earns full marks: ./memory_coordinator.py INTERVAL

A guest whose unused memory falls below LOW gets more, a step at a time, while the host keeps its
reserve. What guests were given and have not touched yet is promised: still free on the host, but
not there to be given again. A guest with more than HIGH unused gives some back. Between the two it
is left alone, so that a settled host sees no calls.
"""

import signal
import sys
import time

import libvirt

MIB = 1024  # libvirt counts in KiB
LOW = 115 * MIB  # unused memory below which a guest is pressed
HIGH = 135 * MIB  # unused memory above which a guest gives
GROW = 128 * MIB
SHRINK = 96 * MIB
GUEST_MIN = 300 * MIB
HOST_RESERVE = 250 * MIB  # of the host, beyond what guests may still touch


def decide(actual, unused, maximum, host_spare):
    """Return the size that a guest should have, in KiB."""
    if unused < LOW and actual < maximum:
        return actual + min(GROW, maximum - actual, host_spare)
    if unused > HIGH and actual > GUEST_MIN:
        return actual - min(SHRINK, unused - HIGH, actual // 4, actual - GUEST_MIN)
    return actual


def coordinate(conn, interval_s, known):
    """One round over all running guests."""
    guests = []
    for domain in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING):
        if domain.UUIDString() not in known:
            domain.setMemoryStatsPeriod(max(1, interval_s // 2), libvirt.VIR_DOMAIN_AFFECT_LIVE)
            known.add(domain.UUIDString())
        stats = domain.memoryStats()
        if "unused" in stats:  # the guest has reported
            guests.append((domain, stats))
    promised = sum(max(0, stats["actual"] - stats["rss"]) for _, stats in guests)
    free = conn.getFreeMemory() // 1024  # this one call is in bytes
    host_spare = max(0, free - promised - HOST_RESERVE)
    for domain, stats in guests:
        actual, unused = stats["actual"], stats["unused"]
        target = decide(actual, unused, domain.maxMemory(), host_spare)
        if target // MIB == actual // MIB:
            continue
        domain.setMemory(target)
        host_spare -= max(0, target - actual)
        print(f"{domain.name()}: {actual // MIB} -> {target // MIB} MiB (unused {unused // MIB})")
    sys.stdout.flush()


def main():
    if len(sys.argv) != 2 or not sys.argv[1].isdigit() or int(sys.argv[1]) < 1:
        sys.exit(f"usage: {sys.argv[0]} INTERVAL, a whole number of seconds from 1")
    interval_s = int(sys.argv[1])
    stopping = []
    signal.signal(signal.SIGINT, lambda number, frame: stopping.append(number))
    conn = libvirt.open("qemu:///system")
    known = set()
    while not stopping:
        deadline_s = time.monotonic() + interval_s
        coordinate(conn, interval_s, known)
        # Python goes back to sleep after a handled signal, so sleep in steps that see the flag.
        while not stopping and (left_s := deadline_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 1.0))
    conn.close()


if __name__ == "__main__":
    main()
