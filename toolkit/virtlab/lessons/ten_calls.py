"""Ten calls of libvirt, made over a socket to the host of `virtlab shell cpu-1-all-on-one`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from virtlab.lessons.lesson import Bars, Listing, Shown, Table
from virtlab.lessons.served import Client, ServedHost, served
from virtlab.model.units import KIB_PER_MIB, NS_PER_S, mib
from virtlab.policies.parameters import tunable
from virtlab.scenario import find_scenario

_LIVE = 1  # VIR_DOMAIN_AFFECT_LIVE
_RUNNING = 16  # VIR_CONNECT_LIST_DOMAINS_RUNNING
_ACTUAL, _UNUSED = 6, 4  # virDomainMemoryStatTags


@dataclass(frozen=True, slots=True)
class TenCalls:
    """Connect, look, act, look again."""

    pcpu: int = tunable(
        2, unit="pCPU", effect="where the first guest's vCPU is bound to", at_least=0, at_most=3
    )

    def shown(self) -> Iterator[Shown]:
        """Yield each call with its answer."""
        with served(find_scenario("cpu-1-all-on-one")) as host:
            client = host.connect()  # virConnectOpen
            said = [f" 1 virConnectOpen(qemu:///system)   connected to {host.socket.name}"]
            info = client.call("NODE_GET_INFO")
            said += [f" 2 virNodeGetInfo()                 {info.cpus} pCPUs, {_mib(info.memory)}"]
            guests = client.call("CONNECT_LIST_ALL_DOMAINS", 1, _RUNNING).domains
            names = ", ".join(f"{guest.name} (id {guest.id})" for guest in guests[:3])
            said += [f" 3 virConnectListAllDomains(RUNNING) {len(guests)}: {names}, ..."]
            yield Listing("look", said)

            guest = guests[0]
            host.wait(1.0)
            before = self._share(host, client, guest)
            yield Listing("times", [f" 4 virDomainGetVcpus({guest.name})", *before.lines])

            mask = bytes([1 << self.pcpu])  # bit n is pCPU n
            client.call("DOMAIN_PIN_VCPU", guest, 0, mask)
            pins = client.call("DOMAIN_GET_VCPU_PIN_INFO", guest, 1, 1, _LIVE).cpumaps
            yield Listing(
                "pin",
                [
                    f" 5 virDomainPinVcpu({guest.name}, vCPU 0, map {mask[0]:04b})   done",
                    f" 6 virDomainGetVcpuPinInfo({guest.name})   map {pins[0]:04b}",
                ],
            )
            after = self._share(host, client, guest)
            yield Bars("shares", "% of a pCPU", {"before": before.share, "after": after.share})

            client.call("DOMAIN_SET_MEMORY_STATS_PERIOD", guest, 1, _LIVE)
            host.wait(1.0)
            full = _memory(client, guest)
            client.call("DOMAIN_SET_MEMORY", guest, mib(400))
            host.wait(2.0)
            shrunk = _memory(client, guest)
            yield Listing(
                "balloon",
                [
                    f" 7 virDomainSetMemoryStatsPeriod({guest.name}, 1 s)   done",
                    f" 8 virDomainMemoryStats({guest.name})   {full}",
                    f" 9 virDomainSetMemory({guest.name}, 400 MiB)   done",
                    f"   virDomainMemoryStats({guest.name})   {shrunk}   two seconds later",
                ],
            )
            client.call("CONNECT_CLOSE")
            yield Listing("close", ["10 virConnectClose()   done"])
            yield Table(
                "cost", ("", "calls", "bytes"), [("over the socket", client.calls, client.bytes)]
            )

    @staticmethod
    def _share(host: ServedHost, client: Client, guest: Any) -> _Looked:
        """Ask twice, a second apart: libvirt tells times and never shares."""
        (first,) = client.call("DOMAIN_GET_VCPUS", guest, 1, 1).info
        from_ns = host.now_ns
        host.wait(1.0)
        (second,) = client.call("DOMAIN_GET_VCPUS", guest, 1, 1).info
        span_ns = host.now_ns - from_ns
        share = 100.0 * (second.cpu_time - first.cpu_time) / span_ns
        lines = [
            f"     cpuTime {first.cpu_time / NS_PER_S:.2f} s, on pCPU {first.cpu}",
            f"     cpuTime {second.cpu_time / NS_PER_S:.2f} s, on pCPU {second.cpu}, one second on",
        ]
        return _Looked(share, lines)


@dataclass(frozen=True, slots=True)
class _Looked:
    share: float  # in per cent of a pCPU
    lines: list[str]


def _memory(client: Client, guest: Any) -> str:
    stats = {one.tag: one.val for one in client.call("DOMAIN_MEMORY_STATS", guest, 13, 0).stats}
    return f"actual {_mib(stats[_ACTUAL])}, unused {_mib(stats[_UNUSED])}"


def _mib(kib: int) -> str:
    return f"{kib // KIB_PER_MIB} MiB"
