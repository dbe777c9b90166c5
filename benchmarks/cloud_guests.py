"""How much sooner micro-guests are ready than as many Debian guests with systemd and cloud-init.

Both have 512 MiB and a vCPU each, are started one after the other, and count as ready when the
last one's agent answers. The micro-guests are brought up as a user does it, by a playbook, whose
tasks in between count; the Debian guests as `virtlab guests create` makes them, whose image is
there already. Wants a host (`virtlab host up`) on which no guests of the lab are.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from benchmarks import guests
from benchmarks.figure import Figure
from virtlab.errors import VirtlabError
from virtlab.guests.debian_image import debian_image
from virtlab.guests.definition import Wanted
from virtlab.guests.host import GuestHost, guest_host
from virtlab.guests.keys import login_key
from virtlab.guests.making import CloudImage, Order, create
from virtlab.guests.places import POOL, image_of, pool_of
from virtlab.guests.ready import wait_until_ready
from virtlab.guests.removal import remove_named
from virtlab.hosts.real.launch import accelerator_here
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.procedures.agent import AGENT_COMMAND

SIZES = (1, 4)
MEMORY_KIB = 512 * 1024
DEADLINE_S = 200.0  # of all agents together; all of it is to fit into eight minutes
STAGE_S = 100.0  # of a guest whose agent answers already
POLL_S = 0.2
PING = json.dumps({"execute": "guest-ping"})


def ratio() -> list[Figure]:
    """Time both kinds of guests, and divide."""
    name = "cloud guests against micro-guests"
    try:
        image = debian_image().disk
        lack = guests.lack()
    except VirtlabError as err:
        lack = str(err).replace("\n", ";")
    if lack is not None:
        return [Figure(name, None, "x", note=lack)]
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for count in SIZES:
            micro_s, _ = guests.round_of(Path(folder), count)
            try:
                agents_s, ready_s = _cloud(image, count)
            except (TimeoutError, VirtlabError) as err:
                note = str(err).splitlines()[0]
                figures.append(Figure(f"{name}, {count}", None, "x", note=note))
                continue
            note = f"{agents_s:.1f} s against {micro_s:.1f} s, agents"
            figures.append(
                Figure(f"{name}, {count}", agents_s / micro_s, "x", more_is_better=True, note=note)
            )
            note = "logged in to, and through with cloud-init"
            figures.append(Figure(f"cloud guests ready, {count}", ready_s, "s", note=note))
    return figures


def _cloud(image: Path, count: int) -> tuple[float, float]:
    """Return the seconds until all agents answer, and until all are ready to log in to."""
    names = [f"bench_cloud{number}" for number in range(1, count + 1)]
    key = login_key()
    runs_on: Literal["kvm", "qemu"] = "kvm" if accelerator_here() == "kvm" else "qemu"
    with guest_host() as host:
        kept = CloudImage(image_of(pool_of(host.connection, POOL), image), POOL)
        try:
            began = time.monotonic()
            for name in names:
                wanted = Wanted(name, MEMORY_KIB, MEMORY_KIB, accelerator=runs_on)
                create(host, Order(wanted, "cloud", kept, key))
            for name in names:
                _until(began, lambda name=name: _answers(host, name))
            agents_s = time.monotonic() - began
            for name in names:
                wait_until_ready(host, name, limit_s=STAGE_S)
            return agents_s, time.monotonic() - began
        finally:
            with guest_host() as fresh:  # the other may wait for an answer, after Ctrl-C
                for name in names:
                    remove_named(fresh, name)


def _answers(host: GuestHost, name: str) -> bool:
    guest = host.find(name)
    if guest is None or not guest.running:
        raise TimeoutError(f"{name} does not run any more")
    try:
        host.connection.request(AGENT_COMMAND, guest.dom, PING, 2, 0)
    except LibvirtError:
        return False
    return True


def _until(began: float, there: Callable[[], bool]) -> None:
    while not there():
        if time.monotonic() - began > DEADLINE_S:
            raise TimeoutError(f"no agent answers after {DEADLINE_S:g} s")
        time.sleep(POLL_S)
