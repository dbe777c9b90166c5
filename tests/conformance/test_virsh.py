"""Unmodified virsh against the simulated host: each form of its commands, and what it prints."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from virtlab.model.topology import Cell, Topology

Virsh = Callable[..., str]


def _run(uri: str, *words: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("virsh")
    assert found, "virsh is missing; `make setup` installs libvirt-clients"
    return subprocess.run(
        [found, "-q", "-c", uri, *words],
        capture_output=True,
        text=True,
        timeout=20,
        env={"LC_ALL": "C", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
    )


@pytest.fixture
def virsh(lab: Any) -> Virsh:
    """Run virsh and return what it prints; it has to succeed."""

    def run(*words: str) -> str:
        done = _run(lab.uri, *words)
        assert (done.returncode, done.stderr) == (0, ""), (words, done.stderr)
        return done.stdout.strip("\n")

    return run


@pytest.fixture
def refused(lab: Any) -> Virsh:
    """Run virsh and return what it complains of; it has to fail."""

    def run(*words: str) -> str:
        done = _run(lab.uri, *words)
        assert done.returncode == 1, (words, done.stdout)
        return done.stderr.strip()

    return run


def table(text: str) -> dict[str, str]:
    """Return the lines `name: value` or `name value` of an output."""
    pairs = (
        re.split(r"\s*:\s+|\s{2,}|\s+", line.strip(), maxsplit=1) for line in text.splitlines()
    )
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


def test_list_shows_running_guests_by_id_and_all_guests_on_request(virsh: Virsh) -> None:
    rows = [line.split() for line in virsh("list", "--all").splitlines()]

    assert rows == [
        ["1", "aos_vm1", "running"],
        ["2", "aos_vm2", "running"],
        ["3", "aos_vm3", "running"],
        ["-", "aos_off", "shut", "off"],
    ]
    assert virsh("list", "--name").split() == ["aos_vm1", "aos_vm2", "aos_vm3"]
    assert virsh("list", "--inactive", "--name").split() == ["aos_off"]


def test_node_commands_describe_the_scenarios_host(virsh: Virsh) -> None:
    info = dict(re.split(r":\s+", line) for line in virsh("nodeinfo").splitlines())

    assert info["CPU(s)"] == "4"
    assert info["CPU model"] == "x86_64"
    assert info["CPU frequency"] == "2400 MHz"
    assert info["Core(s) per socket"] == "4"
    assert info["NUMA cell(s)"] == "1"
    assert info["Memory size"] == "6291456 KiB"
    assert virsh("hostname") == "virtlab"
    assert virsh("uri").startswith("qemu+unix:///system?socket=")
    assert virsh("maxvcpus") == "255"
    assert "Running against daemon: 9.0.0" in virsh("version", "--daemon")
    assert "Running hypervisor: QEMU 7.2.22" in virsh("version")
    nodecpumap = dict(re.split(r":\s+", line) for line in virsh("nodecpumap").splitlines())
    assert nodecpumap == {"CPUs present": "4", "CPUs online": "4", "CPU map": "yyyy"}


def test_capabilities_list_one_cell_with_every_pcpu(virsh: Virsh) -> None:
    root = ET.fromstring(virsh("capabilities"))

    cells = root.findall("./host/topology/cells/cell")
    assert [cell.findtext("memory") for cell in cells] == ["6291456"]
    assert [cpu.get("id") for cpu in cells[0].findall("./cpus/cpu")] == ["0", "1", "2", "3"]
    assert root.findtext("./host/cpu/arch") == "x86_64"


def test_node_statistics_add_up_to_the_hosts_uptime(lab: Any, virsh: Virsh) -> None:
    lab.move(10)

    stats = table(virsh("nodecpustats"))
    one = table(virsh("nodecpustats", "--cpu", "0"))

    # The host had been up for 100 s when the scenario began; four pCPUs count each second.
    total_s = sum(int(stats[name]) for name in ("user", "system", "idle", "iowait")) / 1e9
    assert total_s == pytest.approx(440, abs=2)
    assert int(stats["user"]) > 0
    assert sum(int(one[name]) for name in ("user", "system", "idle", "iowait")) / 1e9 == (
        pytest.approx(110, abs=0.5)
    )
    memory = table(virsh("nodememstats"))
    assert memory["total"] == "6291456 KiB"
    assert set(memory) == {"total", "free", "buffers", "cached"}
    assert table(virsh("nodememstats", "--cell", "0")).keys() == {"total", "free"}


def test_freecell_agrees_in_all_its_forms(virsh: Virsh) -> None:
    total = virsh("freecell")
    cells = virsh("freecell", "--all")

    assert total.endswith(" KiB")
    assert cells.splitlines()[0].split()[:2] == ["0:", total.split()[1]]
    assert virsh("freecell", "--cellno", "0").split()[1] == total.split()[1]


@pytest.fixture
def two_cells(make_lab: Callable[..., Any], build: Any) -> Callable[[], tuple[Any, Virsh]]:
    """Serve a host of two NUMA cells with two cores of two threads each."""

    def serve() -> tuple[Any, Virsh]:
        topology = Topology(
            cells=(
                Cell((0, 1, 2, 3), 4 << 20, (10, 21)),
                Cell((4, 5, 6, 7), 2 << 20, (21, 10)),
            ),
            cores=((0, 2), (1, 3), (4, 6), (5, 7)),
            capacity=(1024,) * 8,
        )
        guests = (
            build.guest("near", affinity=((0,),)),
            build.guest("told", affinity=((0,),), memory_cell=1),
        )
        lab = make_lab(build.scenario(*guests, pcpus=8, topology=topology))

        def run(*words: str) -> str:
            done = _run(lab.uri, *words)
            assert (done.returncode, done.stderr) == (0, ""), (words, done.stderr)
            return done.stdout.strip("\n")

        return lab, run

    return serve


def test_nodeinfo_and_capabilities_show_the_topology(
    two_cells: Callable[[], tuple[Any, Virsh]],
) -> None:
    _, virsh = two_cells()

    info = dict(re.split(r":\s+", line) for line in virsh("nodeinfo").splitlines())
    root = ET.fromstring(virsh("capabilities"))

    assert (info["NUMA cell(s)"], info["CPU socket(s)"]) == ("2", "1")
    assert (info["Core(s) per socket"], info["Thread(s) per core"]) == ("2", "2")
    assert info["CPU(s)"] == "8"
    shape = root.find("./host/cpu/topology")
    assert shape is not None
    assert shape.attrib == {"sockets": "1", "dies": "1", "cores": "2", "threads": "2"}
    cells = root.findall("./host/topology/cells/cell")
    assert [cell.findtext("memory") for cell in cells] == ["4194304", "2097152"]
    assert [[s.attrib for s in cell.findall("distances/sibling")] for cell in cells] == [
        [{"id": "0", "value": "10"}, {"id": "1", "value": "21"}],
        [{"id": "0", "value": "21"}, {"id": "1", "value": "10"}],
    ]
    cpus = [cpu.attrib for cpu in cells[1].findall("cpus/cpu")]
    assert cpus[0] == {
        "id": "4",
        "socket_id": "1",
        "die_id": "0",
        "core_id": "0",
        "siblings": "4,6",
    }
    assert [cpu["core_id"] for cpu in cpus] == ["0", "1", "0", "1"]


def test_free_memory_is_told_cell_by_cell(two_cells: Callable[[], tuple[Any, Virsh]]) -> None:
    lab, virsh = two_cells()

    cells = [int(line.split()[1]) for line in virsh("freecell", "--all").splitlines()[:2]]
    whole = int(virsh("freecell").split()[1])

    assert sum(cells) == whole
    for number, total in enumerate(("4194304 KiB", "2097152 KiB")):
        stats = table(virsh("nodememstats", "--cell", str(number)))
        assert stats == {"total": total, "free": f"{cells[number]} KiB"}
        assert virsh("freecell", "--cellno", str(number)).split()[1] == str(cells[number])
        pages = virsh("freepages", "--cellno", str(number), "--pagesize", "4")
        assert pages == f"4KiB: {cells[number] // 4}"
    assert virsh("freepages", "--all").splitlines()[::4] == ["Node 0:", "Node 1:"]
    for words, said in (
        (("freecell", "--cellno", "2"), "start cell 2 out of range (0-1)"),
        (("nodememstats", "--cell", "2"), "cellNum in virHostMemGetStats must be less than or "
         "equal to 1"),
    ):  # fmt: skip
        assert said in _run(lab.uri, *words).stderr


def test_numatune_moves_a_guests_memory_at_its_next_start(
    two_cells: Callable[[], tuple[Any, Virsh]],
) -> None:
    lab, virsh = two_cells()
    free = [int(line.split()[1]) for line in virsh("freecell", "--all").splitlines()[:2]]
    assert table(virsh("numatune", "told")) == {"numa_mode": "strict", "numa_nodeset": "1"}
    assert "numa_nodeset   : 1" not in virsh("numatune", "near")
    element = ET.fromstring(virsh("dumpxml", "told")).find("numatune/memory")
    assert element is not None
    assert element.attrib == {"mode": "strict", "nodeset": "1"}

    virsh("numatune", "told", "--nodeset", "0", "--config")
    virsh("destroy", "told")
    virsh("start", "told")

    then = [int(line.split()[1]) for line in virsh("freecell", "--all").splitlines()[:2]]
    assert (then[0] < free[0], then[1] > free[1]) == (True, True)
    assert "requires restrictive numa mode" in _run(
        lab.uri, "numatune", "told", "--nodeset", "1", "--live"
    ).stderr  # fmt: skip
    virsh("numatune", "told", "--nodeset", "2", "--config")
    virsh("destroy", "told")
    assert "NUMA node 2 is unavailable" in _run(lab.uri, "start", "told").stderr


def test_memory_of_a_guest_that_names_no_nodes_moves_while_it_runs(
    two_cells: Callable[[], tuple[Any, Virsh]],
) -> None:
    _, virsh = two_cells()
    free = [int(line.split()[1]) for line in virsh("freecell", "--all").splitlines()[:2]]

    virsh("numatune", "near", "--nodeset", "1", "--live")

    then = [int(line.split()[1]) for line in virsh("freecell", "--all").splitlines()[:2]]
    assert (then[0] > free[0], then[1] < free[1]) == (True, True)
    assert sum(then) == sum(free)


def test_dominfo_tells_a_running_guest_from_a_stopped_one(lab: Any, virsh: Virsh) -> None:
    lab.move(10)

    running = dict(re.split(r":\s+", line) for line in virsh("dominfo", "aos_vm1").splitlines())
    stopped = dict(re.split(r":\s+", line) for line in virsh("dominfo", "aos_off").splitlines())

    assert running["Id"] == "1"
    assert running["State"] == "running"
    assert running["CPU(s)"] == "1"
    assert 1.5 < float(running["CPU time"].rstrip("s")) < 3
    assert running["Max memory"] == "2097152 KiB"
    assert running["Used memory"] == "524288 KiB"
    assert running["Persistent"] == "yes"
    assert stopped["Id"] == "-"
    assert stopped["State"] == "shut off"
    assert "CPU time" not in stopped


def test_names_ids_and_uuids_lead_to_each_other(virsh: Virsh) -> None:
    uuid = virsh("domuuid", "aos_vm2")

    assert virsh("domid", "aos_vm2") == "2"
    assert virsh("domname", "2") == "aos_vm2"
    assert virsh("domname", uuid) == "aos_vm2"
    assert virsh("domuuid", "2") == uuid
    assert virsh("domid", "aos_off") == "-"


def test_dumpxml_holds_what_clients_look_for(virsh: Virsh) -> None:
    virsh("dommemstat", "aos_vm2", "--period", "2")

    root = ET.fromstring(virsh("dumpxml", "aos_vm2"))

    assert root.get("id") == "2"
    assert root.findtext("name") == "aos_vm2"
    assert root.findtext("uuid") == virsh("domuuid", "aos_vm2")
    assert root.findtext("memory") == "2097152"
    assert root.findtext("currentMemory") == "524288"
    assert root.findtext("vcpu") == "2"
    pins = root.findall("./cputune/vcpupin")
    assert [(pin.get("vcpu"), pin.get("cpuset")) for pin in pins] == [("0", "0-1")]
    period = root.find("./devices/memballoon/stats")
    assert period is not None and period.get("period") == "2"
    assert ET.fromstring(virsh("dumpxml", "aos_off")).get("id") is None
    assert "vda" in virsh("domblklist", "aos_vm2")
    assert "vnet1" in virsh("domiflist", "aos_vm2")


def test_domstats_gives_every_group_of_a_running_guest(lab: Any, virsh: Virsh) -> None:
    lab.move(5)

    text = virsh("domstats", "aos_vm2")
    stats = dict(line.strip().split("=", 1) for line in text.splitlines()[1:])

    assert text.startswith("Domain: 'aos_vm2'")
    assert stats["state.state"] == "1"
    assert stats["balloon.maximum"] == "2097152"
    assert stats["vcpu.current"] == stats["vcpu.maximum"] == "2"
    assert stats["vcpu.1.state"] == "1"
    assert stats["vcpu.0.wait"] == "0"
    assert int(stats["vcpu.0.time"]) % 10_000_000 == 0
    assert int(stats["cpu.time"]) > int(stats["vcpu.0.time"]) > 0
    assert stats["net.0.name"] == "vnet1"
    assert stats["block.0.name"] == "vda"
    assert {"balloon.last-update", "balloon.unused", "balloon.rss"} <= set(stats)
    assert "vcpu.0.halted" in stats
    stopped = virsh("domstats", "aos_off").split()
    assert stopped == [
        "Domain:",
        "'aos_off'",
        *("state.state=5", "state.reason=0"),
        *("balloon.current=524288", "balloon.maximum=2097152"),
        *("vcpu.current=1", "vcpu.maximum=1"),
        *("block.count=1", "block.0.name=vda"),
        "block.0.path=/var/lib/libvirt/images/aos_off.qcow2",
        *("block.0.allocation=1073741824", "block.0.capacity=10737418240"),
        "block.0.physical=1073741824",
    ]
    assert virsh("domstats", "--cpu-total", "--list-running").count("Domain:") == 3


def test_memory_statistics_renew_once_a_period_is_set(lab: Any, virsh: Virsh) -> None:
    before = table(virsh("dommemstat", "aos_vm1"))
    lab.move(3)
    assert table(virsh("dommemstat", "aos_vm1"))["last_update"] == before["last_update"]

    virsh("dommemstat", "aos_vm1", "--period", "1")
    lab.move(3)
    after = table(virsh("dommemstat", "aos_vm1"))

    assert after["actual"] == "524288"
    assert int(after["last_update"]) > int(before["last_update"])
    assert {"unused", "available", "usable", "rss", "swap_in", "major_fault"} <= set(after)


def test_setmem_moves_the_balloon_towards_its_target(lab: Any, virsh: Virsh) -> None:
    virsh("setmem", "aos_vm1", "700M")
    lab.move(3)

    assert table(virsh("dommemstat", "aos_vm1"))["actual"] == str(700 * 1024)
    virsh("setmem", "aos_vm1", "614400", "--live")
    lab.move(3)
    assert table(virsh("dommemstat", "aos_vm1"))["actual"] == "614400"


def test_setmem_and_setmaxmem_refuse_what_a_real_host_refuses(virsh: Virsh, refused: Virsh) -> None:
    assert "invalid argument: cannot set memory higher than max memory" in refused(
        "setmem", "aos_vm1", "4G"
    )
    assert (
        "Requested operation is not valid: cannot resize the maximum memory on an active domain"
        in refused("setmaxmem", "aos_vm1", "4G")
    )
    assert "Requested operation is not valid: domain is not running" in refused(
        "setmem", "aos_off", "512M"
    )
    virsh("setmaxmem", "aos_off", "4G", "--config")
    assert "Max memory:     4194304 KiB" in virsh("dominfo", "aos_off")


def test_vcpuinfo_and_vcpupin_show_a_pin_at_once(lab: Any, virsh: Virsh) -> None:
    lab.move(2)
    info = virsh("vcpuinfo", "aos_vm2")
    assert re.search(r"VCPU:\s+0\nCPU:\s+[01]\nState:\s+running\nCPU time:\s+0\.[2-9]", info)
    assert re.findall(r"CPU Affinity:\s+(\S+)", info) == ["yy--", "yyyy"]

    virsh("vcpupin", "aos_vm2", "1", "2,3")

    assert [line.split() for line in virsh("vcpupin", "aos_vm2").splitlines()] == [
        ["0", "0-1"],
        ["1", "2-3"],
    ]
    assert re.findall(r"CPU Affinity:\s+(\S+)", virsh("vcpuinfo", "aos_vm2")) == ["yy--", "--yy"]
    virsh("vcpupin", "aos_vm2", "1", "0-3,^1", "--live")
    assert virsh("vcpupin", "aos_vm2").split()[-1] == "0,2-3"


def test_a_stopped_guest_has_affinities_too(virsh: Virsh, refused: Virsh) -> None:
    virsh("vcpupin", "aos_off", "0", "1", "--config")

    assert virsh("vcpupin", "aos_off").split() == ["0", "1"]
    assert "CPU Affinity:   -y--" in virsh("vcpuinfo", "aos_off")
    assert "Requested operation is not valid: domain is not running" in refused(
        "vcpupin", "aos_off", "0", "1", "--live"
    )
    virsh("start", "aos_off")
    assert virsh("vcpupin", "aos_off").split() == ["0", "1"]


def test_vcpupin_refuses_vcpus_that_are_not_there(refused: Virsh) -> None:
    assert "vcpu 7 is out of range of live cpu count 2" in refused("vcpupin", "aos_vm2", "7", "1")


def test_vcpucount_agrees_in_all_forms(virsh: Virsh) -> None:
    rows = [line.split() for line in virsh("vcpucount", "aos_vm2").splitlines()]

    assert rows == [
        ["maximum", "config", "2"],
        ["maximum", "live", "2"],
        ["current", "config", "2"],
        ["current", "live", "2"],
    ]


def test_cpu_stats_split_the_total_by_pcpu(lab: Any, virsh: Virsh) -> None:
    lab.move(10)

    text = virsh("cpu-stats", "aos_vm3")
    total = virsh("cpu-stats", "aos_vm3", "--total")

    times = [float(value) for value in re.findall(r"vcpu_time\s+([\d.]+) seconds", text)]
    assert len(times) == 4
    assert times[3] > 1.5  # it is bound to pCPU 3
    assert times[:3] == [0, 0, 0]
    assert re.findall(r"(cpu_time|user_time|system_time)\s", total) == [
        "cpu_time",
        "user_time",
        "system_time",
    ]


def test_cgroup_v2_hosts_have_totals_only(make_lab: Any, build: Any) -> None:
    lab = make_lab(build.scenario(cgroup_version=2))

    total = _run(lab.uri, "cpu-stats", "aos_vm1", "--total")
    split = _run(lab.uri, "cpu-stats", "aos_vm1")

    assert total.returncode == 0
    assert split.returncode == 1
    assert "Operation not supported: operation 'getCpuacctPercpuUsage'" in split.stderr


def test_a_guest_goes_through_its_whole_life(lab: Any, virsh: Virsh, refused: Virsh) -> None:
    virsh("start", "aos_off")
    assert virsh("domid", "aos_off") == "4"
    assert virsh("domstate", "aos_off", "--reason") == "running (booted)"
    assert "Domain is already active" in refused("start", "aos_off")
    virsh("suspend", "aos_off")
    assert virsh("domstate", "aos_off", "--reason") == "paused (user)"
    virsh("resume", "aos_off")
    assert virsh("domstate", "aos_off", "--reason") == "running (unpaused)"
    virsh("reboot", "aos_off")
    virsh("reset", "aos_off")
    virsh("shutdown", "aos_off")
    lab.move(60)
    assert virsh("domstate", "aos_off", "--reason") == "shut off (shutdown)"
    virsh("start", "aos_off")
    assert virsh("domid", "aos_off") == "5"
    virsh("destroy", "aos_off")
    assert virsh("domstate", "aos_off", "--reason") == "shut off (destroyed)"
    for action in ("shutdown", "destroy", "suspend", "resume", "reboot", "reset"):
        assert "Requested operation is not valid: domain is not running" in refused(
            action, "aos_off"
        )


def test_schedinfo_shows_parameters_and_refuses_what_it_would_not_keep(
    virsh: Virsh, refused: Virsh
) -> None:
    shown = dict(re.split(r"\s*:\s+", line) for line in virsh("schedinfo", "aos_vm1").splitlines())

    assert shown["Scheduler"] == "posix"
    assert shown["cpu_shares"] == "1024"
    assert shown["vcpu_period"] == "100000"
    assert shown["vcpu_quota"] == "-1"
    assert "emulator_quota of the simulated host is at least 2% of its period" in refused(
        "schedinfo", "aos_vm1", "--set", "emulator_quota=1000"
    )


def test_schedinfo_limits_the_running_guest_and_its_description_says_so(virsh: Virsh) -> None:
    def shown(*words: str) -> dict[str, str]:
        lines = virsh("schedinfo", "aos_vm1", *words).splitlines()
        return dict(re.split(r"\s*:\s+", line) for line in lines)

    virsh("schedinfo", "aos_vm1", "--set", "vcpu_quota=50000", "--set", "global_period=200000")

    assert shown()["vcpu_quota"] == "50000"
    assert shown()["global_period"] == "200000"
    assert shown("--config")["vcpu_quota"] == "0"
    assert "<quota>50000</quota>" in virsh("dumpxml", "aos_vm1")
    assert "<quota>" not in virsh("dumpxml", "aos_vm1", "--inactive")
    virsh("schedinfo", "aos_vm1", "--set", "vcpu_quota=-1")
    assert shown()["vcpu_quota"] == "-1"


def test_emulatorpin_keeps_what_it_was_given(virsh: Virsh) -> None:
    assert virsh("emulatorpin", "aos_vm1").split() == ["0-3"]

    virsh("emulatorpin", "aos_vm1", "1-2")

    assert virsh("emulatorpin", "aos_vm1").split() == ["1-2"]


def test_schedinfo_weighs_the_running_guest_and_stores_for_the_next_start(virsh: Virsh) -> None:
    def shares(*words: str) -> str:
        shown = virsh("schedinfo", "aos_vm1", *words)
        return dict(re.split(r"\s*:\s+", line) for line in shown.splitlines())["cpu_shares"]

    virsh("schedinfo", "aos_vm1", "--live", "--set", "cpu_shares=2048")
    virsh("schedinfo", "aos_vm1", "--config", "--set", "cpu_shares=512")

    assert (shares(), shares("--config")) == ("2048", "512")
    virsh("destroy", "aos_vm1")
    virsh("start", "aos_vm1")
    assert shares() == "512"


def test_cgroup_versions_differ_in_default_and_bounds(make_lab: Any, build: Any) -> None:
    new = make_lab(build.scenario(cgroup_version=2))
    old = make_lab(build.scenario(cgroup_version=1))

    def cpu_shares(lab: Any, value: str = "") -> str:
        words = ("--set", f"cpu_shares={value}") if value else ()
        done = _run(lab.uri, "schedinfo", "aos_vm1", *words)
        found = re.search(r"cpu_shares\s*: (\d+)", done.stdout)
        return found.group(1) if found and done.returncode == 0 else done.stderr

    assert (cpu_shares(old), cpu_shares(new)) == ("1024", "100")
    assert (cpu_shares(old, "20000"), cpu_shares(new, "200")) == ("20000", "200")
    for lab in (old, new):
        assert "shares '1' must be in range [2, 262144]" in cpu_shares(lab, "1")
    assert "cpu.weight': Numerical result out of range" in cpu_shares(new, "20000")


def test_memtune_numatune_and_blkiotune_keep_what_they_were_given(
    virsh: Virsh, refused: Virsh
) -> None:
    assert re.findall(r"(\w+)\s*: unlimited", virsh("memtune", "aos_vm1")) == [
        "hard_limit",
        "soft_limit",
        "swap_hard_limit",
    ]

    virsh("memtune", "aos_vm1", "--hard-limit", "3145728")
    virsh("blkiotune", "aos_vm1", "--weight", "500")
    virsh("numatune", "aos_vm1", "--nodeset", "0", "--config")

    assert "hard_limit     : 3145728" in virsh("memtune", "aos_vm1")
    assert "must be lower than or equal to swap_hard_limit" in refused(
        "memtune", "aos_vm1", "--swap-hard-limit", "5"
    )
    assert "weight         : 500" in virsh("blkiotune", "aos_vm1")
    assert "numa_nodeset   : 0" in virsh("numatune", "aos_vm1", "--config")
    assert ET.fromstring(virsh("dumpxml", "aos_vm1")).findtext("memtune/hard_limit") == "3145728"


def test_a_host_without_networks_pools_and_devices_says_so(virsh: Virsh, refused: Virsh) -> None:
    for words in (
        ("net-list", "--all"),
        ("pool-list", "--all"),
        ("iface-list", "--all"),
        ("nwfilter-list",),
        ("nwfilter-binding-list",),
        ("secret-list",),
        ("nodedev-list",),
        ("snapshot-list", "aos_vm1"),
        ("checkpoint-list", "aos_vm1"),
        ("domifaddr", "aos_vm1"),
        ("domblkerror", "aos_vm1"),
    ):
        assert virsh(*words) in ("", "No errors found"), words
    assert "Network not found: no network with matching name 'default'" in refused(
        "net-info", "default"
    ) or "failed to get network 'default'" in refused("net-info", "default")


def test_host_commands_of_tools_are_answered(virsh: Virsh, refused: Virsh) -> None:
    assert "qemu64" in virsh("cpu-models", "x86_64").split()
    assert ET.fromstring(virsh("domcapabilities")).findtext("domain") == "kvm"
    assert "shm_pages_to_scan 100" in virsh("node-memory-tune").replace("\t", " ")
    assert virsh("freepages", "--all").splitlines()[0] == "Node 0:"
    assert "Host SMBIOS information is not available" in refused("sysinfo")


def test_a_stopped_guests_vcpus_change_for_its_next_start(virsh: Virsh, refused: Virsh) -> None:
    virsh("setvcpus", "aos_off", "4", "--maximum", "--config")
    virsh("setvcpus", "aos_off", "3", "--config")
    virsh("start", "aos_off")

    assert [line.split() for line in virsh("vcpucount", "aos_off").splitlines()] == [
        ["maximum", "config", "4"],
        ["maximum", "live", "4"],
        ["current", "config", "3"],
        ["current", "live", "3"],
    ]
    assert virsh("vcpuinfo", "aos_off").count("VCPU:") == 3
    assert "failed to find appropriate hotpluggable vcpus" in refused("setvcpus", "aos_off", "4")
    assert "greater than max allowable vcpus for the live domain: 9 > 4" in refused(
        "setvcpus", "aos_off", "9"
    )


def test_questions_that_only_an_agent_could_answer_are_refused(refused: Virsh) -> None:
    for words in (
        ("domtime", "aos_vm1"),
        ("domhostname", "aos_vm1", "--source", "agent"),
        ("domfsinfo", "aos_vm1"),
        ("guestinfo", "aos_vm1"),
        ("domfstrim", "aos_vm1"),
        ("shutdown", "aos_vm1", "--mode", "agent"),
        ("set-user-password", "aos_vm1", "root", "secret"),
    ):
        assert "argument unsupported: QEMU guest agent is not configured" in refused(*words), words


def test_unknown_guests_and_procedures_are_refused_in_libvirts_words(refused: Virsh) -> None:
    assert refused("dominfo", "nobody") == "error: failed to get domain 'nobody'"
    assert "this function is not supported by the connection driver: virDomainSave" in refused(
        "save", "aos_vm1", "/nowhere"
    )


def test_the_read_only_socket_reads_and_refuses_changes(lab: Any) -> None:
    listed = _run(lab.uri_read_only, "list", "--name")
    # A client that did not open read-only sends the call, so it is the host that refuses.
    pinned = _run(lab.uri_read_only, "vcpupin", "aos_vm1", "0", "1")

    assert listed.stdout.split() == ["aos_vm1", "aos_vm2", "aos_vm3"]
    assert pinned.returncode == 1
    assert "operation forbidden: read only access prevents virDomainPinVcpu" in pinned.stderr
    assert lab.recorder.timeline(_completed()).pins == ()


def test_event_all_prints_lifecycle_balloon_and_tunable_events(lab: Any) -> None:
    found = shutil.which("virsh")
    assert found
    watcher = subprocess.Popen(
        [found, "-c", lab.uri, "event", "--all", "--loop"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    while not registered_for_all(lab):
        assert watcher.poll() is None

    _run(lab.uri, "vcpupin", "aos_vm1", "0", "1")
    _run(lab.uri, "setmem", "aos_vm1", "600M")
    lab.move(3)
    _run(lab.uri, "start", "aos_off")
    _run(lab.uri, "reboot", "aos_off")
    _run(lab.uri, "destroy", "aos_off")
    seen: list[str] = []
    while not any("Stopped Destroyed" in line for line in seen):
        seen.append(watcher.stdout.readline())
    watcher.send_signal(signal.SIGINT)
    rest, _ = watcher.communicate(timeout=20)

    text = "".join(seen) + rest
    assert "event 'tunable' for domain 'aos_vm1':\n\tcputune.vcpupin0: 1" in text
    assert "event 'balloon-change' for domain 'aos_vm1': 614400KiB" in text
    assert "event 'lifecycle' for domain 'aos_off': Started Booted" in text
    assert "event 'reboot' for domain 'aos_off'" in text
    assert "event 'lifecycle' for domain 'aos_off': Stopped Destroyed" in text


def registered_for_all(lab: Any) -> bool:
    calls = lab.within(lambda: lab.recorder.timeline(_completed())).calls
    return any("RegisterAny" in call.procedure and "eventID=26" in call.detail for call in calls)


def _completed() -> Any:
    from virtlab.model.timeline import ProgramOutcome

    return ProgramOutcome("ok", "completed", "", 0, 0)
