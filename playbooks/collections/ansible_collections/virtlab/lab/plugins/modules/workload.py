#!/usr/bin/python
# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""A load that runs inside of a guest."""

from __future__ import annotations

DOCUMENTATION = r"""
module: workload
short_description: A load that runs inside of a guest
version_added: "0.1.0"
description:
  - Starts and stops the micro-guest's loads through the guest agent. They mean what they mean in a
    scenario file.
  - What runs is read from the guest itself, so that running again changes nothing.
options:
  name:
    description: Name of the guest.
    type: str
    required: true
  slot:
    description: Name of the load in its guest; a new one in the same slot replaces the old.
    type: str
    default: main
  state:
    description: V(running) starts it where it does not run, V(stopped) ends it.
    type: str
    choices: [running, stopped]
    default: running
  load:
    description:
      - "C({duty, period_ms}), C({work_s}) or C({rate_mib_s, until_mib, hold_s, then}), as in a
        scenario file. Memory without until_mib grows until the guest's own out-of-memory killer
        ends it."
    type: dict
  vcpus:
    description: The vCPUs that a duty or a batch runs on, each a process of its own.
    type: list
    elements: int
    default: [0]
  iterations_per_s:
    description: What one whole pCPU does in a second, from M(virtlab.lab.calibration).
    type: float
extends_documentation_fragment:
  - virtlab.lab.host
  - virtlab.lab.host.changes
"""

EXAMPLES = r"""
- name: A fifth of a pCPU on each of two vCPUs
  virtlab.lab.workload:
    name: aos_vm1
    load: {duty: 0.2, period_ms: 5}
    vcpus: [0, 1]
    iterations_per_s: 700000000

- name: Nothing any more
  virtlab.lab.workload:
    name: aos_vm1
    state: stopped
"""

RETURN = r"""
processes:
  description: The command lines of the slot's processes that should run now.
  returned: success
  type: list
reports:
  description: What the processes that ran before achieved, by their own reports.
  returned: success
  type: list
"""

import json
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.virtlab.lab.plugins.module_utils import lab

_PROGRAM = "/bin/workload"
_LIST = r"""for p in $(pidof workload); do echo "$p $(tr '\0' ' ' </proc/$p/cmdline)"; done"""
_KINDS = {
    "duty": {"duty", "period_ms"},
    "work_s": {"work_s"},
    "rate_mib_s": {"rate_mib_s", "until_mib", "until", "hold_s", "then"},
}


def report_path(slot, vcpu):
    """Return where a process of a slot reports, in the guest; it names the process, too."""
    return f"/run/workload/{slot}.{vcpu}"


def arguments_of(module):
    """Return the arguments of each process that a load means."""
    load, rate = module.params["load"], module.params["iterations_per_s"]
    kind = next((key for key in _KINDS if key in load), None)
    unknown = set(load) - _KINDS.get(kind, set())
    if kind is None or unknown:
        module.fail_json(
            msg=f"load: {sorted(unknown) or 'nothing'} is not known; give duty (and period_ms), "
            "work_s, or rate_mib_s (and until_mib, hold_s, then)"
        )
    if kind == "rate_mib_s":
        words = ["memory", "--mib-s", str(load["rate_mib_s"])]
        if load.get("until_mib"):
            words += ["--until-mib", str(load["until_mib"])]
        words += ["--hold-s", str(load.get("hold_s") or 0)]
        words += ["--keep"] if load.get("then") == "keep" else []
        return [[*words, "--report", report_path(module.params["slot"], "memory")]]
    if not rate:
        module.fail_json(msg="iterations_per_s is needed: find it with virtlab.lab.calibration")
    if kind == "duty":
        words = ["duty", "--duty", str(load["duty"])]
        words += ["--period-ms", str(load.get("period_ms") or 0.5)]
    else:
        words = ["batch", "--work-s", str(load["work_s"])]
    return [
        [*words, "--rate", f"{rate:.0f}", "--vcpu", str(vcpu),
         "--report", report_path(module.params["slot"], vcpu)]
        for vcpu in module.params["vcpus"]
    ]  # fmt: skip


def running_in(domain, slot):
    """Return the command lines of a slot's processes, by their numbers in the guest."""
    _, text, _ = lab.run_in_guest(domain, "/bin/sh", ["-c", _LIST])
    mine = re.compile(rf" --report {re.escape(report_path(slot, ''))}\w+ *$")
    found = [line.split(" ", 1) for line in text.splitlines() if mine.search(line)]
    return {int(number): words.strip() for number, words in found}


def reports_of(domain, slot):
    """Return what a slot's processes reported last."""
    _, text, _ = lab.run_in_guest(
        domain, "/bin/sh", ["-c", f"cat {report_path(slot, '')}* 2>/dev/null"]
    )
    return [json.loads(line) for line in text.splitlines()]


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "slot": {"type": "str", "default": "main"},
            "state": {"type": "str", "choices": ["running", "stopped"], "default": "running"},
            "load": {"type": "dict"},
            "vcpus": {"type": "list", "elements": "int", "default": [0]},
            "iterations_per_s": {"type": "float"},
            **lab.URI_OPTION,
        },
        required_if=[("state", "running", ("load",))],
        supports_check_mode=True,
    )
    connection = lab.connect(module)
    name, slot = module.params["name"], module.params["slot"]
    if not re.fullmatch(r"[a-z0-9-]+", slot):
        module.fail_json(msg=f"slot: {slot} may have a-z, 0-9 and - only")
    reports = []
    try:
        domain = lab.require(module, connection, name)
        wanted = arguments_of(module) if module.params["state"] == "running" else []
        lines = sorted(" ".join([_PROGRAM, *words]) for words in wanted)
        found = running_in(domain, slot)
        changed = sorted(found.values()) != lines
        if changed and not module.check_mode:
            if found:
                numbers = [str(number) for number in found]
                lab.run_in_guest(domain, "/bin/kill", numbers)
                reports = reports_of(domain, slot)
            for words in wanted:
                lab.start_in_guest(domain, _PROGRAM, words)
    except lab.libvirt.libvirtError as err:
        module.fail_json(msg=f"guest {name}: {err}")
    except TimeoutError as err:
        module.fail_json(msg=str(err))
    states = [
        {f"{i}": line for i, line in enumerate(side)} for side in (sorted(found.values()), lines)
    ]
    module.exit_json(changed=changed, processes=lines, reports=reports, diff=lab.shown(*states))


if __name__ == "__main__":
    main()
