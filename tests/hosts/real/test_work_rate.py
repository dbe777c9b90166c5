"""A loop in a guest is held to what it is to cost, whatever its guest costs beside its work."""

import base64
import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtlab.hosts.real.link import HostLink
from virtlab.hosts.real.loads import AgentLoads, GuestEnd
from virtlab.hosts.real.work_rate import WorkRate
from virtlab.libvirt_rpc.client import Answer
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.units import NS_PER_MS, NS_PER_S
from virtlab.model.workload import Duty, MemoryGrowth, Workload

CALIBRATED = 1e9
DOM = DomainHandle("web", bytes(16), 1)


def rate_of(share: float, iterations_per_s: float, seconds: int) -> float | None:
    """Return the rate of a load whose vCPU runs a share of the time, seen once a second."""
    work = WorkRate(CALIBRATED)
    for at_s in range(1, seconds + 1):
        work.reported(at_s, iterations_per_s * at_s)
        work.ran(at_s * NS_PER_S, round(share * at_s * NS_PER_S))
    return work.now()


@given(share=st.floats(0.15, 1.0), waits=st.floats(0.0, 0.5), cost=st.floats(0.6, 1.7))
def test_waiting_changes_no_rate_and_costs_do(share: float, waits: float, cost: float) -> None:
    runs = share * (1 - waits)  # contention stretches rounds: there are fewer of them

    rate = rate_of(runs, CALIBRATED * runs / cost, 6)

    assert rate == pytest.approx(CALIBRATED / cost)


def test_a_rate_is_not_told_before_it_can_be_known_nor_where_other_work_is_in_it() -> None:
    assert rate_of(0.2, CALIBRATED * 0.2, 2) is None  # run times come in steps of 10 ms
    assert rate_of(0.01, CALIBRATED * 0.01, 8) is None
    assert rate_of(0.9, CALIBRATED * 0.2, 8) is None


def test_old_seconds_are_forgotten() -> None:
    work = WorkRate(CALIBRATED)
    for at_s in range(60):
        work.reported(at_s, CALIBRATED * 0.2 * at_s)
        work.ran(at_s * NS_PER_S, round((0.2 * at_s + 0.05 * max(at_s - 30, 0)) * NS_PER_S))

    assert work.now() == pytest.approx(CALIBRATED * 0.2 / 0.25)


class LoopingGuest:
    """A guest in place of its link: its agent answers, and its loop costs more than its work."""

    def __init__(self, overhead_s: float) -> None:
        self.overhead_s = overhead_s  # of each round
        self.rate = 0.0
        self.words: list[str] = []
        self.now_s = 0
        self.run_s = self.iterations = 0.0
        self.files: dict[str, str] = {}
        self._opened: list[str] = []

    def ask(self, _what: object, *args: Any, then: Callable[[Answer], None]) -> None:
        asked = json.loads(args[1])
        found = getattr(self, asked["execute"].replace("-", "_"))(**asked.get("arguments", {}))
        then(Answer(0, 0, type("Found", (), {"result": json.dumps({"return": found})}), None))

    def second(self) -> None:
        """Let a second pass in which nothing makes it wait."""
        duty, period_s = float(self.option("--duty")), float(self.option("--period-ms")) / 1e3
        if told := self.files.get(self.option("--report") + ".rate"):
            self.rate = float(told)
        round_s = duty * period_s * self.rate / CALIBRATED + self.overhead_s
        rounds = 1 / (round_s + (1 - duty) * period_s)
        self.now_s += 1
        self.run_s += rounds * round_s
        self.iterations += rounds * duty * period_s * self.rate
        done = {
            "state": "running",
            "elapsed_s": self.now_s,
            "work_s": self.iterations / float(self.option("--rate")),
        }
        self.files[self.option("--report")] = json.dumps(done)

    def option(self, name: str) -> str:
        return self.words[self.words.index(name) + 1]

    def guest_exec(self, path: str, arg: list[str]) -> object:
        if "duty" in arg:
            self.words, self.rate = arg, float(arg[arg.index("--rate") + 1])
        return {"pid": 7}

    def guest_exec_status(self, pid: int) -> object:
        return {"exited": False}

    def guest_file_open(self, path: str, mode: str) -> object:
        self._opened.append(path)
        return len(self._opened) - 1

    def guest_file_read(self, handle: int, count: int) -> object:
        text = self.files.get(self._opened[handle], "")
        return {"buf-b64": base64.b64encode(text.encode()).decode()}

    def guest_file_write(self, **asked: Any) -> object:
        self.files[self._opened[asked["handle"]]] = base64.b64decode(asked["buf-b64"]).decode()
        return {}

    def guest_file_close(self, handle: int) -> object:
        return {}


def costs_in_the_end(loads: list[Workload], *, follow: bool) -> float:
    """Return the share of a pCPU that a guest takes after some seconds with some loads."""
    guest = LoopingGuest(overhead_s=0.0005)
    ends = {"web": GuestEnd(DOM, cast(HostLink, guest))}
    player = AgentLoads(ends, CALIBRATED, lambda _kind, _guest, _what: None, follow=follow)
    for load in loads:
        player.start("web", load, [0])
    for _ in range(12):
        guest.second()
        player.look()
        player.ran("web", guest.now_s * NS_PER_S, [round(guest.run_s * NS_PER_S)])
    before_s = guest.run_s
    guest.second()
    return guest.run_s - before_s


@pytest.mark.parametrize("duty", [0.21, 0.36, 0.8])
def test_a_loop_of_an_emulated_guest_costs_its_duty(duty: float) -> None:
    loop = Duty(duty, 20 * NS_PER_MS)

    assert costs_in_the_end([loop], follow=True) == pytest.approx(duty, abs=0.002)
    assert costs_in_the_end([loop], follow=False) > duty + 0.004


def test_beside_growing_memory_a_loop_works_as_it_was_calibrated() -> None:
    loop = Duty(0.21, 20 * NS_PER_MS)

    assert costs_in_the_end(
        [loop, MemoryGrowth(16_384, None)], follow=True
    ) == costs_in_the_end([loop], follow=False)  # fmt: skip
