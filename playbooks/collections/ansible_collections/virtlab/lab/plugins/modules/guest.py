#!/usr/bin/python
# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""A guest of the lab, as a libvirt domain."""

from __future__ import annotations

DOCUMENTATION = r"""
module: guest
short_description: A guest of the lab, as a libvirt domain
version_added: "0.1.0"
description:
  - Defines, starts, stops and removes a guest that boots the micro-guest's kernel and initramfs.
  - Domains carry a mark of the lab's own; one of the same name without it is never touched.
  - C(community.libvirt.virt) takes a description as text and has no difference to show, which
    is why this module is there.
options:
  name:
    description: Name of the guest.
    type: str
    required: true
  state:
    description:
      - V(running) defines and starts it, V(shutoff) defines it and stops it at once, V(absent)
        stops it and removes it.
    type: str
    choices: [running, shutoff, absent]
    default: running
  memory_mib:
    description: The balloon's size at the start.
    type: int
  max_memory_mib:
    description: The balloon's largest size; O(memory_mib) if left out.
    type: int
  vcpus:
    description: Number of virtual CPUs.
    type: int
    default: 1
  kernel:
    description: The kernel to boot, on the host.
    type: path
  initramfs:
    description: The initial RAM file system to boot, on the host.
    type: path
  accelerator:
    description: V(kvm), or V(qemu) for emulation.
    type: str
    choices: [kvm, qemu]
    default: qemu
  stats_period_s:
    description: Period of the balloon's statistics in seconds; 0 leaves them off.
    type: int
    default: 1
  deflate_on_oom:
    description: Whether the balloon gives memory back before the guest kills a process.
    type: bool
    default: false
  serial_log:
    description: File on the host that takes what the guest says on its serial console.
    type: path
  wait_s:
    description:
      - How long to wait, with O(state=running), until the guest agent answers; 0 does not wait.
    type: int
    default: 0
  uri:
    description: URI of the libvirt connection.
    type: str
    default: qemu:///system
attributes:
  check_mode:
    description: Says what would be done, and does nothing.
    support: full
  diff_mode:
    description: Shows the guest's properties before and after.
    support: full
author:
  - virtlab maintainers (@virtlab)
"""

EXAMPLES = r"""
- name: A guest that runs
  virtlab.lab.guest:
    name: aos_vm1
    memory_mib: 512
    max_memory_mib: 2048
    kernel: /var/lib/virtlab/micro-guest/kernel
    initramfs: /var/lib/virtlab/micro-guest/initramfs.cpio
    wait_s: 60

- name: No such guest any more
  virtlab.lab.guest:
    name: aos_vm1
    state: absent
"""

RETURN = r"""
ready_s:
  description: How long the guest agent was waited for; null where it was not.
  returned: success
  type: float
uuid:
  description: The domain's UUID; empty where there is none.
  returned: success
  type: str
"""

from xml.etree import ElementTree
from xml.sax.saxutils import escape

from ansible.module_utils.basic import AnsibleModule
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
    """Return the properties that the module is asked for."""
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


class Guest:
    """One guest, and the way from what it is to what it should be."""

    def __init__(self, module):
        self.module = module
        self.name = module.params["name"]
        self.state = module.params["state"]
        self.wanted = wanted_of(module.params)
        self.connection = lab.connect(module)
        self.domain = lab.find(self.connection, self.name)
        if self.domain is not None and not lab.is_ours(self.domain):
            module.fail_json(
                msg=f"there is a domain {self.name} that the lab did not make: give the guest "
                "another name, or remove that domain yourself"
            )
        self.running = self.domain is not None and bool(self.domain.isActive())
        self.found = {} if self.domain is None else found_of(self.domain)

    def run(self):
        """Do what is needed; return what to report."""
        defined = self.state != "absent"
        after = {**self.wanted, "state": self.state} if defined else {}
        before = (
            {**self.found, "state": "running" if self.running else "shutoff"} if self.found else {}
        )
        result = {"changed": before != after, "diff": lab.shown(before, after), "ready_s": None}
        if result["changed"] and not self.module.check_mode:
            self._change(defined)
        if self.state == "running" and self.module.params["wait_s"] and not self.module.check_mode:
            result["ready_s"] = lab.wait_for_agent(self.domain, self.module.params["wait_s"])
            if result["ready_s"] is None:
                self.module.fail_json(
                    msg=f"the agent of guest {self.name} did not answer within "
                    f"{self.module.params['wait_s']} s; its serial log: "
                    f"{self.wanted['serial_log'] or 'none was asked for'}"
                )
        result["uuid"] = "" if self.domain is None else self.domain.UUIDString()
        return result

    def _change(self, defined):
        altered = self.found != self.wanted
        if self.running and (altered or self.state != "running"):
            self.domain.destroy()
            self.running = False
        if not defined:
            if self.domain is not None:
                self.domain.undefine()
                self.domain = None
            return
        if altered:
            if self.domain is not None:
                self.domain.undefine()
            self.domain = self.connection.defineXML(described(self.name, self.wanted))
        if self.state == "running" and not self.running:
            self.domain.create()


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str", "choices": ["running", "shutoff", "absent"], "default": "running",
            },
            "memory_mib": {"type": "int"},
            "max_memory_mib": {"type": "int"},
            "vcpus": {"type": "int", "default": 1},
            "kernel": {"type": "path"},
            "initramfs": {"type": "path"},
            "accelerator": {"type": "str", "choices": ["kvm", "qemu"], "default": "qemu"},
            "stats_period_s": {"type": "int", "default": 1},
            "deflate_on_oom": {"type": "bool", "default": False},
            "serial_log": {"type": "path"},
            "wait_s": {"type": "int", "default": 0},
            **lab.URI_OPTION,
        },
        required_if=[
            ("state", state, ("memory_mib", "kernel", "initramfs"))
            for state in ("running", "shutoff")
        ],
        supports_check_mode=True,
    )  # fmt: skip
    guest = Guest(module)
    try:
        module.exit_json(**guest.run())
    except lab.libvirt.libvirtError as err:
        module.fail_json(msg=f"guest {guest.name}: {err}")


if __name__ == "__main__":
    main()
