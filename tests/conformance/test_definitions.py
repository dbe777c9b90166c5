"""Unmodified virsh and libvirt-python against the simulated host: domains that come and go."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

Virsh = Callable[..., subprocess.CompletedProcess[str]]

_ATTRIBUTES = " ".join(f"a{number}=''" for number in range(50_001))
_DOMAIN = """<domain type='kvm'>
  <name>web</name>
  <uuid>11111111-2222-3333-4444-555555555555</uuid>
  <title>a web server</title>
  <metadata><lab:role xmlns:lab='urn:lab'>front</lab:role></metadata>
  <memory unit='GiB'>1</memory>
  <currentMemory unit='MiB'>512</currentMemory>
  <vcpu>2</vcpu>
  <cputune><shares>2048</shares><vcpupin vcpu='1' cpuset='2-3'/></cputune>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><source file='/a.img'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <interface type='network'><source network='default'/></interface>
    <memballoon model='virtio' autodeflate='on'><stats period='2'/></memballoon>
  </devices>
</domain>"""


@pytest.fixture
def virsh(lab: Any, tmp_path: Path) -> Virsh:
    """Run virsh; the word XML stands for a file with the text given by `xml`."""

    def run(*words: str, xml: str = _DOMAIN) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "domain.xml"
        path.write_text(xml)
        given = [str(path) if word == "XML" else word for word in words]
        return subprocess.run(
            ["virsh", "-q", "-c", lab.uri, *given], capture_output=True, text=True, timeout=20
        )

    return run


def names(virsh: Virsh, *words: str) -> list[str]:
    return virsh("list", "--name", *words).stdout.split()


def test_a_defined_domain_is_all_that_its_description_says(lab: Any, virsh: Virsh) -> None:
    done = virsh("define", "XML")

    assert (done.returncode, done.stderr) == (0, "")
    assert "web" in names(virsh, "--inactive")
    assert virsh("start", "web").returncode == 0
    lab.move(3)
    info = virsh("dominfo", "web").stdout
    assert "Max memory:     1048576 KiB" in info
    assert "Used memory:    524288 KiB" in info
    assert virsh("vcpupin", "web").stdout.split() == ["0", "0-3", "1", "2-3"]
    assert "cpu_shares     : 2048" in virsh("schedinfo", "web").stdout
    assert virsh("desc", "web", "--title").stdout.strip() == "a web server"
    assert virsh("metadata", "web", "urn:lab").stdout.strip() == "<role>front</role>"
    assert virsh("domblklist", "web").stdout.split() == ["vda", "/a.img", "sda", "-"]
    stats = virsh("domstats", "web", "--block", "--interface", "--balloon").stdout
    assert "block.count=2" in stats
    assert "block.1.name=sda" in stats
    assert "net.0.name=vnet3" in stats
    assert "balloon.unused=" in stats
    root = ET.fromstring(virsh("dumpxml", "web").stdout)
    balloon = root.find("devices/memballoon")
    assert balloon is not None
    assert balloon.get("autodeflate") == "on"
    assert root.findtext("memory") == "1048576"
    assert root.find("os/type").get("machine") == "pc-i440fx-7.2"  # type: ignore[union-attr]


def test_the_same_description_given_twice_changes_nothing(virsh: Virsh) -> None:
    virsh("define", "XML")
    before = virsh("dumpxml", "web").stdout

    again = virsh("define", "XML")
    its_own = virsh("define", "XML", xml=before)

    assert (again.returncode, its_own.returncode) == (0, 0)
    assert virsh("dumpxml", "web").stdout == before


def test_a_new_description_waits_for_the_next_start(lab: Any, virsh: Virsh) -> None:
    virsh("define", "XML")
    virsh("start", "web")

    virsh("define", "XML", xml=_DOMAIN.replace("<vcpu>2<", "<vcpu>4<"))

    assert virsh("vcpucount", "web", "--current", "--live").stdout.strip() == "2"
    assert virsh("vcpucount", "web", "--current", "--config").stdout.strip() == "4"
    virsh("destroy", "web")
    virsh("start", "web")
    assert virsh("vcpucount", "web", "--current", "--live").stdout.strip() == "4"


def test_a_scenarios_guest_keeps_its_system_when_it_is_defined_anew(lab: Any, virsh: Virsh) -> None:
    def unused() -> int:
        virsh("start", "aos_off")
        lab.move(2)
        words = virsh("dommemstat", "aos_off").stdout.split()
        virsh("destroy", "aos_off")
        return int(words[words.index("unused") + 1])

    before = unused()

    done = virsh("define", "XML", xml=virsh("dumpxml", "aos_off").stdout)

    assert done.returncode == 0
    assert unused() == before


def test_a_transient_domain_is_forgotten_when_it_stops(lab: Any, virsh: Virsh) -> None:
    assert virsh("create", "XML").returncode == 0
    assert "Persistent:     no" in virsh("dominfo", "web").stdout
    assert names(virsh, "--transient") == ["web"]
    refused = virsh("undefine", "web")
    assert "Requested operation is not valid: cannot undefine transient domain" in refused.stderr

    virsh("shutdown", "web")
    lab.move(60)

    assert "failed to get domain 'web'" in virsh("dominfo", "web").stderr


def test_an_undefined_domain_runs_on_until_it_stops(virsh: Virsh) -> None:
    virsh("undefine", "aos_vm1")

    assert "aos_vm1" in names(virsh, "--transient")
    assert (
        "transient domains do not have any persistent config"
        in virsh("setmem", "aos_vm1", "512M", "--config").stderr
    )
    virsh("destroy", "aos_vm1")
    assert "aos_vm1" not in names(virsh, "--all")
    assert virsh("undefine", "aos_off").returncode == 0
    assert "aos_off" not in names(virsh, "--all")


def test_a_transient_domain_becomes_persistent_when_it_is_defined(virsh: Virsh) -> None:
    virsh("create", "XML")
    virsh("define", "XML")

    virsh("destroy", "web")

    assert "web" in names(virsh, "--inactive")


def test_create_paused_waits_for_resume(virsh: Virsh) -> None:
    virsh("create", "XML", "--paused")

    assert virsh("domstate", "web", "--reason").stdout.strip() == "paused (user)"
    assert virsh("resume", "web").returncode == 0


def test_names_and_uuids_stay_with_one_domain(virsh: Virsh) -> None:
    virsh("define", "XML")

    other_name = virsh("define", "XML", xml=_DOMAIN.replace(">web<", ">www<"))
    other_uuid = virsh("define", "XML", xml=_DOMAIN.replace("-555555555555", "-555555555556"))

    assert (
        "domain 'web' is already defined with uuid 11111111-2222-3333-4444-555555555555"
        in other_name.stderr
    )
    assert "domain 'web' already exists with uuid" in other_uuid.stderr
    virsh("start", "web")
    assert "domain 'web' is already active" in virsh("create", "XML").stderr


def test_a_stopped_domain_takes_another_name(virsh: Virsh) -> None:
    assert virsh("domrename", "aos_off", "db").returncode == 0

    assert "db" in names(virsh, "--inactive")
    assert virsh("start", "db").returncode == 0
    assert "cannot rename active domain" in virsh("domrename", "db", "x").stderr


def test_autostart_and_notes_are_kept(virsh: Virsh) -> None:
    virsh("autostart", "aos_off")
    virsh("desc", "aos_off", "--title", "a database")
    virsh("metadata", "aos_off", "urn:lab", "--key", "lab", "--set", "<role>back</role>")

    assert "aos_off" in names(virsh, "--all", "--autostart")
    assert "Autostart:      enable" in virsh("dominfo", "aos_off").stdout
    root = ET.fromstring(virsh("dumpxml", "aos_off").stdout)
    assert root.findtext("title") == "a database"
    assert root.findtext("metadata/{urn:lab}role") == "back"
    virsh("metadata", "aos_off", "urn:lab", "--remove")
    assert "metadata not found" in virsh("metadata", "aos_off", "urn:lab").stderr


@pytest.mark.parametrize(
    ("replaced", "by", "message"),
    [
        ("<name>web</name>", "", "missing name information"),
        ("<name>web<", "<name>a/b<", "XML error: name a/b cannot contain '/'"),
        ("type='kvm'", "type='bogus'", "unsupported configuration: invalid domain type bogus"),
        (">1</memory>", ">many</memory>", "Invalid value 'many' for element or attribute"),
        ("unit='GiB'>1", "unit='foo'>1", "invalid argument: unknown suffix 'foo'"),
        (">1</memory>", ">9999999999999</memory>", "numerical overflow: value too large"),
        ("<vcpu>2", "<vcpu>two", "XML error: maximum vcpus count must be an integer"),
        ("<vcpu>2", "<vcpu>300", "Maximum CPUs greater than specified machine type limit 255"),
        ("<vcpu>2", "<vcpu current='3'>2", "maximum vCPU count must not be less than current"),
        ("cpuset='2-3'", "cpuset='x'", "invalid argument: Failed to parse bitmap 'x'"),
        ("vcpu='1' cpuset='2-3'", "cpuset='2'", "Missing required attribute 'vcpu' in element"),
        ("<shares>2048", "<shares>x", "XML error: can't parse cputune shares value"),
        (">hvm<", ">xen<", "does not support os type 'xen'"),
        ("<os><type>hvm</type></os>", "", "XML error: an os <type> must be specified"),
        ("<uuid>1", "<uuid>z", "internal error: malformed uuid element"),
        ("<target dev='vda' bus='virtio'/>", "", "missing target information for device /a.img"),
        ("dev='sda'", "dev='vda'", "XML error: target 'vda' duplicated for disk sources"),
        ("model='virtio'", "model='bogus'", "attribute 'model' in element 'memballoon': 'bogus'"),
        ("</domain>", "", "Premature end of data in tag domain"),
        ("<domain ", "<!DOCTYPE d [<!ENTITY a 'b'>]><domain ", "a document type is not accepted"),
        ("<title>", "<title>" + "<a>" * 300, "Excessive depth in document: 256"),
        ("<title>", "<a/>" * 20_001 + "<title>", "more than 20000 elements"),
        ("<title>", f"<title {_ATTRIBUTES}>", "more than 50000 attributes"),
    ],
)
def test_a_bad_description_is_refused_in_libvirts_words(
    virsh: Virsh, replaced: str, by: str, message: str
) -> None:
    assert replaced in _DOMAIN

    done = virsh("define", "XML", xml=_DOMAIN.replace(replaced, by))

    assert done.returncode == 1
    assert message in done.stderr
    assert "web" not in names(virsh, "--all")


def test_validation_refuses_elements_that_libvirt_does_not_know(virsh: Virsh) -> None:
    odd = _DOMAIN.replace("<title>", "<bogus/><title>")

    assert "extra content: bogus" in virsh("define", "XML", "--validate", xml=odd).stderr
    assert virsh("define", "XML", xml=odd).returncode == 0
    assert "bogus" not in virsh("dumpxml", "web").stdout


def test_the_read_only_socket_refuses_to_define(lab: Any, tmp_path: Path) -> None:
    path = tmp_path / "domain.xml"
    path.write_text(_DOMAIN)

    done = subprocess.run(
        ["virsh", "-q", "-c", lab.uri_read_only, "define", str(path)],
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert "operation forbidden: read only access prevents virDomainDefineXML" in done.stderr


def test_a_run_in_which_domains_come_and_go_can_still_be_recorded(lab: Any, virsh: Virsh) -> None:
    from virtlab.model.timeline import ProgramOutcome

    virsh("create", "XML")
    virsh("vcpupin", "web", "0", "1")
    virsh("setmem", "web", "600M")
    virsh("undefine", "aos_vm2")
    virsh("destroy", "aos_vm2")
    virsh("setvcpus", "aos_off", "2", "--maximum", "--config")
    virsh("setvcpus", "aos_off", "2", "--config")
    virsh("start", "aos_off")
    lab.move(5)

    timeline = lab.within(
        lambda: lab.recorder.timeline(ProgramOutcome("ok", "completed", "", 0, 0))
    )

    assert [track.name for track in timeline.guests] == ["aos_vm1", "aos_vm2", "aos_vm3", "aos_off"]
    assert all(len(track.running) == len(timeline.times_ns) for track in timeline.guests)
    assert not any(pin.guest == "web" for pin in timeline.pins)
    assert timeline.guests[1].running[-1] is False


@pytest.mark.parametrize("prefix", ["a b", "1a", "a:b", "xml"])
def test_a_prefix_that_is_no_name_is_refused_and_the_description_stays_readable(
    lab: Any, virsh: Virsh, prefix: str
) -> None:
    refused = virsh("metadata", "aos_vm1", "urn:a", "--key", prefix, "--set", "<a/>")

    assert "failed to validate prefix for a new XML namespace" in refused.stderr
    assert ET.fromstring(virsh("dumpxml", "aos_vm1").stdout).find("metadata") is None
