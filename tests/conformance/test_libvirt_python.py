"""Unmodified libvirt-python against the simulated host: values, error codes and texts, events."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

_PRELUDE = """
import json, sys, libvirt
libvirt.registerErrorHandler(lambda context, error: None, None)
conn = libvirt.open(sys.argv[1])
answers = {}
def ask(label, question):
    try:
        answers[label] = question()
    except libvirt.libvirtError as error:
        answers[label] = list(error.err[:2]) + [error.err[2], error.err[4], error.err[5]]
"""

_EPILOGUE = "\nprint(json.dumps(answers))"


@pytest.fixture
def python(lab: Any) -> Callable[..., dict[str, Any]]:
    """Run lines of Python in which `ask(label, question)` collects answers and refusals."""

    def run(script: str, uri: str | None = None) -> dict[str, Any]:
        done = subprocess.run(
            ["/usr/bin/python3", "-c", f"{_PRELUDE}{script}{_EPILOGUE}", uri or lab.uri],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert "No module named 'libvirt'" not in done.stderr, (
            "/usr/bin/python3 cannot import libvirt; `make setup` installs python3-libvirt"
        )
        assert done.returncode == 0, done.stderr
        answers: dict[str, Any] = json.loads(done.stdout)
        return answers

    return run


def refusal(code: int, domain: int, template: str, detail: str) -> list[Any]:
    return [code, domain, template % detail, template, detail]


def test_refusals_have_the_codes_domains_and_texts_of_a_real_host(python: Any) -> None:
    answers = python("""
d = conn.lookupByName("aos_vm2")
off = conn.lookupByName("aos_off")
ask("name", lambda: conn.lookupByName("x"))
ask("id", lambda: conn.lookupByID(99))
ask("uuid", lambda: conn.lookupByUUIDString("6695eb01-f6a4-8304-79aa-97f2502e193f"))
ask("empty map", lambda: d.pinVcpu(0, (False,) * 4))
ask("missing pCPUs", lambda: d.pinVcpu(0, (False,) * 4 + (True,) * 4))
ask("vcpu", lambda: d.pinVcpu(2, (True,)))
ask("off vcpus", off.vcpus)
ask("off pin", lambda: off.pinVcpu(0, (True,)))
ask("off memory", lambda: off.setMemory(262144))
ask("off stats", off.memoryStats)
ask("off cpu", lambda: off.getCPUStats(True))
ask("off destroy", off.destroy)
ask("create", d.create)
ask("too much", lambda: d.setMemory(1 << 30))
ask("maximum", lambda: d.setMaxMemory(1 << 30))
ask("node cpu", lambda: conn.getCPUStats(99))
ask("node cell", lambda: conn.getMemoryStats(9))
ask("cells", lambda: conn.getCellsFreeMemory(5, 1))
ask("flags", lambda: len(conn.listAllDomains(0xFFFFFFFF)))
ask("enforce", lambda: conn.getAllDomainStats(1 << 20, 1 << 31))
ask("save", lambda: d.save("/nowhere"))
""")

    invalid = "invalid argument: %s"
    not_valid = "Requested operation is not valid: %s"
    no_domain = "Domain not found: %s"
    unsupported = "this function is not supported by the connection driver: %s"
    not_running = refusal(55, 20, not_valid, "domain is not running")
    assert answers["name"] == refusal(42, 10, no_domain, "no domain with matching name 'x'")
    assert answers["id"] == refusal(42, 10, no_domain, "no domain with matching id 99")
    assert answers["uuid"] == refusal(
        42, 10, no_domain, "no domain with matching uuid '6695eb01-f6a4-8304-79aa-97f2502e193f'"
    )
    assert answers["empty map"] == refusal(8, 10, invalid, "Empty cpu list for pinning")
    assert answers["missing pCPUs"] == refusal(8, 10, invalid, "Empty cpu list for pinning")
    assert answers["vcpu"] == refusal(8, 10, invalid, "vcpu 2 is out of range of live cpu count 2")
    assert answers["off vcpus"] == refusal(
        55, 10, not_valid, "cannot retrieve vcpu information for inactive domain"
    )
    for label in ("off pin", "off memory", "off stats", "off cpu", "off destroy"):
        assert answers[label] == not_running, label
    assert answers["create"] == refusal(55, 10, not_valid, "domain is already running")
    assert answers["too much"] == refusal(
        8, 10, invalid, "cannot set memory higher than max memory"
    )
    assert answers["maximum"] == refusal(
        55, 10, not_valid, "cannot resize the maximum memory on an active domain"
    )
    assert answers["node cpu"][:3] == [8, 0, "Invalid cpuNum in virHostCPUGetStatsLinux"]
    assert answers["node cell"][:3] == [
        8,
        0,
        "cellNum in virHostMemGetStats must be less than or equal to 0",
    ]
    assert answers["cells"] == refusal(
        1, 0, "internal error: %s", "start cell 5 out of range (0-0)"
    )
    assert answers["flags"][:3] == [
        8,
        10,
        "unsupported flags (0xffff0000) in function qemuConnectListAllDomains",
    ]
    assert answers["enforce"][0] == 74
    assert answers["save"][0] == 3
    assert answers["save"][3] == unsupported


def test_the_courses_monitor_finds_all_that_it_reads(lab: Any, python: Any) -> None:
    lab.move(5)

    answers = python("""
domains = conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
answers["names"] = [d.name() for d in domains]
answers["ids"] = conn.listDomainsID()
for d in domains:
    d.setMemoryStatsPeriod(1)
answers["info"] = [d.info() for d in domains]
answers["vcpus"] = domains[1].vcpus()
answers["pins"] = domains[1].vcpuPinInfo()
answers["memory"] = domains[0].memoryStats()
answers["node"] = conn.getInfo()
answers["map"] = conn.getCPUMap()
answers["total"] = domains[0].getCPUStats(True)
answers["per cpu"] = domains[0].getCPUStats(False)
answers["maximum"] = domains[0].maxMemory()
answers["alive"] = conn.isAlive()
""")

    assert answers["names"] == ["aos_vm1", "aos_vm2", "aos_vm3"]
    assert answers["ids"] == [1, 2, 3]
    state, largest, current, vcpus, cpu_time = answers["info"][0]
    assert (state, largest, current, vcpus) == (1, 2 << 20, 512 << 10, 1)
    assert cpu_time % 10_000_000 == 0
    assert cpu_time > 500_000_000
    infos, maps = answers["vcpus"]
    assert [info[:2] for info in infos] == [[0, 1], [1, 1]]
    assert infos[0][3] in (0, 1)
    assert maps == [[True, True, False, False], [True] * 4]
    assert answers["pins"] == maps
    assert "unused" in answers["memory"]
    assert answers["node"][1:] == [6144, 4, 2400, 1, 1, 4, 1]
    assert answers["map"] == [4, [True] * 4, 4]
    assert len(answers["per cpu"]) == 4
    vcpu_time = sum(cpu["vcpu_time"] for cpu in answers["per cpu"])
    assert vcpu_time <= answers["total"][0]["cpu_time"]
    assert answers["maximum"] == 2 << 20
    assert answers["alive"] == 1


def test_statistics_before_a_period_follow_the_hosts_option(
    make_lab: Any, build: Any, python: Any
) -> None:
    missing = make_lab(build.scenario(stats_before_period="missing"))
    script = 'answers["stats"] = conn.lookupByName("aos_vm1").memoryStats()'

    assert set(python(script, missing.uri)["stats"]) == {"actual", "last_update", "rss"}
    assert {"unused", "available", "usable"} <= set(python(script)["stats"])


def test_a_stale_handle_still_means_its_guest(python: Any) -> None:
    answers = python("""
d = conn.lookupByName("aos_vm1")
other = conn.lookupByName("aos_vm1")
d.destroy()
answers["started"] = d.createWithFlags(0)
answers["stale id"] = other.ID()
answers["info"] = other.info()[0]
answers["fresh id"] = conn.lookupByName("aos_vm1").ID()
""")

    assert answers["stale id"] == 1
    assert answers["info"] == 1
    assert answers["fresh id"] == 4


def test_bulk_statistics_agree_with_single_calls(lab: Any, python: Any) -> None:
    lab.move(5)

    answers = python("""
d = conn.lookupByName("aos_vm2")
answers["some"] = [s for _, s in conn.domainListGetStats([d], libvirt.VIR_DOMAIN_STATS_VCPU)]
running = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING
answers["running"] = len(conn.getAllDomainStats(0, running))
answers["all"] = [x.name() for x, _ in conn.getAllDomainStats()]
answers["vcpus"] = d.vcpus()[0]
""")

    (stats,) = answers["some"]
    assert set(stats) == {"vcpu.current", "vcpu.maximum"} | {
        f"vcpu.{number}.{field}"
        for number in (0, 1)
        for field in ("state", "time", "wait", "delay", "halted")
    }
    assert stats["vcpu.0.time"] == answers["vcpus"][0][2]
    assert answers["running"] == 3
    assert answers["all"] == ["aos_vm1", "aos_vm2", "aos_vm3", "aos_off"]


def test_events_reach_a_client_with_an_event_loop(python: Any) -> None:
    answers = python("""
conn.close()
libvirt.virEventRegisterDefaultImpl()
conn = libvirt.open(sys.argv[1])
conn.setKeepAlive(5, 3)
heard = []
d = conn.lookupByName("aos_off")
hear = lambda c, d, event, detail, opaque: heard.append([d.name(), event, detail])
wrong = lambda *a: heard.append("wrong guest")
conn.domainEventRegisterAny(None, 0, hear, None)
conn.domainEventRegisterAny(conn.lookupByName("aos_vm1"), 0, wrong, None)
d.create(); d.suspend(); d.resume(); d.destroy()
while len(heard) < 6:
    libvirt.virEventRunDefaultImpl()
answers["heard"] = heard
""")

    assert answers["heard"] == [
        ["aos_off", *values] for values in ([2, 0], [4, 0], [3, 0], [4, 0], [6, 2], [5, 1])
    ]


def test_a_read_only_connection_reads(lab: Any, python: Any) -> None:
    answers = python(
        """
conn = libvirt.openReadOnly(sys.argv[1])
ask("names", lambda: len(conn.listAllDomains()))
ask("pin", lambda: conn.lookupByName("aos_vm1").pinVcpu(0, (True,)))
""",
        lab.uri_read_only,
    )

    assert answers["names"] == 4
    assert answers["pin"][0] == 29
