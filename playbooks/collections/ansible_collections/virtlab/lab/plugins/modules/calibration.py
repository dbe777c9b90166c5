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
  - Runs the micro-guest's calibration in a guest, which should be alone on its pCPU.
  - Work is counted in iterations, since an emulated guest sees no steal.
options:
  name:
    description: Name of a guest that runs.
    type: str
    required: true
  seconds:
    description: How long to measure; of many short slices the fastest count.
    type: float
    default: 1.0
  uri:
    description: URI of the libvirt connection.
    type: str
    default: qemu:///system
attributes:
  check_mode:
    description: It changes nothing in either case.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
author:
  - virtlab maintainers (@virtlab)
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

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.virtlab.lab.plugins.module_utils import lab


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "seconds": {"type": "float", "default": 1.0},
            **lab.URI_OPTION,
        },
        supports_check_mode=True,
    )
    connection = lab.connect(module)
    try:
        domain = lab.require(module, connection, module.params["name"])
        words = ["calibrate", "--seconds", str(module.params["seconds"])]
        code, text, error = lab.run_in_guest(domain, "/bin/workload", words, wait_s=60)
    except (lab.libvirt.libvirtError, TimeoutError) as err:
        module.fail_json(msg=f"guest {module.params['name']}: {err}")
    if code != 0:
        module.fail_json(msg=f"the calibration failed with {code}: {error.strip()}")
    module.exit_json(changed=False, iterations_per_s=json.loads(text)["iterations_per_s"])


if __name__ == "__main__":
    main()
