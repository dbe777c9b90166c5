"""The texts of /proc and /sys say what the simulated host says of itself over libvirt."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from virtlab.hosts.simulated.files import node_files, proc_files, sys_links, sys_texts
from virtlab.model.scenario import GuestSpec, HostSpec, Scenario, StartWorkload
from virtlab.model.topology import Cell, Topology
from virtlab.model.units import mib, ms, seconds
from virtlab.model.workload import Duty, MemoryGrowth
from virtlab.simulator.host import SimulatedHost

SPEC = HostSpec(4, mib(8192), mib(1024), mib(2048))


def simulated(spec: HostSpec = SPEC, *, grows_mib_s: int = 64) -> SimulatedHost:
    """Return a host with a busy guest and one that grows."""
    guests = tuple(
        GuestSpec(name, 1, mib(4096), mib(4096), ((0,),), mib(64), mib(88), mib(170))
        for name in ("busy", "grows")
    )
    events = (
        StartWorkload(0, "busy", Duty(0.5, ms(1))),
        StartWorkload(0, "grows", MemoryGrowth(grows_mib_s * 1024, None, None, "keep")),
    )
    return SimulatedHost(
        Scenario("t", "t", "w", "vcpu_scheduler", 1, spec, guests, events, 1, 60, ())
    )


def fields(text: str) -> dict[str, int]:
    """Return the numbers of a file of names and values."""
    return {name: int(value) for name, value in re.findall(r"^(\S+?):?\s+(\d+)", text, re.M)}


@pytest.mark.parametrize("at_s", [0, 7, 30])
def test_meminfo_is_the_hosts_memory_and_adds_up(at_s: int) -> None:
    host = simulated()
    host.advance(seconds(at_s))

    meminfo = fields(proc_files(host)["/proc/meminfo"]())

    memory = host.memory()
    assert meminfo["MemTotal"] == SPEC.memory_kib
    assert meminfo["MemFree"] == memory.free_kib
    assert meminfo["Buffers"] + meminfo["Cached"] == memory.buffers_kib + memory.cached_kib
    assert meminfo["AnonPages"] == host.host_memory.held_kib()
    assert meminfo["MemFree"] + meminfo["AnonPages"] + SPEC.used_kib == meminfo["MemTotal"]
    assert 0 < meminfo["MemAvailable"] < meminfo["MemFree"] + meminfo["Cached"]


def test_a_host_that_swaps_shows_how_much_and_keeps_count_of_all_that_went_out() -> None:
    host = simulated(replace(SPEC, memory_kib=mib(3072)))
    host.advance(seconds(40))
    files = proc_files(host)

    meminfo, vmstat = fields(files["/proc/meminfo"]()), fields(files["/proc/vmstat"]())
    swapped_kib = host.memory().swap_used_kib
    host.guests["grows"].destroy()
    after = fields(files["/proc/vmstat"]())

    assert swapped_kib > mib(100)
    assert meminfo["SwapTotal"] - meminfo["SwapFree"] == swapped_kib
    assert vmstat["pswpout"] == after["pswpout"] == swapped_kib // 4
    assert fields(files["/proc/meminfo"]())["SwapFree"] == SPEC.swap_kib


def test_stat_counts_each_pcpus_ticks_and_all_of_a_guests_time_as_guest() -> None:
    host = simulated()
    host.advance(seconds(20))

    lines = proc_files(host)["/proc/stat"]().splitlines()
    columns = {line.split()[0]: [int(text) for text in line.split()[1:]] for line in lines}

    assert list(columns)[:5] == ["cpu", "cpu0", "cpu1", "cpu2", "cpu3"]
    for pcpu, busy_ns in enumerate(host.pcpu_busy_ns()):
        user, nice, system, idle, *_, guest, _ = columns[f"cpu{pcpu}"]
        assert user + system == pytest.approx(busy_ns / 1e7, abs=2)
        assert (user + system + idle) == pytest.approx((100 + 20) * 100, abs=3)
        assert guest == user
        assert nice == 0
    assert columns["cpu"][0] == pytest.approx(sum(columns[f"cpu{n}"][0] for n in range(4)), abs=4)
    assert columns["btime"] == [1_767_225_600 - 100]


def test_uptime_counts_from_boot_and_idle_time_over_all_pcpus() -> None:
    host = simulated()
    host.advance(seconds(12) + ms(345))

    up, idle = proc_files(host)["/proc/uptime"]().split()

    assert up == "112.34"
    assert float(idle) == pytest.approx(4 * 112.34 - sum(host.pcpu_busy_ns()) / 1e9, abs=0.05)


def test_loadavg_is_in_hundredths_and_counts_the_threads_there_are() -> None:
    host = simulated()
    host.advance(seconds(120))

    one, five, fifteen, tasks, _ = proc_files(host)["/proc/loadavg"]().split()

    assert all(re.fullmatch(r"\d\.\d\d", text) for text in (one, five, fifteen))
    assert float(one) > float(five) > float(fifteen) > 0.0
    assert tasks.split("/")[1] == "5"  # two vCPUs, two of QEMU's own, and the reader


def test_looking_at_every_file_changes_nothing() -> None:
    watched, alone = simulated(), simulated()
    for second in range(30):
        watched.advance(seconds(second))
        for text in {**proc_files(watched), **node_files(watched)}.values():
            text()
    alone.advance(seconds(29))

    assert [text() for text in proc_files(watched).values()] == [
        text() for text in proc_files(alone).values()
    ]
    assert watched.pcpu_busy_ns() == alone.pcpu_busy_ns()


def test_cpuinfo_has_a_block_for_each_pcpu() -> None:
    blocks = proc_files(simulated(replace(SPEC, pcpus=6)))["/proc/cpuinfo"]().split("\n\n")

    assert [block.split("\n")[0] for block in blocks if block] == [
        f"processor\t: {number}" for number in range(6)
    ]
    assert all("cpu MHz\t\t: 2400.000" in block for block in blocks if block)


@pytest.mark.parametrize(
    ("pcpus", "listed", "mask"),
    [
        (1, "0\n", "1\n"),
        (4, "0-3\n", "f\n"),
        (6, "0-5\n", "3f\n"),
        (40, "0-39\n", "ff,ffffffff\n"),
        (64, "0-63\n", "ffffffff,ffffffff\n"),
    ],
)
def test_lists_and_masks_are_the_kernels(pcpus: int, listed: str, mask: str) -> None:
    texts = sys_texts(replace(SPEC, pcpus=pcpus))

    assert texts["/sys/devices/system/cpu/online"] == listed
    assert texts["/sys/devices/system/node/node0/cpulist"] == listed
    assert texts["/sys/devices/system/node/node0/cpumap"] == mask
    last = f"/sys/devices/system/cpu/cpu{pcpus - 1}"
    assert texts[f"{last}/topology/core_siblings"] == mask
    assert sys_links(replace(SPEC, pcpus=pcpus))[f"{last}/node0"] == "../../node/node0"


def test_the_first_processor_has_no_switch_and_the_others_are_on() -> None:
    texts = sys_texts(SPEC)

    assert "/sys/devices/system/cpu/cpu0/online" not in texts
    assert texts["/sys/devices/system/cpu/cpu3/online"] == "1\n"


def test_the_cells_together_have_the_hosts_memory() -> None:
    host = simulated()
    host.advance(seconds(9))

    cells = [text() for text in node_files(host).values()]
    totals = [int(re.findall(r"MemTotal: +(\d+) kB", text)[0]) for text in cells]
    free = [int(re.findall(r"MemFree: +(\d+) kB", text)[0]) for text in cells]

    assert sum(totals) == SPEC.memory_kib
    assert sum(free) == host.memory().free_kib


TWO_CELLS = replace(
    SPEC,
    pcpus=8,
    topology=Topology(
        cells=(
            Cell((0, 1, 4, 5), mib(6144), (10, 21)),
            Cell((2, 3, 6, 7), mib(2048), (21, 10)),
        ),
        cores=((0, 4), (1, 5), (2, 6), (3, 7)),
        capacity=(1024,) * 4 + (512,) * 4,
    ),
)


def test_cells_and_siblings_are_the_scenarios() -> None:
    texts = sys_texts(TWO_CELLS)
    cpu, node = "/sys/devices/system/cpu", "/sys/devices/system/node"
    of_six = f"{cpu}/cpu6/topology"

    assert texts[f"{node}/online"] == "0-1\n"
    assert texts[f"{node}/node1/cpulist"] == "2-3,6-7\n"
    assert texts[f"{node}/node1/cpumap"] == "cc\n"
    assert texts[f"{node}/node1/distance"] == "21 10\n"
    assert texts[f"{of_six}/thread_siblings_list"] == "2,6\n"
    assert texts[f"{of_six}/core_siblings_list"] == "2-3,6-7\n"
    assert (texts[f"{of_six}/core_id"], texts[f"{of_six}/physical_package_id"]) == ("0\n", "1\n")
    assert texts[f"{cpu}/smt/active"] == "1\n"
    assert texts[f"{cpu}/cpu6/cpu_capacity"] == "512\n"
    assert sys_links(TWO_CELLS)[f"{cpu}/cpu6/node1"] == "../../node/node1"


def test_cpuinfo_counts_cores_and_threads_by_package() -> None:
    block = proc_files(simulated(TWO_CELLS))["/proc/cpuinfo"]().split("\n\n")[6]

    shown = {name.strip(): value.strip() for name, value in re.findall(r"(.*?):(.*)", block)}
    assert (shown["physical id"], shown["siblings"], shown["cpu cores"]) == ("1", "4", "2")
    assert (shown["core id"], shown["apicid"]) == ("0", "6")


def test_the_memory_of_each_cell_is_what_libvirt_says_and_adds_up() -> None:
    host = simulated(TWO_CELLS)
    host.advance(seconds(9))

    texts = enumerate(text() for text in node_files(host).values())
    cells = [fields(text.replace(f"Node {number} ", "")) for number, text in texts]

    assert [cell["MemTotal"] for cell in cells] == [mib(6144), mib(2048)]
    assert [cell["MemFree"] for cell in cells] == host.cells_free_kib()
    memory = host.memory()
    assert sum(cell["FilePages"] for cell in cells) == memory.buffers_kib + memory.cached_kib
