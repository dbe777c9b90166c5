# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""One guest of the lab as a libvirt domain: its description, and the way to the wanted state."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.sax.saxutils import escape

from ansible_collections.virtlab.lab.plugins.module_utils import lab

# An emulated guest on a busy host misses the kernel's check of its timers, and would stop there;
# one whose kernel panics ends instead of hanging (-1: at once, and a reboot ends the domain). The
# tests of the kernel's ciphers would be half of the instructions of a boot.
_CMDLINE = "console=ttyS0 quiet no_timer_check panic=-1 cryptomgr.notests"
# Of libvirt's machines q35 boots soonest where its devices sit on the root bus: no bridges to find,
# no disk or USB controller to try, interrupts without links.
_DESCRIPTION = """
<domain type='{accelerator}'>
  <name>{name}</name>
  <metadata><lab:guest xmlns:lab='{mark}'/></metadata>
  <memory unit='MiB'>{max_memory_mib}</memory>
  <currentMemory unit='MiB'>{memory_mib}</currentMemory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initramfs}</initrd>
    <cmdline>{cmdline}</cmdline>
  </os>
  <features><acpi/></features>
  <on_reboot>destroy</on_reboot>
  <devices>
    {serial}
    <controller type='usb' model='none'/>
    <controller type='virtio-serial' index='0'>
      <address type='pci' domain='0' bus='0' slot='2' function='0'/>
    </controller>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <memballoon model='virtio' autodeflate='{autodeflate}'>
      {stats}
      <address type='pci' domain='0' bus='0' slot='3' function='0'/>
    </memballoon>
  </devices>
</domain>
"""


def wanted_of(params):
    """Return the properties that a guest is asked to have, from a module's options."""
    return {
        "accelerator": params["accelerator"],
        "memory_mib": params["memory_mib"],
        "max_memory_mib": params["max_memory_mib"] or params["memory_mib"],
        "vcpus": params["vcpus"],
        "kernel": params["kernel"],
        "initramfs": params["initramfs"],
        "stats_period_s": params["stats_period_s"],
        "deflate_on_oom": params["deflate_on_oom"],
        "serial_log": params["serial_log"] or "",
        "cmdline": f"{_CMDLINE} virtlab.name={params['name']}",
    }


def described(name, wanted):
    """Return the domain's description as XML."""
    texts = {key: escape(str(value), {"'": "&apos;"}) for key, value in wanted.items()}
    serial = stats = ""
    if wanted["serial_log"]:
        serial = f"<serial type='file'><source path='{texts['serial_log']}'/></serial>"
    if wanted["stats_period_s"]:
        stats = f"<stats period='{wanted['stats_period_s']}'/>"
    return _DESCRIPTION.format(
        name=escape(name), mark=lab.MARK, serial=serial, stats=stats,
        autodeflate="on" if wanted["deflate_on_oom"] else "off", **texts,
    )  # fmt: skip


def found_of(domain):
    """Return the properties of a domain as it is stored."""
    tree = ElementTree.fromstring(domain.XMLDesc(lab.libvirt.VIR_DOMAIN_XML_INACTIVE))
    balloon = tree.find("devices/memballoon")
    stats = tree.find("devices/memballoon/stats")
    serial = tree.find("devices/serial/source")
    return {
        "accelerator": tree.get("type"),
        "memory_mib": int(tree.findtext("currentMemory", "0")) // 1024,
        "max_memory_mib": int(tree.findtext("memory", "0")) // 1024,
        "vcpus": int(tree.findtext("vcpu", "1")),
        "kernel": tree.findtext("os/kernel"),
        "initramfs": tree.findtext("os/initrd"),
        "stats_period_s": 0 if stats is None else int(stats.get("period", "0")),
        "deflate_on_oom": balloon is not None and balloon.get("autodeflate") == "on",
        "serial_log": "" if serial is None else serial.get("path", ""),
        "cmdline": tree.findtext("os/cmdline"),
    }


class NotOursError(Exception):
    """A domain of that name is there, and the lab did not make it."""


class Guest:
    """One guest, and the way from what it is to what it should be."""

    def __init__(self, connection, name, state, wanted):
        self.name, self.state, self.wanted = name, state, wanted
        self._connection = connection
        self.domain = lab.find(connection, name)
        if self.domain is not None and not lab.is_ours(self.domain):
            raise NotOursError(
                f"there is a domain {name} that the lab did not make: give the guest another name, "
                "or remove that domain yourself"
            )
        self._running = self.domain is not None and bool(self.domain.isActive())
        self._found = {} if self.domain is None else found_of(self.domain)

    @property
    def before(self):
        """Its properties as they were, empty where it was not there."""
        state = "running" if self._running else "shutoff"
        return {**self._found, "state": state} if self._found else {}

    @property
    def after(self):
        """Its properties as they should be."""
        return {} if self.state == "absent" else {**self.wanted, "state": self.state}

    def change(self):
        """Make it what it should be; where it is that already, nothing is done."""
        altered = self._found != self.wanted
        if self._running and (altered or self.state != "running"):
            self.domain.destroy()
            self._running = False
        if self.state == "absent":
            if self.domain is not None:
                self.domain.undefine()
                self.domain = None
            return
        if altered:
            if self.domain is not None:
                self.domain.undefine()
            self.domain = self._connection.defineXML(described(self.name, self.wanted))
        if self.state == "running" and not self._running:
            self.domain.create()
