"""How much sooner micro-guests are ready than as many Debian guests with systemd and cloud-init.

Both have 512 MiB and a vCPU each, are started one after the other, and count as ready when the
last one's agent answers. The micro-guests are brought up as a user does it, by a playbook, whose
tasks in between count; the Debian guests by nothing but calls to libvirtd. Wants a host (`virtlab
host up`) on which no guests of the lab are.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import guests
from benchmarks.cloud_image import CloudImage, cloud_image
from benchmarks.figure import Figure
from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.agent import Agent
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.launch import accelerator_here
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.procedures.agent import AGENT_COMMAND
from virtlab.libvirt_rpc.values import DomainHandle

SIZES = (1, 4)
MEMORY_MIB = 512
DEADLINE_S = 300.0
POLL_S = 0.2
FINISHED = "test -e /var/lib/cloud/instance/boot-finished"
PING = json.dumps({"execute": "guest-ping"})
DESCRIPTION = """
<domain type='{accelerator}'>
  <name>{name}</name>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{image.kernel}</kernel>
    <initrd>{image.initrd}</initrd>
    <cmdline>console=ttyS0 quiet no_timer_check root=/dev/vda rw net.ifnames=0</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <serial type='file'><source path='{disk}.log'/></serial>
    <controller type='usb' model='none'/>
    <disk type='file'>
      <driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def ratio() -> list[Figure]:
    """Time both kinds of guests, and divide."""
    name = "cloud guests against micro-guests"
    try:
        image = cloud_image()
    except EnvironmentLackError as err:
        return [Figure(name, None, "x", note=str(err).replace("\n", ";"))]
    if (lack := guests.lack()) is not None:
        return [Figure(name, None, "x", note=lack)]
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for count in SIZES:
            micro_s, _ = guests.round_of(Path(folder), count)
            try:
                agents_s, finished_s = _cloud(image, count)
            except TimeoutError as err:
                figures.append(Figure(f"{name}, {count}", None, "x", note=str(err)))
                continue
            note = f"{agents_s:.1f} s against {micro_s:.1f} s, agents"
            figures.append(
                Figure(f"{name}, {count}", agents_s / micro_s, "x", more_is_better=True, note=note)
            )
            note = "seconds to the end of cloud-init"
            figures.append(Figure(f"cloud guests finished, {count}", finished_s, "s", note=note))
    return figures


def _cloud(image: CloudImage, count: int) -> tuple[float, float]:
    """Return the seconds until all agents answer, and until cloud-init has ended everywhere."""
    with _disks(image, count) as disks, HostConnection() as connection:
        made: list[DomainHandle] = []
        began = time.monotonic()
        try:
            for number, disk in enumerate(disks, 1):
                text = DESCRIPTION.format(
                    accelerator=accelerator_here(), name=f"bench_cloud{number}",
                    memory_mib=MEMORY_MIB, image=image, disk=disk,
                )  # fmt: skip
                made.append(DomainHandle(*connection.call("DOMAIN_CREATE_XML", text, 0).dom))
            for dom in made:
                _until(began, lambda dom=dom: _answers(connection, dom))
            agents_s = time.monotonic() - began
            for dom in made:
                _until(began, lambda dom=dom: _finished(connection, dom))
            return agents_s, time.monotonic() - began
        finally:
            with HostConnection() as fresh:  # the other may wait for an answer, after Ctrl-C
                for dom in made:
                    fresh.call("DOMAIN_DESTROY", dom)


@contextmanager
def _disks(image: CloudImage, count: int) -> Iterator[list[Path]]:
    """Give a disk for each guest, backed by the image, where QEMU's user can reach them."""
    with tempfile.TemporaryDirectory(dir=image.disk.parent.parent, prefix="disks-") as folder:
        Path(folder).chmod(0o755)
        disks = [Path(folder) / f"{number}.qcow2" for number in range(count)]
        for disk in disks:
            backing = ("-b", str(image.disk), "-F", "qcow2")
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, disk], check=True)
        yield disks


def _answers(connection: HostConnection, dom: DomainHandle) -> bool:
    try:
        connection.request(AGENT_COMMAND, dom, PING, 2, 0)
    except LibvirtError:
        return False
    return True


def _finished(connection: HostConnection, dom: DomainHandle) -> bool:
    try:
        Agent(connection, dom).run("/bin/sh", ["-c", FINISHED], 30.0)
    except (LibvirtError, EnvironmentLackError):
        return False
    return True


def _until(began: float, there: Callable[[], bool]) -> None:
    while not there():
        if time.monotonic() - began > DEADLINE_S:
            raise TimeoutError(f"not ready after {DEADLINE_S:g} s")
        time.sleep(POLL_S)
