#!/usr/bin/env python3
"""A vCPU scheduler to start from: ./vcpu_scheduler.py INTERVAL

Every INTERVAL seconds it measures how busy each vCPU was, and prints that. It moves nothing yet:
deciding is your part, in decide() below.
"""

import signal
import sys
import time

import libvirt


class Scheduler:
    """What the scheduler remembers between two rounds."""

    def __init__(self, conn):
        self.conn = conn
        self.ran_ns = {}  # of each vCPU, by its guest's UUID and its number: time it has run

    def round(self, interval_s):
        """Measure every vCPU of the running guests, and decide."""
        seen, shares, places = {}, {}, {}
        for domain in self.conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING):
            try:
                vcpus, _ = domain.vcpus()
            except libvirt.libvirtError:
                continue  # it has just ended
            for number, _state, ran_ns, pcpu in vcpus:
                # Ids and the order of guests may change; a UUID stays.
                key = (domain.UUIDString(), number)
                seen[key] = ran_ns
                places[key] = (domain, pcpu)
                # The first look at a vCPU has nothing to be compared with.
                if key in self.ran_ns:
                    shares[key] = (ran_ns - self.ran_ns[key]) / 1e9 / interval_s
        self.ran_ns = seen  # guests that are gone are forgotten
        self.decide(shares, places)

    def decide(self, shares, places):
        """YOUR PART. Pin vCPUs where that helps.

        shares: what each vCPU used of one pCPU in the last interval, by its key.
        places: its guest, and the pCPU on which it ran last, by its key.

        The host has self.conn.getInfo()[2] pCPUs. domain.pinVcpu(number, mask) binds a vCPU; the
        mask is a tuple with True or False for each pCPU.
        """
        for key, share in sorted(shares.items()):
            domain, pcpu = places[key]
            print(f"{domain.name()} vCPU {key[1]} ran {share:.0%} of the time, last on pCPU {pcpu}")
        sys.stdout.flush()


def main():
    """Run until SIGINT comes."""
    if len(sys.argv) != 2 or not sys.argv[1].isdigit() or int(sys.argv[1]) < 1:
        sys.exit(f"usage: {sys.argv[0]} INTERVAL (in seconds)")
    signal.signal(signal.SIGINT, lambda _number, _frame: sys.exit(0))
    scheduler = Scheduler(libvirt.open("qemu:///system"))
    while True:
        scheduler.round(int(sys.argv[1]))
        time.sleep(int(sys.argv[1]))


if __name__ == "__main__":
    main()
