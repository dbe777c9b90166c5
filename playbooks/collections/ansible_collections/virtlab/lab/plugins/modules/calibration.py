#!/usr/bin/python
# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""How many iterations of a load one whole pCPU does in a second."""

from __future__ import annotations

DOCUMENTATION = r"""
module: calibration
short_description: How many iterations of a load one whole pCPU does in a second
version_added: "0.1.0"
description:
  - Runs two batches of known size in a guest, and reads from the host how much processor time more
    the guest's vCPU took for the larger one. What else runs on the host matters little then, as
    processor time counts only while the vCPU runs.
  - Work is counted in iterations, since an emulated guest sees no steal. For the same reason the
    guest's own clock does not do; beside two busy loops on two pCPUs it was seen to be off by
    half and more, and the host's count by 10 %.
options:
  name:
    description: Name of a guest that runs and idles.
    type: str
    required: true
  seconds:
    description:
      - About how much processor time to measure. The host counts it in steps of 10 ms, so that 2 s
        are exact to 1 % at worst.
    type: float
    default: 2.0
extends_documentation_fragment:
  - virtlab.lab.host
  - virtlab.lab.host.looks
"""

EXAMPLES = r"""
- name: Calibrate the loads
  virtlab.lab.calibration:
    name: aos_vm1
  register: calibrated
"""

RETURN = r"""
iterations_per_s:
  description: Iterations of one whole pCPU in a second.
  returned: success
  type: float
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.virtlab.lab.plugins.module_utils import lab

_SMALL = 20_000_000  # iterations; a fraction of a second everywhere
_PROGRAM = "/bin/workload"


def vcpu_s(domain):
    """Return the processor time that the guest's first vCPU took until now, in seconds."""
    stats = lab.libvirt.VIR_DOMAIN_STATS_VCPU
    found = domain.connect().domainListGetStats([domain], stats)[0][1]
    return found["vcpu.0.time"] / 1e9


def cost_s(domain, iterations, wait_s=120):
    """Return the processor time that a batch takes in a guest, with all that it brings along."""
    before = vcpu_s(domain)
    words = ["batch", "--work-s", "1", "--rate", str(iterations), "--vcpu", "0"]
    code, _, error = lab.run_in_guest(domain, _PROGRAM, words, wait_s)
    if code != 0:
        raise RuntimeError(f"the batch failed with {code}: {error.strip()}")
    return vcpu_s(domain) - before


def iterations_per_s(domain, seconds):
    """Return the iterations of a second of processor time, by the difference of two batches."""
    small = _SMALL
    while (first := cost_s(domain, small)) < seconds / 5:
        small *= 4
    large = small + int(small * seconds / first)
    return (large - small) / (cost_s(domain, large) - first)


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "seconds": {"type": "float", "default": 2.0},
            **lab.URI_OPTION,
        },
        supports_check_mode=True,
    )
    if module.params["seconds"] < 0.1:
        module.fail_json(msg="seconds: give 0.1 at least, as the host counts in steps of 10 ms")
    connection = lab.connect(module)
    try:
        domain = lab.require(module, connection, module.params["name"])
        rate = iterations_per_s(domain, module.params["seconds"])
    except (lab.libvirt.libvirtError, RuntimeError, TimeoutError) as err:
        module.fail_json(msg=f"guest {module.params['name']}: {err}")
    module.exit_json(changed=False, iterations_per_s=rate)


if __name__ == "__main__":
    main()
