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
  - C(community.libvirt.virt) takes a description as text, changes no guest that runs, and does not
    know that mark, which is why this module is there.
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
extends_documentation_fragment:
  - virtlab.lab.host
  - virtlab.lab.host.changes
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.virtlab.lab.plugins.module_utils import lab
from ansible_collections.virtlab.lab.plugins.module_utils.guest import (
    Guest,
    NotOursError,
    wanted_of,
)


def run(module):
    """Do what is needed; return what to report."""
    name, state, wait_s = (module.params[key] for key in ("name", "state", "wait_s"))
    guest = Guest(lab.connect(module), name, state, wanted_of(module.params))
    result = {
        "changed": guest.before != guest.after,
        "diff": lab.shown(guest.before, guest.after),
        "ready_s": None,
    }
    if result["changed"] and not module.check_mode:
        guest.change()
    if state == "running" and wait_s and not module.check_mode:
        result["ready_s"] = lab.wait_for_agent(guest.domain, wait_s)
        if result["ready_s"] is None:
            module.fail_json(
                msg=f"the agent of guest {name} did not answer within {wait_s} s; its serial "
                f"log: {guest.wanted['serial_log'] or 'none was asked for'}"
            )
    result["uuid"] = "" if guest.domain is None else guest.domain.UUIDString()
    return result


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
    try:
        module.exit_json(**run(module))
    except NotOursError as err:
        module.fail_json(msg=str(err))
    except lab.libvirt.libvirtError as err:
        module.fail_json(msg=f"guest {module.params['name']}: {err}")


if __name__ == "__main__":
    main()
