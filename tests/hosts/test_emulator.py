"""Clients bind QEMU's own threads, and see what they ran and where."""

from __future__ import annotations

from typing import Any

import pytest

from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.driver.events import Subscriptions
from virtlab.hosts.simulated.driver.state import handle_of
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.model.scenario import StartGuest, StartWorkload, StopGuest
from virtlab.model.units import NS_PER_S, ms
from virtlab.model.workload import Duty
from virtlab.simulator.host import SimulatedHost

_LIVE, _CONFIG = 1, 2


class _Lab:
    """One guest whose vCPU is busy on pCPU 0 of four, and whose emulator wants a tenth of that."""

    def __init__(self, build: Any) -> None:
        guest = build.guest(
            "g", affinity=((0,),), emulator_share=0.1, emulator_affinity=(1, 2), idle_noise_max=0.0
        )
        load = StartWorkload(0, "g", Duty(1.0, ms(0.5)))
        self.host = SimulatedHost(build.scenario(guest, events=(load,), pcpus=4))
        self.guest = self.host.guests["g"]
        self.dom = handle_of(self.guest)
        self.handlers = SimulatedDriver(self.host).handlers_for(Subscriptions())

    def emulator_shares(self) -> list[float]:
        """Return what the emulator uses of each pCPU in the next ten seconds, as clients see it."""
        before = self._emulator_ns()
        self.host.advance(self.host.now_ns + 10 * NS_PER_S)
        after = self._emulator_ns()
        return [(b - a) / (10 * NS_PER_S) for a, b in zip(before, after, strict=True)]

    def _emulator_ns(self) -> list[int]:
        found, per_cpu = self.handlers["DOMAIN_GET_CPU_STATS"](self.dom, 2, 0, 4, 0)
        values = [field.value for field in found]
        assert per_cpu == 2
        return [all_ns - vcpu_ns for all_ns, vcpu_ns in zip(values[::2], values[1::2], strict=True)]


def test_a_client_that_binds_the_emulator_moves_its_load(build: Any) -> None:
    lab = _Lab(build)
    first = lab.emulator_shares()
    assert first[0] == first[3] == 0.0
    assert sum(first) == pytest.approx(0.1, abs=0.01)

    lab.handlers["DOMAIN_PIN_EMULATOR"](lab.dom, b"\x08", _LIVE)

    assert lab.emulator_shares() == pytest.approx([0.0, 0.0, 0.0, 0.1], abs=0.01)


def test_a_stored_affinity_of_the_emulator_holds_from_the_next_start_on(build: Any) -> None:
    lab = _Lab(build)
    lab.handlers["DOMAIN_PIN_EMULATOR"](lab.dom, b"\x01", _CONFIG)
    assert sum(lab.emulator_shares()[1:3]) == pytest.approx(0.1, abs=0.01)

    lab.handlers["DOMAIN_DESTROY"](lab.dom)
    lab.handlers["DOMAIN_CREATE"](lab.dom)
    lab.host.scheduler.set_load(lab.guest.vcpus[0], 0.5, period_ns=ms(0.5))
    lab.guest.loads_changed()

    assert lab.emulator_shares() == pytest.approx([0.05, 0.0, 0.0, 0.0], abs=0.01)
    (xml,) = lab.handlers["DOMAIN_GET_XML_DESC"](lab.dom, 0)
    assert "<emulatorpin cpuset='0'/>" in xml.replace('"', "'")


def test_a_quota_of_the_emulator_is_kept_where_it_runs(build: Any) -> None:
    lab = _Lab(build)
    lab.guest.tune({"emulator_quota": 4_000})

    assert sum(lab.emulator_shares()) == pytest.approx(0.04, abs=1e-3)


_TUNED = (
    "<domain type='kvm'><name>g</name><uuid>{}</uuid><memory>524288</memory><cputune>{}</cputune>"
    "<os><type>hvm</type></os></domain>"
)


@pytest.mark.parametrize(
    ("tune", "thread"),
    [
        ("<emulatorpin cpuset='900'/>", "emulator"),
        ("<emulatorpin cpuset='0,900'/>", "emulator"),
        ("<vcpupin vcpu='0' cpuset='1,4'/>", "vcpu0"),
    ],
)
def test_a_domain_with_a_mask_beyond_the_host_does_not_start(
    build: Any, tune: str, thread: str
) -> None:
    lab = _Lab(build)
    lab.handlers["DOMAIN_DESTROY"](lab.dom)
    lab.handlers["DOMAIN_DEFINE_XML"](_TUNED.format(lab.dom.uuid.hex(), tune))

    with pytest.raises(LibvirtError) as caught:
        lab.handlers["DOMAIN_CREATE"](lab.dom)

    error = caught.value
    file = f"/cpuset/machine/qemu-2-g.libvirt-qemu/{thread}/cpuset.cpus"
    assert (error.code, error.domain, error.int1) == (38, 54, 34)
    assert error.message == (
        f"Unable to write to '/sys/fs/cgroup{file}': Numerical result out of range"
    )
    assert lab.guest.id == -1


def test_a_scenario_starts_such_a_domain_on_the_pcpus_that_there_are(build: Any) -> None:
    guest = build.guest("g", emulator_share=0.1)
    events = (StopGuest(NS_PER_S, "g"), StartGuest(20 * NS_PER_S, "g"))
    host = SimulatedHost(build.scenario(guest, events=events, pcpus=4))
    handlers = SimulatedDriver(host).handlers_for(Subscriptions())
    tune = "<emulatorpin cpuset='900'/><vcpupin vcpu='0' cpuset='2,900'/>"
    handlers["DOMAIN_DEFINE_XML"](_TUNED.format(host.guests["g"].uuid.hex(), tune))

    host.advance(25 * NS_PER_S)

    started = host.guests["g"]
    assert started.id > 0
    assert started.vcpus[0].mask == {2}
    assert started.emulator is not None
    assert started.emulator.mask == {0, 1, 2, 3}
