#!/usr/bin/python
# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""Several guests of the lab at once."""

from __future__ import annotations

DOCUMENTATION = r"""
module: guests
short_description: Several guests of the lab at once
version_added: "0.1.0"
description:
  - Brings up several guests, each as M(virtlab.lab.guest) does, and waits for their agents; or
    removes them.
  - They are started one after the other, without waiting for each, since guests that boot all at
    the same moment are ready later. They are stopped at the same time, as libvirt takes two
    seconds for each.
options:
  guests:
    description: The guests, in the order in which they are started.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the guest.
        type: str
        required: true
      memory_mib:
        description: The balloon's size at the start; O(guests[].max_memory_mib) if left out.
        type: int
      max_memory_mib:
        description: The balloon's largest size; needed unless O(state=absent).
        type: int
      vcpus:
        description: Number of virtual CPUs.
        type: int
        default: 1
      pins:
        description: The pCPUs of each vCPU, as the role C(guests) takes them; not looked at here.
        type: list
        elements: list
      deflate_on_oom:
        description: Whether the balloon gives memory back before the guest kills a process.
        type: bool
        default: false
  state:
    description: V(running) brings them up, V(absent) stops and removes them.
    type: str
    choices: [running, absent]
    default: running
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
  serial_folder:
    description: Folder on the host for what each guest says on its serial console.
    type: path
  wait_s:
    description: How long all of them together may take until their agents answer; 0 does not wait.
    type: int
    default: 0
extends_documentation_fragment:
  - virtlab.lab.host
  - virtlab.lab.host.changes
"""

EXAMPLES = r"""
- name: Two guests, up
  virtlab.lab.guests:
    guests:
      - {name: aos_vm1, memory_mib: 512, max_memory_mib: 2048}
      - {name: aos_vm2, max_memory_mib: 512}
    kernel: /var/lib/virtlab/micro-guest/kernel
    initramfs: /var/lib/virtlab/micro-guest/initramfs.cpio
    wait_s: 60

- name: No such guests any more
  virtlab.lab.guests:
    guests:
      - name: aos_vm1
      - name: aos_vm2
    state: absent
"""

RETURN = r"""
ready_s:
  description: The seconds after which each agent answered, by name; empty where it was not waited.
  returned: success
  type: dict
"""

import time
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.virtlab.lab.plugins.module_utils import lab
from ansible_collections.virtlab.lab.plugins.module_utils.guest import (
    Guest,
    NotOursError,
    wanted_of,
)

_OPTIONS = {
    "name": {"type": "str", "required": True},
    "memory_mib": {"type": "int"},
    "max_memory_mib": {"type": "int"},
    "vcpus": {"type": "int", "default": 1},
    "pins": {"type": "list", "elements": "list"},
    "deflate_on_oom": {"type": "bool", "default": False},
}


def guest_of(module, connection, item):
    """Return one guest with what it should be."""
    params = module.params
    folder = params["serial_folder"]
    wanted = wanted_of(
        {
            **params,
            **item,
            "memory_mib": item["memory_mib"] or item["max_memory_mib"],
            "serial_log": f"{folder}/{item['name']}.log" if folder else None,
        }
    )
    return Guest(connection, item["name"], params["state"], wanted)


def waited(module, guests, began):
    """Return the seconds after which each agent answered; end the module where one does not."""
    wait_s, ready = module.params["wait_s"], {}
    for guest in guests:
        left_s = max(began + wait_s - time.monotonic(), 0.0)
        if lab.wait_for_agent(guest.domain, left_s) is None:
            late = [other.name for other in guests if other.name not in ready]
            module.fail_json(
                msg=f"after {wait_s} s no agent answers in {', '.join(late)}; look at their serial "
                "logs",
                ready_s=ready,
            )
        ready[guest.name] = round(time.monotonic() - began, 2)
    return ready


def run(module):
    """Do what is needed; return what to report."""
    connection = lab.connect(module)
    guests = [guest_of(module, connection, item) for item in module.params["guests"]]
    changing = [guest for guest in guests if guest.before != guest.after]
    result = {
        "changed": bool(changing),
        "diff": [
            {**lab.shown(guest.before, guest.after), "before_header": guest.name,
             "after_header": guest.name}
            for guest in changing
        ],
        "ready_s": {},
    }  # fmt: skip
    if module.check_mode:
        return result
    began = time.monotonic()
    if module.params["state"] == "absent":
        with ThreadPoolExecutor(max(len(changing), 1)) as pool:
            list(pool.map(Guest.change, changing))
        return result
    for guest in changing:
        guest.change()
    if module.params["wait_s"]:
        result["ready_s"] = waited(module, guests, began)
    return result


def main():
    module = AnsibleModule(
        argument_spec={
            "guests": {"type": "list", "elements": "dict", "required": True, "options": _OPTIONS},
            "state": {"type": "str", "choices": ["running", "absent"], "default": "running"},
            "kernel": {"type": "path"},
            "initramfs": {"type": "path"},
            "accelerator": {"type": "str", "choices": ["kvm", "qemu"], "default": "qemu"},
            "stats_period_s": {"type": "int", "default": 1},
            "serial_folder": {"type": "path"},
            "wait_s": {"type": "int", "default": 0},
            **lab.URI_OPTION,
        },
        required_if=[("state", "running", ("kernel", "initramfs"))],
        supports_check_mode=True,
    )
    if module.params["state"] == "running":
        for item in module.params["guests"]:
            if not item["max_memory_mib"]:
                module.fail_json(msg=f"guest {item['name']} needs max_memory_mib")
    try:
        module.exit_json(**run(module))
    except NotOursError as err:
        module.fail_json(msg=str(err))
    except lab.libvirt.libvirtError as err:
        module.fail_json(msg=str(err))


if __name__ == "__main__":
    main()
