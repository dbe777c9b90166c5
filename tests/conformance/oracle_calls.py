"""The calls that are put to a real libvirtd and to the simulated host, and what they answered.

Run as `python3 oracle_calls.py URI`; prints one JSON object: label -> ["ok", value] or ["error",
code, domain, message, level, str1, str2, str3, int1, int2]. Where a value depends on the machine
or on the moment, only its shape is told. The host has no domains at the beginning and at the end.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from typing import Any

import libvirt

Answers = dict[str, list[Any]]

UUID = "11111111-2222-3333-4444-555555555555"
EVENT_IDS = 27
UNLIMITED = 9_007_199_254_740_991
XML = """<domain type='qemu'><name>{name}</name>{more}<memory unit='MiB'>256</memory>\
<currentMemory unit='MiB'>128</currentMemory><vcpu>2</vcpu><os><type arch='x86_64'>hvm</type></os>\
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator><memballoon model='virtio'/></devices>\
</domain>"""


def xml(name: str, more: str = "") -> str:
    return XML.format(name=name, more=more)


class Questions:
    """Asks, and keeps what is answered."""

    def __init__(self, conn: Any) -> None:
        self.conn = conn
        self.answers: Answers = {}

    def ask(self, label: str, question: Callable[[], Any], *, shape: bool = False) -> bool:
        """Put one question; tell whether it was answered without an error."""
        try:
            value = question()
        except libvirt.libvirtError as error:
            self.answers[label] = ["error", *error.err]
            return False
        self.answers[label] = ["ok", shape_of(value) if shape else plain(value)]
        return True


def plain(value: Any) -> Any:
    """Return a value that JSON takes; objects of libvirt turn into the names of their classes."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value if isinstance(value, str | int | float | None) else type(value).__name__


def shape_of(value: Any) -> Any:
    """Return the types in a value and the keys of its dictionaries."""
    if isinstance(value, list | tuple):
        return [shape_of(item) for item in value]
    if isinstance(value, dict):
        return {str(key): shape_of(item) for key, item in sorted(value.items())}
    return type(value).__name__


def ask_host(q: Questions) -> None:
    conn = q.conn
    for name in (
        *("getType", "getVersion", "getLibVersion", "isSecure", "isEncrypted", "isAlive"),
        *("getCPUMap", "getSecurityModel", "getSysinfo", "getMemoryParameters"),
    ):
        q.ask(name, getattr(conn, name))
    for name in ("getHostname", "getInfo", "getFreeMemory", "getCapabilities"):
        q.ask(name, getattr(conn, name), shape=True)
    for kind in (None, "qemu", "xen", ""):
        q.ask(f"getMaxVcpus {kind}", lambda kind=kind: conn.getMaxVcpus(kind))
    for cpu in (-1, 0, 9999, -2):
        q.ask(f"getCPUStats {cpu}", lambda cpu=cpu: conn.getCPUStats(cpu), shape=True)
    for cell in (-1, 0, 99, -2):
        q.ask(f"getMemoryStats {cell}", lambda cell=cell: conn.getMemoryStats(cell), shape=True)
    for start in (0, 55):
        q.ask(f"cells {start}", lambda start=start: conn.getCellsFreeMemory(start, 1), shape=True)
    for pages, start in (([4], 0), ([2048], 0), ([4, 2048], 0), ([3], 0), ([4], 77), ([4], -1)):
        question = lambda pages=pages, start=start: conn.getFreePages(pages, start, 1)  # noqa: E731
        q.ask(f"getFreePages {pages} {start}", question, shape=True)
    for arch in ("x86_64", "s390x", "bogus"):
        q.ask(f"getCPUModelNames {arch}", lambda arch=arch: conn.getCPUModelNames(arch))
    for label, args in (
        ("qemu", (None, "x86_64", None, "qemu")),
        ("wrong type", (None, "x86_64", None, "bogus")),
        ("other type", (None, "x86_64", None, "xen")),
        ("wrong arch", (None, "bogus", None, None)),
        ("other arch", (None, "s390x", None, None)),
        ("wrong machine", (None, "x86_64", "bogus", "qemu")),
        ("wrong emulator", ("/nonexistent", "x86_64", None, "qemu")),
    ):
        question = lambda args=args: conn.getDomainCapabilities(*args)  # noqa: E731
        q.ask(f"getDomainCapabilities {label}", question, shape=True)
    q.ask("keepalive without a loop", lambda: conn.setKeepAlive(5, 3))


def ask_resources(q: Questions) -> None:
    conn = q.conn
    for what in ("Networks", "StoragePools", "Secrets"):
        q.ask(f"list {what}", getattr(conn, f"list{what}"))
        q.ask(f"listAll {what}", getattr(conn, f"listAll{what}"))
        q.ask(f"numOf {what}", getattr(conn, f"numOf{what}"))
    for what in ("Networks", "StoragePools"):
        q.ask(f"listDefined {what}", getattr(conn, f"listDefined{what}"))
        q.ask(f"numOfDefined {what}", getattr(conn, f"numOfDefined{what}"))
    q.ask("listAllNWFilterBindings", conn.listAllNWFilterBindings)
    for name in (
        *("networkLookupByName", "storagePoolLookupByName", "storagePoolLookupByTargetPath"),
        *("storageVolLookupByKey", "storageVolLookupByPath", "nodeDeviceLookupByName"),
        *("nwfilterLookupByName", "interfaceLookupByName", "interfaceLookupByMACString"),
    ):
        q.ask(name, lambda name=name: getattr(conn, name)("nothing"))
    for kind in ("network", "storagePool", "secret", "nwfilter"):
        lookup = getattr(conn, f"{kind}LookupByUUIDString")
        q.ask(f"{kind}LookupByUUID", lambda lookup=lookup: lookup(UUID))
    q.ask("secretLookupByUsage", lambda: conn.secretLookupByUsage(1, "x"))


def bad_descriptions() -> dict[str, str]:
    good = xml("x")
    shares = "<cputune><shares>{}</shares></cputune>"
    pins = "<cputune><vcpupin {}/></cputune>"
    disk = "<disk type='file' device='disk'>{}</disk><memballoon"
    numatune = "<numatune><memory {}/></numatune>"
    full = disk.format("<source file='/x'/><target dev='vda' bus='virtio'/>")
    return {
        "empty": "",
        "no XML": "hello",
        "start tag open": "<domain",
        "never closed": "<domain>",
        "other root": "<network/>",
        "bare": "<domain/>",
        "trailing": "<domain/>x",
        "undefined entity": "<domain>&foo;</domain>",
        "type only": "<domain type='qemu'/>",
        "no type": good.replace(" type='qemu'", ""),
        "wrong type": good.replace("type='qemu'", "type='bogus'"),
        "other type": good.replace("type='qemu'", "type='xen'"),
        "empty name": xml(""),
        "no NUMA mode": xml("x", numatune.format("mode='bogus' nodeset='0'")),
        "no NUMA nodes": xml("x", numatune.format("mode='strict'")),
        "empty NUMA nodes": xml("x", numatune.format("nodeset=''")),
        "NUMA nodes are no list": xml("x", numatune.format("nodeset='x'")),
        "slash in name": xml("a/b"),
        "newline in name": xml("a\nb"),
        "newline in title": xml("x", "<title>a\nb</title>"),
        "no memory": good.replace("<memory unit='MiB'>256</memory>", ""),
        "zero memory": good.replace(">256<", ">0<"),
        "word for memory": good.replace(">256<", ">many<"),
        "negative memory": good.replace(">256<", ">-5<"),
        "too much memory": good.replace(">256<", ">9999999999999<"),
        "wrong unit": good.replace("unit='MiB'>256", "unit='foo'>256"),
        "zero vcpus": good.replace("<vcpu>2", "<vcpu>0"),
        "word for vcpus": good.replace("<vcpu>2", "<vcpu>two"),
        "no number of vcpus": good.replace("<vcpu>2</vcpu>", "<vcpu/>"),
        "too many vcpus": good.replace("<vcpu>2", "<vcpu>300"),
        "more current vcpus": good.replace("<vcpu>", "<vcpu current='3'>"),
        "no current vcpus": good.replace("<vcpu>", "<vcpu current='0'>"),
        "wrong cpuset": good.replace("<vcpu>", "<vcpu cpuset='bogus'>"),
        "no os": good.replace("<os><type arch='x86_64'>hvm</type></os>", ""),
        "wrong os": good.replace(">hvm<", ">xen<"),
        "wrong arch": good.replace("arch='x86_64'", "arch='bogus'"),
        "wrong machine": good.replace("arch='x86_64'", "arch='x86_64' machine='bogus'"),
        "wrong emulator": good.replace("/usr/bin/qemu-system-x86_64", "/nonexistent"),
        "wrong uuid": xml("x", "<uuid>zzz</uuid>"),
        "wrong action": xml("x", "<on_crash>bogus</on_crash>"),
        "pin wrong": xml("x", pins.format("vcpu='0' cpuset='bogus'")),
        "pin empty": xml("x", pins.format("vcpu='0' cpuset=''")),
        "pin without set": xml("x", pins.format("vcpu='0'")),
        "pin without vcpu": xml("x", pins.format("cpuset='0'")),
        "pin of no number": xml("x", pins.format("vcpu='a' cpuset='0'")),
        "pin twice": xml("x", pins.format("vcpu='0' cpuset='0'/><vcpupin vcpu='0' cpuset='1'")),
        "wrong shares": xml("x", shares.format("q")),
        "short period": xml("x", "<cputune><period>5</period></cputune>"),
        "short quota": xml("x", "<cputune><quota>5</quota></cputune>"),
        "wrong quota": xml("x", "<cputune><quota>q</quota></cputune>"),
        "disk without target": good.replace("<memballoon", disk.format("<source file='/x'/>")),
        "disk twice": good.replace("<memballoon", full).replace("<memballoon", full),
        "wrong mac": good.replace(
            "<memballoon", "<interface type='user'><mac address='zz'/></interface><memballoon"
        ),
        "wrong balloon": good.replace("model='virtio'", "model='bogus'"),
        "two balloons": good.replace(
            "<memballoon model='virtio'/>", "<memballoon model='virtio'/>" * 2
        ),
        "wrong stats period": good.replace(
            "<memballoon model='virtio'/>",
            "<memballoon model='virtio'><stats period='a'/></memballoon>",
        ),
    }


def good_descriptions() -> dict[str, str]:
    good = xml("x")
    numatune = "<numatune><memory {}/></numatune>"
    return {
        "more current memory": good.replace(">128<", ">512<"),
        "no current memory": good.replace("<currentMemory unit='MiB'>128</currentMemory>", ""),
        "no vcpu": good.replace("<vcpu>2</vcpu>", ""),
        "bytes": good.replace("unit='MiB'>256", "unit='b'>1000000"),
        "no emulator": good.replace("<emulator>/usr/bin/qemu-system-x86_64</emulator>", ""),
        "pin beyond vcpus": xml("x", "<cputune><vcpupin vcpu='9' cpuset='0'/></cputune>"),
        "no shares": xml("x", "<cputune><shares>0</shares></cputune>"),
        "numatune": xml("x", numatune.format("nodeset='3,0-1'")),
        "empty numatune": xml("x", "<numatune/>"),
        "numatune auto": xml("x", numatune.format("mode='preferred' placement='auto'")),
        "plain uuid": xml("x", f"<uuid>{UUID.replace('-', '')}</uuid>"),
        "unknown elements": xml("x", "<bogus>1</bogus>"),
        "document type": "<!DOCTYPE d [<!ENTITY a 'b'>]>" + xml("&a;"),
    }


def ask_definitions(q: Questions) -> None:
    conn = q.conn
    for label, text in bad_descriptions().items():
        if q.ask(f"define {label}", lambda text=text: conn.defineXML(text)):
            conn.listAllDomains()[0].undefine()
    for label, text in good_descriptions().items():
        if q.ask(f"define {label}", lambda text=text: conn.defineXML(text)):
            (domain,) = conn.listAllDomains()
            shown = [domain.name(), domain.info(), domain.vcpusFlags(4), domain.vcpuPinInfo()]
            q.answers[f"defined {label}"] = ["ok", plain(shown)]
            domain.undefine()
    q.ask("define flags", lambda: conn.defineXMLFlags(xml("x"), 1 << 10))
    q.ask("define validate", lambda: conn.defineXMLFlags(xml("x", "<bogus/>"), 1))
    q.ask("create flags", lambda: conn.createXML(xml("t"), 1 << 10))
    q.ask("create bad", lambda: conn.createXML("<domain", 0))
    q.ask("lookup name", lambda: conn.lookupByName("x"))
    q.ask("lookup no name", lambda: conn.lookupByName(""))
    for number in (99, 0, -1):
        q.ask(f"lookup id {number}", lambda number=number: conn.lookupByID(number))
    q.ask("lookup uuid", lambda: conn.lookupByUUIDString(UUID))
    for flags in (0xFFFFFFFF, 0x10000, 0x40000):
        q.ask(f"list {flags:#x}", lambda flags=flags: conn.listAllDomains(flags))
    for groups, flags in ((1 << 20, 1 << 31), (0, 1 << 20), (0, 1 << 30), (0, 1 << 29), (0, 0x100)):
        question = lambda groups=groups, flags=flags: conn.getAllDomainStats(groups, flags)  # noqa: E731
        q.ask(f"statistics {groups:#x} {flags:#x}", question)


def ask_domain(q: Questions, tag: str, domain: Any) -> None:
    """Ask about one domain, stopped or running, and change it."""

    def ask(label: str, question: Callable[[], Any], *, shape: bool = False) -> None:
        q.ask(f"{tag}: {label}", question, shape=shape)

    for name in (
        *("state", "OSType", "maxMemory", "maxVcpus", "autostart", "isActive", "isPersistent"),
        *("isUpdated", "UUIDString", "vcpuPinInfo", "emulatorPinInfo", "schedulerType"),
        *("jobInfo", "jobStats", "abortJob", "diskErrors", "fsInfo", "getTime", "hostname"),
        *("controlInfo", "securityLabel", "snapshotNum", "snapshotListNames", "snapshotCurrent"),
        *("hasCurrentSnapshot", "listAllSnapshots", "listAllCheckpoints", "hasManagedSaveImage"),
        *("managedSaveRemove", "launchSecurityInfo", "messages", "migrateGetMaxDowntime"),
        *("guestInfo", "guestVcpus", "ioThreadInfo", "perfEvents"),
    ):
        ask(name, getattr(domain, name))
    for name in ("info", "vcpus"):
        ask(name, getattr(domain, name), shape=True)
    ask("memoryStats", domain.memoryStats, shape=True)
    ask("getCPUStats total", lambda: domain.getCPUStats(True), shape=True)
    ask("getCPUStats", lambda: domain.getCPUStats(False), shape=True)
    ask("getCPUStats flags", lambda: domain.getCPUStats(True, 1))
    ask("state flags", lambda: domain.state(1))
    for source in (0, 1):
        ask(f"interfaceAddresses {source}", lambda source=source: domain.interfaceAddresses(source))
    for flags in (0, 1, 2, 3, 4):
        question = lambda flags=flags: domain.schedulerParametersFlags(flags)  # noqa: E731
        ask(f"schedulerParameters {flags}", question)
        ask(f"vcpuPinInfo {flags}", lambda flags=flags: domain.vcpuPinInfo(flags))
        ask(f"emulatorPinInfo {flags}", lambda flags=flags: domain.emulatorPinInfo(flags))
        for kind in ("memory", "numa", "blkio"):
            asked = getattr(domain, f"{kind}Parameters")
            ask(f"{kind}Parameters {flags}", lambda asked=asked, flags=flags: asked(flags))
        ask(f"XMLDesc {flags}", lambda flags=flags: domain.XMLDesc(flags), shape=True)
    ask("XMLDesc 16", lambda: domain.XMLDesc(16))
    for flags in (0, 1, 2, 4, 5, 6, 8, 9, 3, 16):
        ask(f"vcpusFlags {flags}", lambda flags=flags: domain.vcpusFlags(flags))
    _change_cpu(ask, domain)
    _change_memory(ask, domain)
    _change_notes(ask, domain)
    _ask_devices_and_flags(ask, domain)
    for group in (0, *(1 << bit for bit in range(12))):
        question = lambda group=group: q.conn.domainListGetStats([domain], group)[0][1]  # noqa: E731
        ask(f"statistics {group}", question, shape=True)
        if group:
            enforced = lambda group=group: len(q.conn.domainListGetStats([domain], group, 1 << 31))  # noqa: E731
            ask(f"statistics enforced {group}", enforced)


Ask = Callable[..., None]


def _change_cpu(ask: Ask, domain: Any) -> None:
    for count, flags in (
        *((1, 2), (2, 1), (2, 2), (3, 1), (3, 2), (0, 1), (0, 2), (2, 8), (2, 9), (2, 64)),
        *((3, 6), (2, 6), (2, 5)),
    ):
        question = lambda count=count, flags=flags: domain.setVcpusFlags(count, flags)  # noqa: E731
        ask(f"setVcpusFlags {count} {flags}", question)
    domain.setVcpusFlags(2, 2)
    for count in (2, 9, 0):
        ask(f"setVcpus {count}", lambda count=count: domain.setVcpus(count))
    one, none, far = (True,), (False,) * 40, (False,) * 4000 + (True,)
    for label, cpus in (("one", one), ("none", none), ("far", far), ("mixed", one + far)):
        ask(f"pinVcpu {label}", lambda cpus=cpus: domain.pinVcpu(0, cpus))
        for flags in (0, 1, 2, 3, 4):
            pin = lambda cpus=cpus, flags=flags: domain.pinVcpuFlags(0, cpus, flags)  # noqa: E731
            ask(f"pinVcpuFlags {label} {flags}", pin)
            pin = lambda cpus=cpus, flags=flags: domain.pinEmulator(cpus, flags)  # noqa: E731
            ask(f"pinEmulator {label} {flags}", pin)
    ask("pinVcpu 7", lambda: domain.pinVcpu(7, one))
    ask("pinVcpuFlags 7", lambda: domain.pinVcpuFlags(7, one, 2))
    for name, value in (
        *(("cpu_shares", value) for value in (1, 0, 300_000, 512, 2048)),
        *(("vcpu_period", value) for value in (5, 2_000_000, 100_000)),
        *(("vcpu_quota", value) for value in (5, 50_000, 0, -1, 60_000)),
        *(("global_quota", value) for value in (150_000, 0, -7)),
        *(("emulator_period", 5), ("global_period", 5), ("iothread_quota", -1)),
    ):
        for flags in (0, 1, 2, 4):
            change = lambda name=name, value=value, flags=flags: (  # noqa: E731
                domain.setSchedulerParametersFlags({name: value}, flags)
            )
            ask(f"setSchedulerParameters {name} {value} {flags}", change)
    for flags in (0, 2):
        question = lambda flags=flags: domain.schedulerParametersFlags(flags)  # noqa: E731
        ask(f"schedulerParameters after {flags}", question)


def _change_numa(ask: Ask, domain: Any) -> None:
    for values in (
        *({"numa_mode": 1}, {"numa_mode": 0}),
        *({"numa_nodeset": "0"}, {"numa_nodeset": "1"}, {"numa_nodeset": "zz"}),
        *({"numa_mode": 0}, {"numa_mode": 1}, {"numa_mode": 9}),
        {"numa_mode": 3, "numa_nodeset": "0-2"},
        {"numa_mode": 0, "numa_nodeset": "0"},
    ):
        for flags in (1, 2):
            change = lambda values=values, flags=flags: domain.setNumaParameters(values, flags)  # noqa: E731
            ask(f"setNumaParameters {values} {flags}", change)
            question = lambda flags=flags: domain.numaParameters(flags)  # noqa: E731
            ask(f"numaParameters after {values} {flags}", question)


def _change_memory(ask: Ask, domain: Any) -> None:
    for name, value in (
        *(("hard_limit", 1 << 20), ("soft_limit", 1 << 19), ("swap_hard_limit", 1 << 21)),
        *(("hard_limit", UNLIMITED), ("swap_hard_limit", 5), ("swap_hard_limit", UNLIMITED)),
        ("soft_limit", UNLIMITED),
    ):
        for flags in (0, 1, 2, 4):
            change = lambda name=name, value=value, flags=flags: (  # noqa: E731
                domain.setMemoryParameters({name: value}, flags)
            )
            ask(f"setMemoryParameters {name} {value} {flags}", change)
    for flags in (0, 2):
        question = lambda flags=flags: domain.memoryParameters(flags)  # noqa: E731
        ask(f"memoryParameters after {flags}", question)
    for size in (200 << 10, 1 << 30, 1, 0):
        ask(f"setMemory {size}", lambda size=size: domain.setMemory(size))
        ask(f"setMaxMemory {size}", lambda size=size: domain.setMaxMemory(size))
        for flags in (0, 1, 2, 3, 4, 5, 6, 8):
            change = lambda size=size, flags=flags: domain.setMemoryFlags(size, flags)  # noqa: E731
            ask(f"setMemoryFlags {size} {flags}", change)
    domain.setMemoryFlags(256 << 10, 6)
    domain.setMemoryFlags(128 << 10, 2)
    _change_numa(ask, domain)
    for period in (1, 0, -1):
        for flags in (0, 1, 2, 3, 4):
            change = lambda period=period, flags=flags: domain.setMemoryStatsPeriod(period, flags)  # noqa: E731
            ask(f"setMemoryStatsPeriod {period} {flags}", change)


def _change_notes(ask: Ask, domain: Any) -> None:
    ask("setAutostart", lambda: domain.setAutostart(1))
    ask("autostart set", domain.autostart)
    domain.setAutostart(0)
    for kind, uri in ((0, None), (1, None), (2, "urn:x"), (2, None), (9, None)):
        ask(f"metadata {kind} {uri}", lambda kind=kind, uri=uri: domain.metadata(kind, uri))
    for label, args in (
        ("description", (0, "hello", None, None)),
        ("title", (1, "ti", None, None)),
        ("title of two lines", (1, "t\ni", None, None)),
        ("element", (2, "<a>1</a>", "k", "urn:x")),
        ("element open", (2, "<a>", "k", "urn:x")),
        ("element without key", (2, "<a/>", None, "urn:x")),
        ("wrong kind", (9, "x", None, None)),
    ):
        ask(f"setMetadata {label}", lambda args=args: domain.setMetadata(*args, 0))
    for flags in (0, 2, 3):
        ask(f"metadata set {flags}", lambda flags=flags: domain.metadata(2, "urn:x", flags))
    ask("description set", lambda: domain.metadata(0, None))
    ask("setMetadata none", lambda: domain.setMetadata(2, None, None, "urn:x", 0))
    for name in ("a", "a/b", ""):
        ask(f"rename {name!r}", lambda name=name: domain.rename(name))
    ask("rename flags", lambda: domain.rename("z", 1))


def _ask_devices_and_flags(ask: Ask, domain: Any) -> None:
    ask("blockStats", lambda: domain.blockStats("vda"))
    ask("blockStats all", lambda: domain.blockStats(""))
    ask("blockStatsFlags", lambda: domain.blockStatsFlags("vda"))
    ask("blockInfo", lambda: domain.blockInfo("vda"))
    ask("blockJobInfo", lambda: domain.blockJobInfo("vda"))
    ask("interfaceStats", lambda: domain.interfaceStats("vnet99"))
    ask("fSTrim", lambda: domain.fSTrim(None, 0))
    ask("fsFreeze", domain.fsFreeze)
    ask("pMSuspend", lambda: domain.pMSuspendForDuration(0, 0))
    ask("setUserPassword", lambda: domain.setUserPassword("a", "b"))
    ask("snapshotLookup", lambda: domain.snapshotLookupByName("x"))
    ask("checkpointLookup", lambda: domain.checkpointLookupByName("x"))
    flag = 1 << 10
    ask("undefine flags", lambda: domain.undefineFlags(flag))
    ask("destroy flags", lambda: domain.destroyFlags(flag))
    ask("shutdown flags", lambda: domain.shutdownFlags(flag))
    ask("reboot flags", lambda: domain.reboot(flag))
    ask("reset flags", lambda: domain.reset(flag))
    ask("start flags", lambda: domain.createWithFlags(flag))
    ask("jobStats completed", lambda: domain.jobStats(1))
    ask("jobStats flags", lambda: domain.jobStats(1 << 5))
    ask("shutdown by agent", lambda: domain.shutdownFlags(2))


def ask_life(q: Questions) -> None:
    conn = q.conn
    mine = xml("a", f"<uuid>{UUID}</uuid>")
    domain = conn.defineXML(mine)
    q.ask("uuid taken", lambda: conn.defineXML(xml("b", f"<uuid>{UUID}</uuid>")))
    q.ask("name taken", lambda: conn.defineXML(xml("a")))
    q.ask("same again", lambda: conn.defineXML(mine).name())
    ask_domain(q, "off", domain)
    for name in ("reset", "suspend", "resume", "shutdown", "destroy"):
        q.ask(f"off: {name}", getattr(domain, name))
    q.ask("off: reboot", lambda: domain.reboot(0))
    domain.setSchedulerParametersFlags({"cpu_shares": 300_000}, 2)
    q.ask("start with too many shares", domain.create)
    domain = conn.defineXML(mine)
    q.ask("start", domain.create)
    q.ask("start again", domain.create)
    q.ask("create what runs", lambda: conn.createXML(mine, 0))
    ask_domain(q, "on", domain)
    for name in ("suspend", "suspend", "state", "resume", "resume", "state"):
        label = f"{name} {sum(key.startswith(name) for key in q.answers)}"
        q.ask(label, getattr(domain, name))
    q.ask("undefine what runs", domain.undefine)
    ask_transient(q, domain)
    q.ask("destroy transient", domain.destroy)
    for name in ("info", "create", "undefine", "destroy", "vcpus", "schedulerParameters"):
        q.ask(f"gone: {name}", getattr(domain, name))
    q.ask("gone: statistics", lambda: conn.domainListGetStats([domain], 0))
    q.ask("gone: name", lambda: conn.lookupByName("a"))
    fresh = conn.createXML(xml("t"), libvirt.VIR_DOMAIN_START_PAUSED)
    q.ask("created paused", lambda: [fresh.state(), fresh.isPersistent(), fresh.isActive()])
    conn.defineXML(xml("t", f"<uuid>{fresh.UUIDString()}</uuid>"))
    q.ask("made persistent", fresh.isPersistent)
    fresh.destroy()
    q.ask("outlives its end", fresh.state)
    fresh.undefine()


def ask_restart(q: Questions) -> None:
    """Change a running domain, and look what of it is left after a reset and a restart."""
    domain = q.conn.defineXML(xml("r", f"<uuid>{UUID}</uuid>"))
    domain.create()
    domain.pinVcpu(0, (False, True))
    domain.pinVcpuFlags(1, (True, False), 2)
    domain.pinEmulator((True, False), 1)
    domain.setMemoryStatsPeriod(5, 1)
    domain.setSchedulerParametersFlags({"cpu_shares": 333}, 1)
    domain.setMetadata(1, "a title", None, None, 1)
    domain.setMemoryFlags(100 << 10, 2)
    ask_settings(q, "changed", domain)
    domain.reset(0)
    ask_settings(q, "reset", domain)
    domain.setMemoryStatsPeriod(7, 2)
    ask_settings(q, "changed again", domain)
    domain.destroy()
    ask_settings(q, "stopped", domain)
    domain.create()
    ask_settings(q, "restarted", domain)
    domain.setMemoryStatsPeriod(9, 3)
    ask_settings(q, "changed both", domain)
    domain.destroy()
    domain.undefine()


class Listener:
    """Hears the events of a connection of its own."""

    def __init__(self) -> None:
        libvirt.virEventRegisterDefaultImpl()
        self.conn = libvirt.open(sys.argv[1])
        self.heard: list[list[Any]] = []
        for number in range(EVENT_IDS):
            self.conn.domainEventRegisterAny(None, number, self._hear, number)
        self._quiet = 0
        libvirt.virEventAddTimeout(25, self._tick, None)

    def after(self, act: Callable[[], Any]) -> list[Any]:
        """Return what is heard once something was done; events of one call may change places."""
        self.heard.clear()
        act()
        self._quiet = 0
        while self._quiet < 8:
            libvirt.virEventRunDefaultImpl()
        return sorted(self.heard, key=str)

    def _hear(self, conn: Any, domain: Any, *values: Any) -> None:
        *told, number = values
        happened = [number, domain.name(), *map(plain, told)]
        if happened not in self.heard:  # a machine without a system resets itself again and again
            self.heard.append(happened)
        self._quiet = 0

    def _tick(self, _timer: int, _opaque: Any) -> None:
        self._quiet += 1


def ask_events(q: Questions) -> None:
    listener = Listener()
    conn = listener.conn
    mine = xml("e", f"<uuid>{UUID}</uuid>")
    domain = conn.defineXML(mine)
    for label, act in {
        "describe": lambda: conn.defineXML(mine),
        "rename": lambda: domain.rename("f"),
        "back": lambda: domain.rename("e"),
        "autostart": lambda: domain.setAutostart(1),
        "stored pin": lambda: domain.pinVcpuFlags(0, (True, False), 2),
        "stored title": lambda: domain.setMetadata(1, "t", None, None, 2),
        "start paused": lambda: domain.createWithFlags(1),
        "resume": domain.resume,
        "pin": lambda: domain.pinVcpu(0, (False, True)),
        "pin both": lambda: domain.pinVcpuFlags(0, (True, True), 3),
        "pin emulator": lambda: domain.pinEmulator((True, False), 1),
        "shares": lambda: domain.setSchedulerParametersFlags({"cpu_shares": 600}, 1),
        "note": lambda: domain.setMetadata(0, "n", None, None, 1),
        "element": lambda: domain.setMetadata(2, "<a/>", "k", "urn:a", 3),
        "period": lambda: domain.setMemoryStatsPeriod(2, 1),
        "suspend": domain.suspend,
        "suspend again": domain.suspend,
        "resume again": domain.resume,
        "reset": lambda: domain.reset(0),
        "describe what runs": lambda: conn.defineXML(mine),
        "undefine what runs": domain.undefine,
        "define what runs": lambda: conn.defineXML(mine),
        "destroy": domain.destroy,
        "start": domain.create,
        "destroy again": domain.destroy,
        "undefine": domain.undefine,
        "create": lambda: conn.createXML(mine, 0),
        "destroy transient": domain.destroy,
    }.items():
        q.ask(f"events: {label}", lambda act=act: listener.after(act))


# Metadata that clients set: text, prefix and namespace.
METADATA = {
    "inner namespace": ("<a b='1'><c xmlns='urn:x'/>t&amp;</a>", "k", "urn:z"),
    "prefix of two words": ("<a/>", "a b", "urn:q1"),
    "empty prefix": ("<a/>", "", "urn:q2"),
    "prefix of a number": ("<a/>", "1a", "urn:q3"),
    "prefix with a colon": ("<a/>", "a:b", "urn:q4"),
    "default namespace": ("<a xmlns='urn:own'><b/></a>", "k", "urn:r"),
    "own prefix": ("<p:a xmlns:p='urn:p'><p:b/><c/></p:a>", "k", "urn:s"),
    "prefix again": ("<a>\n <b c='&quot;&apos;'/>\n</a>", "k", "urn:t"),
    "strange namespace": ("<a/>", "q", "urn:'\"a"),
    "attributes": ("<a xml:lang='en' p:x='1' xmlns:p='urn:p'/>", "k", "urn:u"),
    "no element": ("plain", "k", "urn:v"),
    "two elements": ("<a/><b/>", "k", "urn:w"),
    "again": ("<b/>", "m", "urn:t"),
}


def ask_metadata(q: Questions) -> None:
    domain = q.conn.defineXML(xml("m", f"<uuid>{UUID}</uuid>"))
    for label, (text, prefix, uri) in METADATA.items():
        q.ask(f"metadata: {label}", lambda t=text, p=prefix, u=uri: domain.setMetadata(2, t, p, u))
        q.ask(f"metadata read: {label}", lambda u=uri: domain.metadata(2, u))
        description = lambda: re.findall("<metadata>.*</metadata>", domain.XMLDesc(), re.S)  # noqa: E731
        q.ask(f"metadata described: {label}", description)
    q.ask("metadata read: own", lambda: domain.metadata(2, "urn:own"))
    indented = "<metadata>\n <k:a xmlns:k='urn:z'>\n   <k:b/> <k:c>t</k:c>\n  </k:a>\n</metadata>"
    q.conn.defineXML(xml("m", f"<uuid>{UUID}</uuid>{indented}"))
    q.ask("metadata read: defined", lambda: domain.metadata(2, "urn:z"))
    q.ask("metadata described: defined", description)
    q.ask("metadata removed", lambda: domain.setMetadata(2, None, "k", "urn:z"))
    q.ask("metadata read: removed", lambda: domain.metadata(2, "urn:z"))
    domain.undefine()


def ask_settings(q: Questions, tag: str, domain: Any) -> None:
    """Ask what holds now, and from the next start on."""
    for flags in (0, 2):
        q.ask(f"{tag}: pins {flags}", lambda flags=flags: domain.vcpuPinInfo(flags))
        q.ask(f"{tag}: emulator {flags}", lambda flags=flags: domain.emulatorPinInfo(flags))
        question = lambda flags=flags: domain.schedulerParametersFlags(flags)["cpu_shares"]  # noqa: E731
        q.ask(f"{tag}: shares {flags}", question)
        q.ask(f"{tag}: title {flags}", lambda flags=flags: domain.metadata(1, None, flags))
        described = lambda flags=flags: re.findall("period='[0-9]*'", domain.XMLDesc(flags))  # noqa: E731
        q.ask(f"{tag}: period {flags}", described)


def ask_transient(q: Questions, domain: Any) -> None:
    """Ask about a running domain that has no stored description."""
    for name in ("isPersistent", "undefine", "autostart", "isUpdated", "hasManagedSaveImage"):
        q.ask(f"transient: {name}", getattr(domain, name))
    for label, question in (
        ("setAutostart", lambda: domain.setAutostart(1)),
        ("pin", lambda: domain.pinVcpuFlags(0, (True,), 2)),
        ("setMemory", lambda: domain.setMemoryFlags(100 << 10, 2)),
        ("schedulerParameters", lambda: domain.schedulerParametersFlags(2)),
        ("vcpus", lambda: domain.vcpusFlags(2)),
        ("period", lambda: domain.setMemoryStatsPeriod(1, 2)),
        ("metadata", lambda: domain.metadata(0, None, 2)),
        ("rename", lambda: domain.rename("q")),
    ):
        q.ask(f"transient: {label} stored", question)
    q.ask("transient: XMLDesc", lambda: domain.XMLDesc(2), shape=True)


def main() -> None:
    libvirt.registerErrorHandler(lambda context, error: None, None)
    q = Questions(libvirt.open(sys.argv[1]))
    assert not q.conn.listAllDomains(), "the host has domains; these calls would change them"
    ask_host(q)
    ask_resources(q)
    ask_definitions(q)
    ask_life(q)
    ask_restart(q)
    ask_metadata(q)
    ask_events(q)
    json.dump(q.answers, sys.stdout)


main()
