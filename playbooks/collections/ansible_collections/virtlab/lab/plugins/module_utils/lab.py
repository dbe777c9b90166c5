# Copyright: virtlab maintainers
# Apache License 2.0 (see LICENSE, or https://www.apache.org/licenses/LICENSE-2.0)
"""What the modules share: the connection, the domain, the guest agent, and a difference to show."""

from __future__ import annotations

import base64
import json
import os
import shlex
import subprocess
import time
from pathlib import Path

LIBVIRT_ERROR = None
try:
    import libvirt
except ImportError as err:  # told by `connect`, as a module has to
    LIBVIRT_ERROR = err
try:
    import libvirt_qemu
except ImportError:
    libvirt_qemu = None

URI_OPTION = {"uri": {"type": "str", "default": "qemu:///system"}}
# Marks domains of the lab's own making; others of the same name are left alone.
MARK = "urn:virtlab:guest:1"


def connect(module):
    """Return a connection to libvirt, or end the module with what is wrong."""
    if LIBVIRT_ERROR is not None:
        module.fail_json(
            msg=f"{LIBVIRT_ERROR}. Install python3-libvirt, or name a Python that has it in "
            "ansible_python_interpreter."
        )
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        return libvirt.open(module.params["uri"])
    except libvirt.libvirtError as err:
        module.fail_json(
            msg=f"libvirt does not answer at {module.params['uri']}: {err}. "
            "Is libvirtd running, and may you use its socket?"
        )


def find(connection, name):
    """Return a domain by its name, or None."""
    try:
        return connection.lookupByName(name)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def require(module, connection, name):
    """Return a domain that runs, or end the module; in check mode it may come up before."""
    domain = find(connection, name)
    if module.check_mode and (domain is None or not domain.isActive()):
        module.exit_json(changed=True, msg=f"guest {name} does not run yet")
    if domain is None:
        module.fail_json(msg=f"there is no guest {name}: launch it first")
    if not domain.isActive():
        module.fail_json(msg=f"guest {name} does not run: start it first")
    return domain


def is_ours(domain):
    """Tell whether the lab made a domain."""
    try:
        domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, MARK)
    except libvirt.libvirtError as err:
        if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return False
        raise
    return True


def shown(before, after):
    """Return a difference in the form that Ansible shows."""
    text = ["".join(f"{key}: {state[key]}\n" for key in sorted(state)) for state in (before, after)]
    return {"before": text[0], "after": text[1]}


def ask_agent(domain, command, arguments=None, timeout_s=5):
    """Return what the guest agent answers to one command."""
    asked = {"execute": command}
    if arguments:
        asked["arguments"] = arguments
    answer = libvirt_qemu.qemuAgentCommand(domain, json.dumps(asked), timeout_s, 0)
    return json.loads(answer)["return"]


def wait_for_agent(domain, wait_s):
    """Wait until a guest's agent answers; return the seconds, or None where it never did."""
    began = time.monotonic()
    while time.monotonic() - began < wait_s:
        try:
            ask_agent(domain, "guest-ping", timeout_s=2)
            return time.monotonic() - began
        except libvirt.libvirtError as err:
            if (
                err.get_error_code()
                not in (
                    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
                    libvirt.VIR_ERR_AGENT_UNSYNCED,
                    libvirt.VIR_ERR_OPERATION_INVALID,
                )
                or not domain.isActive()
            ):
                raise
            time.sleep(0.1)
    return None


def start_in_guest(domain, program, arguments):
    """Start a program in a guest and leave it running."""
    try:
        ask_agent(domain, "guest-exec", {"path": program, "arg": arguments})
    except libvirt.libvirtError as err:
        by_ssh(domain, err, ["setsid", "--fork", program, *arguments], wait_s=60)


def run_in_guest(domain, program, arguments, wait_s=30):
    """Run a program in a guest to its end; return its exit code, output and error output."""
    try:
        started = ask_agent(
            domain, "guest-exec", {"path": program, "arg": arguments, "capture-output": True}
        )
    except libvirt.libvirtError as err:
        return by_ssh(domain, err, [program, *arguments], wait_s)
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        state = ask_agent(domain, "guest-exec-status", {"pid": started["pid"]})
        if state["exited"]:
            texts = [
                base64.b64decode(state.get(name, "")).decode(errors="replace")
                for name in ("out-data", "err-data")
            ]
            return state.get("exitcode", -1), texts[0], texts[1]
        time.sleep(0.05)
    raise TimeoutError(f"{program} did not end within {wait_s} s in {domain.name()}")


def by_ssh(domain, refusal, words, wait_s):
    """Run a program as root in a guest whose agent does not, by what `virtlab guests` wrote.

    Without such the agent's refusal is raised again.
    """
    folder = Path(os.environ.get("VIRTLAB_STATE_DIR", "/var/lib/virtlab"))
    config = folder / "guests" / domain.name() / "ssh_config"
    if not config.exists():
        raise refusal
    command = ["ssh", "-F", str(config), "-o", "BatchMode=yes", domain.name()]
    line = shlex.join(["sudo", *words]) + " </dev/null"
    if words[0] == "setsid":  # what goes on holds no end of the connection
        line += " >/dev/null 2>&1"
    try:
        done = subprocess.run([*command, line], capture_output=True, text=True, timeout=wait_s)
    except subprocess.TimeoutExpired as err:
        raise TimeoutError(f"{words[0]} did not end within {wait_s} s in {domain.name()}") from err
    if done.returncode == 255:  # ssh itself, and no program in the guest
        raise TimeoutError(f"nobody can log in to {domain.name()}: {done.stderr.strip()}")
    return done.returncode, done.stdout, done.stderr
