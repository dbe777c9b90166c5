#!/usr/bin/python
# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""The pCPUs that the vCPUs of a running guest are bound to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vcpu_pins
short_description: The pCPUs that the vCPUs of a running guest are bound to
version_added: "0.1.0"
description:
  - Sets the affinity of each vCPU of a running guest, as C(virsh vcpupin --live) does.
options:
  name:
    description: Name of the guest.
    type: str
    required: true
  pins:
    description:
      - One entry a vCPU, each a list of pCPUs; an empty list binds it to none, so that it may
        run on all of them.
    type: list
    elements: list
    required: true
extends_documentation_fragment:
  - virtlab.lab.host
  - virtlab.lab.host.changes
"""

EXAMPLES = r"""
- name: Two vCPUs, the first bound to pCPU 0, the second to none
  virtlab.lab.vcpu_pins:
    name: aos_vm1
    pins: [[0], []]
"""

RETURN = r"""
pins:
  description: The pCPUs of each vCPU.
  returned: success
  type: list
  sample: [[0], [0, 1, 2, 3]]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.virtlab.lab.plugins.module_utils import lab


def pcpus_of(module, connection, asked, pcpus):
    """Return the pCPUs that one entry means, in order."""
    try:
        chosen = sorted({int(pcpu) for pcpu in asked})
    except (TypeError, ValueError):
        module.fail_json(msg=f"pins: {asked} is no list of pCPU numbers")
    if not chosen:
        return list(range(pcpus))
    if chosen[0] < 0 or chosen[-1] >= pcpus:
        host = connection.getHostname()
        module.fail_json(msg=f"pins: {asked}: host {host} has the pCPUs 0-{pcpus - 1}")
    return chosen


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "pins": {"type": "list", "elements": "list", "required": True},
            **lab.URI_OPTION,
        },
        supports_check_mode=True,
    )
    connection = lab.connect(module)
    name, pins = module.params["name"], module.params["pins"]
    try:
        domain = lab.require(module, connection, name)
        pcpus = connection.getCPUMap(0)[0]
        wanted = [pcpus_of(module, connection, asked, pcpus) for asked in pins]
        maps = domain.vcpuPinInfo(lab.libvirt.VIR_DOMAIN_AFFECT_LIVE)
        if len(maps) != len(wanted):
            module.fail_json(
                msg=f"guest {name} has {len(maps)} vCPUs, and there are {len(wanted)} pins"
            )
        found = [[pcpu for pcpu, on in enumerate(bits[:pcpus]) if on] for bits in maps]
        if not module.check_mode:
            for vcpu, (now, then) in enumerate(zip(found, wanted, strict=True)):
                if now != then:
                    bits = tuple(pcpu in then for pcpu in range(pcpus))
                    domain.pinVcpuFlags(vcpu, bits, lab.libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except lab.libvirt.libvirtError as err:
        module.fail_json(msg=f"guest {name}: {err}")
    states = [{f"vcpu {i}": pcpus for i, pcpus in enumerate(side)} for side in (found, wanted)]
    module.exit_json(changed=found != wanted, pins=wanted, diff=lab.shown(*states))


if __name__ == "__main__":
    main()
