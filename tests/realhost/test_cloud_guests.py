"""A Debian guest with cloud-init, emulated: made, waited for, entered, loaded and removed.

Minutes, so it runs by `make cloud-guest` alone, on a copy of the machine that is thrown away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not os.environ.get("VIRTLAB_CLOUD_GUEST"), reason="takes minutes: make cloud-guest runs it"
)

VIRTLAB = Path(sys.executable).with_name("virtlab")
NAME = "lab_cloud"
IMAGE = ("--image", "debian")


def virtlab(*words: str, code: int = 0) -> str:
    done = subprocess.run([VIRTLAB, *words], capture_output=True, text=True, timeout=1200)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def virsh(*words: str) -> str:
    command = ["virsh", "--quiet", "--connect", "qemu:///system", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_from_an_image_to_a_guest_that_does_work_and_away_again() -> None:
    virtlab("host", "up", "--accelerator", "qemu")
    sizes = ("--memory", "384", "--max-memory", "512")
    try:
        made = json.loads(virtlab("guests", "create", NAME, *IMAGE, *sizes, "--workload", "--json"))
        assert made["made"] == [NAME]
        ready = made["ready"][0]
        print(f"\nready after, in seconds: {ready['stages_s']}")
        assert list(ready["stages_s"]) == [
            "running", "lease", "ssh", "login", "cloud-init", "workload",
        ]  # fmt: skip
        assert (ready["login"], ready["agent"], ready["complaints"]) == ("lab", True, [])

        # The host key that it was given, the name, and root by sudo.
        said = virtlab(
            "guests", "ssh", NAME, "hostname; sudo id -u; free -m | awk '/Mem/ {print $2}'"
        )
        name, root, memory_mib = said.split()
        assert (name, root) == ("lab-cloud", "0")
        assert int(memory_mib) < 384  # its balloon went to where it was told
        load = "/bin/workload batch --work-s 1 --rate 1000000 --vcpu 0"
        assert json.loads(virtlab("guests", "ssh", NAME, load))["state"] == "done"

        again = json.loads(virtlab("guests", "create", NAME, *IMAGE, *sizes, "--json"))
        assert (again["made"], again["kept"]) == ([], [NAME])
        other = virtlab("guests", "create", NAME, *IMAGE, "--memory", "600", code=4)
        assert "another one than asked for" in other
        assert "autodeflate='off'" in virsh("dumpxml", "--inactive", NAME)
    finally:
        removed = json.loads(virtlab("guests", "destroy", NAME, "--json"))["removed"]
    assert removed == [NAME]
    pool = Path("/var/lib/virtlab/pool")
    assert virsh("net-list", "--name").split() == []  # it was down before, as on any new host
    assert [path.name for path in pool.iterdir() if NAME in path.name] == []
    assert json.loads(virtlab("guests", "list", "--json"))["guests"] == []


def test_a_guest_that_is_interrupted_on_its_way_is_taken_up_again() -> None:
    virtlab("host", "up", "--accelerator", "qemu")
    try:
        virtlab("guests", "create", NAME, *IMAGE, "--no-wait")
        late = virtlab("guests", "wait", NAME, "--timeout", "1", code=4)
        assert "stopped at stage 'lease' after 1 s: it has no address yet" in late
        subprocess.run(["virsh", "--connect", "qemu:///system", "destroy", NAME], check=True)
        gone = virtlab("guests", "wait", NAME, code=4)
        assert "stopped at stage 'running' after 0 s: it does not run" in gone

        again = json.loads(virtlab("guests", "create", NAME, *IMAGE, "--no-wait", "--json"))

        assert again["made"] == [NAME]  # started, as it was off
        assert json.loads(virtlab("guests", "list", "--json"))["guests"][0]["running"]
    finally:
        virtlab("host", "clean")
    assert json.loads(virtlab("guests", "list", "--json"))["guests"] == []
