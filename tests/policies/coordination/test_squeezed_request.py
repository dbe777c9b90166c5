"""The eight scenarios of squeezed's own test, a to h, with what they are known to come to.

Source: xapi-project/xen-api, ocaml/squeezed/test, restated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

from virtlab.policies.coordination.squeezed_request import Domain, Request, proportional

# Time is a float in steps of a tenth: a domain of 100 a second moves 9 or 10 in one of them.
TICKS_A_SECOND = 10


@dataclass
class Machine:
    """A domain that moves at a rate, or not, once each tenth of a second."""

    domain: Domain
    rate: int = 100  # a second
    low: int | None = None
    high: int | None = None
    stuck: bool = False
    pauses_s: float | None = None  # moves for so long, rests for so long

    def moved(self, from_s: float, to_s: float) -> int:
        """Return what it takes of the host in a tick."""
        domain, way = self.domain, self.domain.target - self.domain.actual
        if self.stuck or not self._runs(from_s, to_s):
            return 0
        room = max(abs(way) - domain.inaccuracy, 0)
        by = min(math.trunc((to_s - from_s) * self.rate), room)
        to = domain.actual + (by if way > 0 else -by)
        if self.low is not None:
            to = max(to, min(self.low, domain.actual))
        if self.high is not None:
            to = min(to, max(self.high, domain.actual))
        return to - domain.actual

    def _runs(self, from_s: float, to_s: float) -> bool:
        if self.pauses_s is None:
            return True
        return all(math.trunc(at_s / self.pauses_s) % 2 == 0 for at_s in (from_s, to_s))


@dataclass
class Lab:
    """A Xen host in small."""

    machines: list[Machine]
    free: int
    want: int
    request: dict[str, bool] = field(default_factory=dict)
    ticks: int = 0
    inactive_s: dict[str, float] = field(default_factory=dict)

    @property
    def now_s(self) -> float:
        return self.ticks / TICKS_A_SECOND

    def loop(self, wanted: int, met: Callable[[int], bool]) -> str:
        """Run one request to its end; return how it ended."""
        request = Request(wanted, met, balanced_at=self.want, blameless="0", **self.request)
        while True:
            machines = sorted(self.machines, key=lambda one: one.domain.name)
            step = request.step([m.domain for m in machines], self.free, round(self.now_s * 1e9))
            for name in step.inactive:
                self.inactive_s.setdefault(name, self.now_s)
            for machine in machines:
                new = step.targets.get(machine.domain.name, machine.domain.target)
                machine.domain = replace(machine.domain, target=new)
            if step.outcome != "goes on":
                return step.outcome
            for machine in self.machines:
                by = machine.moved(self.now_s, (self.ticks + 1) / TICKS_A_SECOND)
                if by > self.free:
                    return f"asks {by}, free {self.free}"
                self.free -= by
                machine.domain = replace(machine.domain, actual=machine.domain.actual + by)
            self.ticks += 1

    def kept(self) -> int:
        """Return what is free even if all reach their targets, as far as they can be off."""
        ds = [machine.domain for machine in self.machines]
        return self.free - sum(d.target + d.inaccuracy - d.actual for d in ds)

    def targets(self) -> tuple[int, ...]:
        return tuple(m.domain.target for m in sorted(self.machines, key=lambda m: m.domain.name))


def machine(
    name: str, least: int, target: int, most: int, inaccuracy: int, **behaviour: object
) -> Machine:
    return Machine(Domain(name, least, target, most, target, inaccuracy), **behaviour)  # type: ignore[arg-type]


def lab(
    letter: Literal["a", "b", "c", "d", "e", "f", "g", "h"],
) -> Lab:
    hides = [
        machine("0", 1000, 1500, 2000, 4, low=1250),
        machine("1", 2500, 3500, 4500, 4, rate=500, pauses_s=0.25),
    ]
    stuck = [
        machine("0", 5000, 7000, 7000, 0, stuck=True),
        machine("1", 5000, 6000, 11000, 0),
    ]
    if letter == "a":
        return Lab(hides, 0, 1000)
    if letter == "b":
        return Lab(
            [
                machine("1", 500, 3500, 4500, 4, pauses_s=3),
                machine("0", 500, 1500, 2500, 4, pauses_s=1.5),
            ],
            0,
            1000,
        )
    if letter in "cd":
        floor = {"low": 2250} if letter == "d" else {}
        machines = [
            machine("0", 1000, 1500, 2000, 0),
            machine("1", 2000, 2500, 3000, 0, **floor),
        ]
        return Lab(machines, 0, 1500 if letter == "c" else 1000)
    if letter in "ef":
        return Lab(stuck, 0, 1000, {"two_phases": letter == "e"})
    if letter == "g":
        return Lab(hides, 0, 1000, {"compensate": False})
    return Lab(
        [machine("0", 1000, 1500, 2000, 4, high=1500), machine("1", 1000, 1500, 2000, 4)],
        1000,
        0,
    )


@pytest.mark.parametrize(
    ("letter", "freed_s", "free", "targets", "inactive_s"),
    [
        ("a", 8.2, 1004, (1161, 2742), {"0": 7.8}),
        ("b", 20.0, 1009, (1494, 2489), {}),
        ("e", 15.9, 1000, (5500, 5000), {"0": 5.1}),
    ],
)
def test_memory_is_freed_when_and_from_whom_it_is_known_to_be(
    letter: Literal["a", "b", "e"],
    freed_s: float,
    free: int,
    targets: tuple[int, int],
    inactive_s: dict[str, float],
) -> None:
    host = lab(letter)

    outcome = host.loop(host.want, lambda free: free >= host.want)

    assert outcome == "met"
    assert host.now_s == freed_s
    assert host.free == free
    assert host.kept() >= host.want
    assert host.targets() == targets
    assert host.inactive_s == inactive_s


@pytest.mark.parametrize(
    ("letter", "end_s", "free", "targets"),
    [("a", 10.6, 24, (1328, 3156)), ("e", 26.3, 0, (5625, 5500)), ("h", 13.0, 12, (1500, 1992))],
)
def test_what_is_free_again_is_given_back(
    letter: Literal["a", "e", "h"], end_s: float, free: int, targets: tuple[int, int]
) -> None:
    host = lab(letter)
    host.loop(host.want, lambda free: free >= host.want)
    host.free -= 500

    outcome = host.loop(0, lambda free: free <= 32)

    assert outcome == "met"
    assert host.kept() >= 0
    assert (host.now_s, host.free) == (end_s, free)
    assert host.targets() == targets


def test_with_all_at_their_targets_less_is_wanted_and_nothing_done() -> None:
    host = lab("b")
    host.loop(host.want, lambda free: free >= host.want)
    host.free -= 500
    before_s = host.now_s

    assert host.loop(0, lambda free: free <= 32) == "met"
    assert (host.now_s, host.free) == (before_s, 509)


@pytest.mark.parametrize(
    ("letter", "outcome", "end_s", "free"),
    [
        ("c", "cannot free", 5.3, 1000),
        ("d", "refused", 7.8, 750),
        ("f", "asks 10, free 0", 0.0, 0),  # it grows into memory that is not free yet
        ("g", "cannot free", 8.2, 996),  # each stops 4 short, which nobody counted on
    ],
)
def test_what_cannot_be_had_fails_as_it_is_known_to_fail(
    letter: Literal["c", "d", "f", "g"], outcome: str, end_s: float, free: int
) -> None:
    host = lab(letter)

    assert host.loop(host.want, lambda free: free >= host.want) == outcome
    assert (host.now_s, host.free) == (end_s, free)


def test_all_are_at_the_same_part_of_their_ranges() -> None:
    domains = [Domain("a", 1000, 0, 2000, 1500), Domain("b", 500, 0, 4500, 4000)]

    targets = proportional(domains, free=100, wanted=600)

    # 100 + 500 + 3500 - 600 over ranges of 1000 and 4000
    assert targets == {"a": 1700, "b": 3300}
    assert proportional(domains, free=10_000, wanted=0) == {"a": 2000, "b": 4500}
    assert proportional(domains, free=0, wanted=10_000) == {"a": 1000, "b": 500}
    assert proportional([Domain("a", 5, 5, 5, 5)], free=0, wanted=0) == {"a": 5}
