"""Files of /proc that show the simulated host's state at its now.

Only what the simulator knows is filled in. What it does not model (interrupts, context switches,
pages in writeback) is 0, in lines that readers expect to be there.

Source of the formats: proc(5), and Linux 6.1: fs/proc/{meminfo,stat,loadavg,uptime}.c, mm/vmstat.c,
arch/x86/kernel/cpu/proc.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from virtlab.hosts.simulated.driver.node_topology import places_of
from virtlab.model.units import BOOT_S, NS_PER_S
from virtlab.simulator.host import PcpuTimes, SimulatedGuest, SimulatedHost
from virtlab.simulator.host_memory import HOST_RESERVE_KIB
from virtlab.simulator.load_average import FIXED_1

__all__ = ["proc_files"]

_TICK_NS: Final = NS_PER_S // 100  # USER_HZ
_PAGE_KIB: Final = 4
_SOFTIRQ_KINDS: Final = 10
# What each x86-64 processor has, and the extension without which there is no KVM host.
_FLAGS: Final = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse "
    "sse2 ht syscall nx lm constant_tsc nopl cpuid vmx"
)


def proc_files(host: SimulatedHost) -> Mapping[str, Callable[[], str]]:
    """Return what gives the present text of each file, by its path."""
    return {
        "/proc/cpuinfo": lambda: _cpuinfo(host),
        "/proc/loadavg": lambda: _loadavg(host),
        "/proc/meminfo": lambda: _meminfo(host),
        "/proc/stat": lambda: _stat(host),
        "/proc/uptime": lambda: _uptime(host),
        "/proc/vmstat": lambda: _vmstat(host),
    }


def _meminfo(host: SimulatedHost) -> str:
    memory, spec = host.memory(), host.spec
    cache_kib = memory.buffers_kib + memory.cached_kib
    anonymous_kib = _anonymous_kib(host)
    committed_kib = sum(guest.spec.max_memory_kib for guest in _running(host))
    fields = {
        "MemTotal": memory.total_kib,
        "MemFree": memory.free_kib,
        "MemAvailable": _available_kib(memory.free_kib, cache_kib),
        "Buffers": memory.buffers_kib,
        "Cached": memory.cached_kib,
        "SwapCached": 0,
        "Active": anonymous_kib,
        "Inactive": cache_kib,
        "Active(anon)": anonymous_kib,
        "Inactive(anon)": 0,
        "Active(file)": 0,
        "Inactive(file)": cache_kib,
        "Unevictable": 0,
        "Mlocked": 0,
        "SwapTotal": spec.swap_kib,
        "SwapFree": spec.swap_kib - memory.swap_used_kib,
        "Dirty": 0,
        "Writeback": 0,
        "AnonPages": anonymous_kib,
        "Mapped": 0,
        "Shmem": 0,
        "KReclaimable": 0,
        "Slab": 0,
        "SReclaimable": 0,
        "SUnreclaim": 0,
        "KernelStack": 0,
        "PageTables": 0,
        "NFS_Unstable": 0,
        "Bounce": 0,
        "WritebackTmp": 0,
        "CommitLimit": spec.memory_kib // 2 + spec.swap_kib,  # vm.overcommit_ratio of 50
        "Committed_AS": committed_kib,
        "VmallocTotal": 34_359_738_367,
        "VmallocUsed": 0,
        "VmallocChunk": 0,
        "AnonHugePages": 0,
    }
    lines = [f"{name + ':':<15} {kib:>8} kB" for name, kib in fields.items()]
    lines += [f"{f'HugePages_{name}:':<15} {0:>8}" for name in ("Total", "Free", "Rsvd", "Surp")]
    return _text([*lines, "Hugepagesize:       2048 kB", "Hugetlb:               0 kB"])


def _available_kib(free_kib: int, cache_kib: int) -> int:
    """Return what could be had without swapping, as `si_mem_available` in mm/page_alloc.c.

    The simulated host reclaims below one mark, where the kernel has three.
    """
    available_kib = free_kib - HOST_RESERVE_KIB
    available_kib += cache_kib - min(cache_kib // 2, HOST_RESERVE_KIB)
    return max(available_kib, 0)


def _anonymous_kib(host: SimulatedHost) -> int:
    """Return what guests hold of the host's memory: what is neither free nor the host's own."""
    memory = host.memory()
    return max(memory.total_kib - host.spec.used_kib - memory.free_kib, 0)


def _vmstat(host: SimulatedHost) -> str:
    memory = host.memory()
    cache_kib = memory.buffers_kib + memory.cached_kib
    swapped_out_kib = host.host_memory.swapped_out_kib
    fields = {
        "nr_free_pages": memory.free_kib // _PAGE_KIB,
        "nr_inactive_anon": 0,
        "nr_active_anon": _anonymous_kib(host) // _PAGE_KIB,
        "nr_inactive_file": cache_kib // _PAGE_KIB,
        "nr_active_file": 0,
        "nr_unevictable": 0,
        "nr_mlock": 0,
        "nr_anon_pages": _anonymous_kib(host) // _PAGE_KIB,
        "nr_mapped": 0,
        "nr_file_pages": cache_kib // _PAGE_KIB,
        "nr_dirty": 0,
        "nr_writeback": 0,
        "nr_slab_reclaimable": 0,
        "nr_slab_unreclaimable": 0,
        "nr_shmem": 0,
        "pgpgin": 0,
        "pgpgout": swapped_out_kib,
        "pswpin": 0,
        "pswpout": swapped_out_kib // _PAGE_KIB,
        "pgfault": 0,
        "pgmajfault": 0,
        "oom_kill": 0,
    }
    return _text(f"{name} {value}" for name, value in fields.items())


def _stat(host: SimulatedHost) -> str:
    times = [host.pcpu_times_ns(pcpu) for pcpu in range(host.spec.pcpus)]
    whole = PcpuTimes(
        user=sum(each.user for each in times),
        kernel=sum(each.kernel for each in times),
        idle=sum(each.idle for each in times),
        iowait=sum(each.iowait for each in times),
    )
    boot_s = host.host_memory.calendar_s(host.now_ns) - (BOOT_S + host.now_ns // NS_PER_S)
    return _text(
        [
            f"cpu  {_ticks(whole)}",
            *(f"cpu{pcpu} {_ticks(each)}" for pcpu, each in enumerate(times)),
            "intr 0",
            "ctxt 0",
            f"btime {boot_s}",
            f"processes {_threads(host)}",
            f"procs_running {_runnable(host)}",
            "procs_blocked 0",
            "softirq" + " 0" * (_SOFTIRQ_KINDS + 1),
        ]
    )


def _ticks(times: PcpuTimes) -> str:
    """Return user, nice, system, idle, iowait, irq, softirq, steal, guest and guest_nice.

    Outside the kernel a pCPU runs nothing but guests, and what they run counts as user time too.
    """
    user, kernel = times.user // _TICK_NS, times.kernel // _TICK_NS
    idle, iowait = times.idle // _TICK_NS, times.iowait // _TICK_NS
    return f"{user} 0 {kernel} {idle} {iowait} 0 0 0 {user} 0"


def _loadavg(host: SimulatedHost) -> str:
    averages = " ".join(_hundredths(load) for load in host.load.fixed)
    threads = _threads(host)
    return f"{averages} {_runnable(host)}/{threads} {threads}\n"


def _hundredths(load: int) -> str:
    rounded = load + FIXED_1 // 200
    return f"{rounded // FIXED_1}.{rounded % FIXED_1 * 100 // FIXED_1:02}"


def _runnable(host: SimulatedHost) -> int:
    """Return how many vCPUs want to run, and the reader itself."""
    return round(host.scheduler.runnable()) + 1


def _threads(host: SimulatedHost) -> int:
    """Return how many threads there are: of each guest its vCPUs and QEMU's own, and the reader."""
    return sum(len(guest.vcpus) + 1 for guest in _running(host)) + 1


def _uptime(host: SimulatedHost) -> str:
    up_ns = BOOT_S * NS_PER_S + host.now_ns
    idle_ns = sum(host.pcpu_times_ns(pcpu).idle for pcpu in range(host.spec.pcpus))
    return f"{_seconds(up_ns)} {_seconds(idle_ns)}\n"


def _seconds(ns: int) -> str:
    return f"{ns // NS_PER_S}.{ns % NS_PER_S // _TICK_NS:02}"


def _cpuinfo(host: SimulatedHost) -> str:
    blocks = []
    places = places_of(host.spec.layout)
    packages: dict[int, list[int]] = {}  # of each, the core of each of its pCPUs
    for place in places.values():
        packages.setdefault(place.socket, []).append(place.core)
    for pcpu, place in sorted(places.items()):
        cores = packages[place.socket]
        fields = {
            "processor": pcpu,
            "vendor_id": "GenuineIntel",
            "cpu family": 6,
            "model": 85,  # INTEL_FAM6_SKYLAKE_X in arch/x86/include/asm/intel-family.h
            "model name": "virtlab",
            "stepping": 0,
            "cpu MHz": f"{host.spec.mhz}.000",
            "physical id": place.socket,
            "siblings": len(cores),
            "core id": place.core,
            "cpu cores": len(set(cores)),
            "apicid": pcpu,
            "initial apicid": pcpu,
            "fpu": "yes",
            "fpu_exception": "yes",
            "cpuid level": 22,
            "wp": "yes",
            "flags": _FLAGS,
            "bogomips": f"{2 * host.spec.mhz}.00",
            "clflush size": 64,
            "cache_alignment": 64,
            "address sizes": "46 bits physical, 48 bits virtual",
        }
        blocks.append(_text(f"{_tabbed(name)}: {value}" for name, value in fields.items()))
    return "\n".join([*blocks, ""])


def _tabbed(name: str) -> str:
    return name + ("\t" if len(name) >= 8 else "\t\t")


def _running(host: SimulatedHost) -> list[SimulatedGuest]:
    return [guest for guest in host.guests.values() if guest.id >= 0]


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
