#!/usr/bin/env python3
"""A memory coordinator to start from: ./memory_coordinator.py INTERVAL

Every INTERVAL seconds it reads how much memory each guest has and how much of it is unused, and
prints that. It changes nothing yet: deciding is your part, in decide() below.
"""

import signal
import sys
import time

import libvirt


def measure(domain, interval_s):
    """Return a guest's size, what of it is unused, and its maximum in KiB; None if it is silent."""
    try:
        # Without a period the guest tells what it had when it booted, for ever.
        domain.setMemoryStatsPeriod(interval_s)
        stats = domain.memoryStats()
        # Which figures come is the guest's choice.
        if "actual" in stats and "unused" in stats:
            return stats["actual"], stats["unused"], domain.maxMemory()
    except libvirt.libvirtError:
        pass  # it has just ended
    return None


def decide(conn, guests):
    """YOUR PART. Change the guests' sizes where that helps.

    guests: each guest's domain, size, unused memory and maximum, in KiB.

    domain.setMemory(kib) asks for another size; the balloon then takes some time to get there. Take
    care of the host as well: conn.getMemoryStats(-1) says what it has free.
    """
    for domain, actual, unused, maximum in guests:
        sizes = f"{actual // 1024} MiB of at most {maximum // 1024}, {unused // 1024} unused"
        print(f"{domain.name()} has {sizes}")
    sys.stdout.flush()


def main():
    """Run until SIGINT comes."""
    if len(sys.argv) != 2 or not sys.argv[1].isdigit() or int(sys.argv[1]) < 1:
        sys.exit(f"usage: {sys.argv[0]} INTERVAL (in seconds)")
    interval_s = int(sys.argv[1])
    signal.signal(signal.SIGINT, lambda _number, _frame: sys.exit(0))
    conn = libvirt.open("qemu:///system")
    while True:
        guests = []
        for domain in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING):
            measured = measure(domain, interval_s)
            if measured is not None:
                guests.append((domain, *measured))
        decide(conn, guests)
        time.sleep(interval_s)


if __name__ == "__main__":
    main()
