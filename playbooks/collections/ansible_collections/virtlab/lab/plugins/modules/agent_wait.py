#!/usr/bin/python
# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""Wait until the agents of guests answer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: agent_wait
short_description: Wait until the agents of guests answer
version_added: "0.1.0"
description:
  - Asks the guest agents of several guests in turn until each has answered.
options:
  names:
    description: Names of the guests.
    type: list
    elements: str
    required: true
  timeout_s:
    description: How long all of them together may take.
    type: int
    default: 120
extends_documentation_fragment:
  - virtlab.lab.host
  - virtlab.lab.host.looks
"""

EXAMPLES = r"""
- name: Both are up
  virtlab.lab.agent_wait:
    names: [aos_vm1, aos_vm2]
"""

RETURN = r"""
ready_s:
  description: The seconds after which each answered, by name.
  returned: success
  type: dict
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.virtlab.lab.plugins.module_utils import lab


def main():
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "timeout_s": {"type": "int", "default": 120},
            **lab.URI_OPTION,
        },
        supports_check_mode=True,
    )
    names, timeout_s = module.params["names"], module.params["timeout_s"]
    if module.check_mode:
        module.exit_json(changed=False, ready_s={})
    connection = lab.connect(module)
    began, ready = time.monotonic(), {}
    for name in names:
        left_s = max(began + timeout_s - time.monotonic(), 0.0)
        try:
            answered = lab.wait_for_agent(lab.require(module, connection, name), left_s)
        except lab.libvirt.libvirtError as err:
            module.fail_json(msg=f"guest {name}: {err}")
        if answered is None:
            late = [other for other in names if other not in ready]
            module.fail_json(
                msg=f"after {timeout_s} s no agent answers in {', '.join(late)}; "
                "look at their serial logs",
                ready_s=ready,
            )
        ready[name] = round(time.monotonic() - began, 2)
    module.exit_json(changed=False, ready_s=ready)


if __name__ == "__main__":
    main()
