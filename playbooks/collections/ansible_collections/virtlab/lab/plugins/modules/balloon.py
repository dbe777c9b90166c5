#!/usr/bin/python
# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""The balloon of a running guest: its target and the period of its statistics."""

from __future__ import annotations

DOCUMENTATION = r"""
module: balloon
short_description: The balloon of a running guest
version_added: "0.1.0"
description:
  - Sets the balloon's target and the period of its statistics, and can wait until the target is
    reached.
options:
  name:
    description: Name of the guest.
    type: str
    required: true
  memory_mib:
    description: The memory that the guest is to have; left out, it stays as it is.
    type: int
  stats_period_s:
    description: Period of the statistics in seconds, 0 for off; left out, it stays as it is.
    type: int
  wait_s:
    description:
      - How long to wait until the balloon is within a MiB of O(memory_mib); 0 does not wait. A
        guest that uses more than that stalls its balloon, and the module fails.
    type: int
    default: 0
extends_documentation_fragment:
  - virtlab.lab.host
  - virtlab.lab.host.changes
"""

EXAMPLES = r"""
- name: Memory of 512 MiB, and statistics each second
  virtlab.lab.balloon:
    name: aos_vm1
    memory_mib: 512
    stats_period_s: 1
    wait_s: 10
"""

RETURN = r"""
actual_mib:
  description: The balloon's size at the end.
  returned: success
  type: int
"""

import time
from xml.etree import ElementTree

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.virtlab.lab.plugins.module_utils import lab


def period_of(domain):
    """Return the period of a running domain's statistics in seconds; 0 is off."""
    stats = ElementTree.fromstring(domain.XMLDesc(0)).find("devices/memballoon/stats")
    return 0 if stats is None else int(stats.get("period", "0"))


def actual_mib(domain):
    """Return the balloon's size now."""
    return domain.memoryStats()["actual"] // 1024


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "memory_mib": {"type": "int"},
            "stats_period_s": {"type": "int"},
            "wait_s": {"type": "int", "default": 0},
            **lab.URI_OPTION,
        },
        required_one_of=[("memory_mib", "stats_period_s")],
        supports_check_mode=True,
    )
    connection = lab.connect(module)
    name, target, period, wait_s = (
        module.params[key] for key in ("name", "memory_mib", "stats_period_s", "wait_s")
    )
    try:
        domain = lab.require(module, connection, name)
        found = {"memory_mib": actual_mib(domain), "stats_period_s": period_of(domain)}
        wanted = {
            "memory_mib": found["memory_mib"] if target is None else target,
            "stats_period_s": found["stats_period_s"] if period is None else period,
        }
        largest = domain.maxMemory() // 1024
        if wanted["memory_mib"] > largest:
            module.fail_json(msg=f"memory_mib: guest {name} can have {largest} MiB at most")
        if not module.check_mode:
            live = lab.libvirt.VIR_DOMAIN_AFFECT_LIVE
            if wanted["stats_period_s"] != found["stats_period_s"]:
                domain.setMemoryStatsPeriod(wanted["stats_period_s"], live)
            if wanted["memory_mib"] != found["memory_mib"]:
                domain.setMemoryFlags(wanted["memory_mib"] * 1024, live)
            until = time.monotonic() + wait_s
            while wait_s and abs(actual_mib(domain) - wanted["memory_mib"]) > 1:
                if time.monotonic() > until:
                    module.fail_json(
                        msg=f"the balloon of {name} is at {actual_mib(domain)} MiB after "
                        f"{wait_s} s instead of {wanted['memory_mib']}: the guest uses more, "
                        "or has no driver"
                    )
                time.sleep(0.05)
        actual = actual_mib(domain)
    except lab.libvirt.libvirtError as err:
        module.fail_json(msg=f"guest {name}: {err}")
    module.exit_json(changed=found != wanted, actual_mib=actual, diff=lab.shown(found, wanted))


if __name__ == "__main__":
    main()
