"""The laws of CPU sharing, held against the Linux that this runs on.

    python -m benchmarks.linux [--rounds N] [--only TEXT | --write]
    python -m benchmarks.linux --again [--only TEXT | --write]

Each set of closed loops runs as real processes (`closed_loops`), and as guests of one vCPU on a
simulated host. Of each kind of loop in a set the share of a CPU that it ran and the share of the
time that it waited on a run queue are compared: means of several windows on Linux, the mean of
many seconds in the simulator. A set that others disturbed in most of its windows is shown and not
counted. What cannot be measured here is reported as not run.

What loops of the simulator want is what those on Linux turned out to want, run / (1 - delay): it
is the sharing that is compared, and not how well loops were calibrated, which a CPU that falls
idle or not changes by a point. `--write` keeps what was measured in linux.json; `--again` holds
the simulator against that anew, without measuring.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from statistics import fmean, median

from benchmarks.closed_loops import OTHERS_MAX, Loop, LoopRunner, Window
from benchmarks.control_groups import PERIOD_US, private_group
from benchmarks.figure import Figure
from virtlab.model.scenario import GuestSpec, HostSpec, Scenario, StartWorkload
from virtlab.model.units import NS_PER_S
from virtlab.model.workload import Duty
from virtlab.simulator.host import SimulatedHost

__all__ = ["Comparison", "LoopSet", "Measured", "against_the_law", "compared", "measured", "table"]

SHARE_AIM = 2.0  # points, as the project aims at
DELAY_AIM = 3.0
ROUNDS = 5
_LONG_MS = 10.0  # period of loops whose phases matter: twice as many windows
_MOST_DUTY = 0.999  # of a loop that sleeps
_SIMULATED_S = 200  # of each set
_SOURCE = Path(__file__).with_name("loop.c")
_MEASURED = Path(__file__).with_suffix(".json")
_PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "linux.md"
_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"
# Linux's table of weights: nice 0 is 1024 and each step a factor of about 1.25.
_WEIGHT_OF_NICE = {0: 1024, 5: 335, 10: 110}
_MEMORY_KIB = 512 * 1024


@dataclass(frozen=True, slots=True)
class LoopSet:
    """Loops that run together, on one CPU or unbound on two."""

    loops: tuple[Loop, ...]
    cpus: int = 1

    @property
    def kinds(self) -> list[Loop]:
        """Return the different loops, in their order."""
        return list(dict.fromkeys(self.loops))

    def __str__(self) -> str:
        parts = [f"{self.loops.count(kind)} x {_named(kind)}" for kind in self.kinds]
        return " + ".join(parts) + (f", {self.cpus} CPUs" if self.cpus > 1 else "")


@dataclass(frozen=True, slots=True)
class Measured:
    """One kind of loop in a set, as measured on Linux."""

    loops: str  # the name of the set
    kind: str
    run: float
    delay: float
    others: float  # what others used while it was measured
    quiet: bool  # most windows were undisturbed


@dataclass(frozen=True, slots=True)
class Comparison:
    """One kind of loop in a set: shares of the time on Linux and in the simulator."""

    loops: LoopSet
    kind: Loop
    linux_run: float
    linux_delay: float
    law_run: float
    law_delay: float
    others: float  # what others used while it was measured
    quiet: bool  # most windows were undisturbed

    @property
    def share_error(self) -> float:
        """Return by how much the law's share is above Linux's, in points."""
        return 100.0 * (self.law_run - self.linux_run)

    @property
    def delay_error(self) -> float:
        """Return by how much the law's delay is above Linux's, in points."""
        return 100.0 * (self.law_delay - self.linux_delay)


def loop_sets() -> list[LoopSet]:
    """Return the sets that are compared."""
    short, long = 0.5, 50.0
    alike = [
        (0.2, 1), (0.2, 2), (0.2, 4), (0.2, 8), (0.36, 2), (0.36, 3), (0.36, 4), (0.5, 2),
        (0.5, 3), (0.5, 4), (0.8, 2),
    ]  # fmt: skip
    sets = [_alike(duty, period, n) for period in (short, long) for duty, n in alike]
    sets += [_alike(0.21, short, 2), _alike(0.21, short, 8), _alike(0.36, 25.0, 2)]
    sets += [_alike(0.2, 3.0, 4), _alike(0.36, 3.0, 3), _alike(0.5, 10.0, 2)]
    sets += [_alike(0.2, 7.0, 4), _alike(0.2, 10.0, 4), _alike(0.5, 2.0, 2)]  # about a slice
    sets += [_alike(1.0, short, 2), _alike(1.0, short, 5)]
    for period in (short, long):
        half, third, fifth = Loop(0.5, period), Loop(0.36, period), Loop(0.2, period)
        busy = Loop(1.0)
        sets += [
            LoopSet((busy, half)),
            LoopSet((busy, *[fifth] * 3)),
            LoopSet((busy, busy, third, third)),
            LoopSet((third, fifth)),
            LoopSet((third, third, fifth, fifth)),
            LoopSet((half, *[fifth] * 4)),
        ]
    sets += [
        LoopSet((Loop(0.5, long), *[Loop(0.2, short)] * 4)),
        LoopSet((Loop(0.36, short), Loop(0.36, long))),
        LoopSet((Loop(0.5, short), Loop(0.5, 2.0))),
        LoopSet((*[Loop(0.36, short)] * 2, *[Loop(0.2, 3.0)] * 2)),
        LoopSet((Loop(0.2, short), Loop(0.36, 3.0), Loop(0.5, 20.0))),
        LoopSet((Loop(1.0), Loop(1.0, nice=5))),
        LoopSet((*[Loop(0.5)] * 2, *[Loop(0.5, nice=5)] * 2)),
        LoopSet((Loop(1.0, shares=1024), Loop(1.0, shares=512))),
        LoopSet((Loop(1.0, shares=1024), *[Loop(1.0, shares=512)] * 3)),
        LoopSet((*[Loop(0.5, shares=1024)] * 2, *[Loop(0.5, shares=512)] * 2)),
        LoopSet((Loop(1.0, quota=0.5),)),
        LoopSet((Loop(0.8, quota=0.5),)),
        LoopSet((Loop(0.36, quota=0.5),)),
        LoopSet((Loop(0.8, long, quota=0.5),)),
        LoopSet((Loop(0.5, 200.0, quota=0.3),)),
        LoopSet((Loop(1.0, quota=0.3), Loop(1.0))),
        LoopSet((Loop(1.0, quota=0.5), Loop(0.36, long))),
        LoopSet((*[Loop(0.5, quota=0.2)] * 2, Loop(0.5))),
        LoopSet((*[Loop(1.0, quota=0.2)] * 4, Loop(0.36))),
        LoopSet((Loop(1.0), Loop(0.2))),
        LoopSet((Loop(0.2), Loop(0.5, 5.0))),
        LoopSet((*[Loop(0.2)] * 3, Loop(0.5, 5.0))),
        LoopSet((Loop(1.0),) * 2, cpus=2),
        LoopSet((Loop(1.0),) * 3, cpus=2),
        LoopSet((Loop(1.0),) * 4, cpus=2),
        LoopSet((Loop(0.2),) * 8, cpus=2),
        LoopSet((Loop(0.5),) * 4, cpus=2),
    ]
    return sets + _guest_sets()


def _guest_sets() -> list[LoopSet]:
    """Return sets of guests with several vCPUs, which Linux weighs as guests."""
    long = 50.0
    busy, half, third, fifth = (1.0, 0.5), (0.5, 0.5), (0.36, 0.5), (0.2, 0.5)
    on_one = (
        ((busy,) * 4, (busy,)),
        ((busy,) * 2, (busy,), (busy,)),
        ((half,) * 4, (busy,)),
        (((0.5, long),) * 4, (busy,)),
        ((busy,) * 2, (half,)),
        ((busy,) * 2, ((0.5, long),)),
        ((fifth,) * 4, (half,), (half,)),
        ((third,) * 3, (third,)),
        ((third,), (third,), (third,)),
        ((busy, fifth), (busy,)),
    )
    sets = [
        LoopSet(tuple(Loop(*load, guest=n) for n, own in enumerate(guests) for load in own))
        for guests in on_one
    ]
    sets.append(LoopSet((*[Loop(1.0, guest=0, shares=2048)] * 2, Loop(1.0, guest=1))))
    # Each guest's loads, with the CPU to which they are bound.
    on_two = (
        (((busy, 0), (busy, 1)), ((busy, 0),)),
        (((busy, 0), (busy, 1)), ((busy, 0), (busy, 1))),
        (((busy, 0), (busy, 0)), ((busy, 0), (busy, 1))),
        (((busy, 0), (half, 1)), ((busy, 0),)),
        (((busy, 0), ((0.5, long), 1)), ((busy, 0),)),
        (((busy, 0), (fifth, 1)), ((busy, 0),)),
        (((half, 0), (half, 0), (busy, 1)), ((busy, 0),)),
        (((half, 0), (busy, 1)), ((half, 0),), ((half, 0),)),
        (((third, 0), (third, 1)), ((third, 0),), ((half, 0),)),
        (((busy, 0), (busy, 1)), ((busy, 0),), ((busy, 1),), ((busy, 1),)),
    )
    sets += [
        LoopSet(
            tuple(Loop(*load, guest=n, at=at) for n, own in enumerate(guests) for load, at in own),
            cpus=2,
        )
        for guests in on_two
    ]
    return sets


def measured(
    sets: Sequence[LoopSet], rounds: int, progress: Callable[[str], None] = lambda _text: None
) -> tuple[list[Measured], list[str]]:
    """Return what was measured, and what could not be run with the reason."""
    found: list[Measured] = []
    left: list[str] = []
    cpus = sorted(os.sched_getaffinity(0), reverse=True)
    with tempfile.TemporaryDirectory() as folder, private_group() as group:
        program = Path(folder) / "loop"
        subprocess.run(["cc", "-O2", "-o", program, _SOURCE], check=True)
        runner = LoopRunner(program, group)
        for each in sets:
            progress(str(each))
            if each.cpus > len(cpus):
                left.append(f"{each}: not run, as there is one CPU")
            elif group is None and any(loop.grouped for loop in each.loops):
                left.append(f"{each}: not run, as no group of the CPU controller can be made")
            else:
                count = 2 * rounds if _has_long(each) else rounds
                windows = runner.windows(each.loops, cpus[: each.cpus], count)
                found += _taken_together(each, windows)
    return found, left


def compared(sets: Sequence[LoopSet], figures: Sequence[Measured]) -> list[Comparison]:
    """Return what was measured of some sets beside what the simulator says."""
    found = []
    for each in sets:
        own = {figure.kind: figure for figure in figures if figure.loops == str(each)}
        if own:
            found += _held_together(each, own)
    return found


def against_the_law() -> list[Figure]:
    """Return the errors of the law, and how many sets are within what is aimed at."""
    sets = loop_sets()
    own, left = measured(sets, ROUNDS, lambda text: print(f"  {text}", file=sys.stderr))
    found = compared(sets, own)
    figures = _summary(found)
    for loops in dict.fromkeys(each.loops for each in found):
        kinds = [each for each in found if each.loops == loops]
        note = "; ".join(_note(each) for each in kinds)
        if not kinds[0].quiet:
            note += f"; others used {kinds[0].others:.0%}"
        share = max(abs(each.share_error) for each in kinds)
        delay = max(abs(each.delay_error) for each in kinds)
        figures.append(Figure(f"{loops}: share", share, "points", aim=SHARE_AIM, note=note))
        figures.append(Figure(f"{loops}: delay", delay, "points", aim=DELAY_AIM))
    return figures + [Figure("sharing on Linux", None, "", note=text) for text in left]


def table(found: Sequence[Comparison], left: Sequence[str]) -> str:
    """Return all of it as a table in Markdown, with the summary below."""
    lines = [
        "| set | loop | Linux share | law | error | Linux delay | law | error | others |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    shown = None
    for each in found:
        name = "" if each.loops is shown else str(each.loops)
        shown = each.loops
        lines.append(
            f"| {name} | {_named(each.kind)} | {each.linux_run:.3f} | {each.law_run:.3f} "
            f"| {each.share_error:+.1f} | {each.linux_delay:.3f} | {each.law_delay:.3f} "
            f"| {each.delay_error:+.1f} | {each.others:.0%}{'' if each.quiet else ', disturbed'} |"
        )
    lines += ["", *(f"- {figure.name}: {figure.note}" for figure in _summary(found))]
    lines += [f"- {text}" for text in left]
    return "\n".join(lines)


def _summary(found: Sequence[Comparison]) -> list[Figure]:
    figures = []
    for quiet, which in ((True, "undisturbed"), (False, "disturbed")):
        sets: dict[LoopSet, list[Comparison]] = {}
        for each in found:
            if each.quiet == quiet:
                sets.setdefault(each.loops, []).append(each)
        for what, aim in (("share", SHARE_AIM), ("delay", DELAY_AIM)):
            errors = sorted(
                max(abs(getattr(each, f"{what}_error")) for each in own) for own in sets.values()
            )
            if not errors:
                continue
            within = sum(error <= aim for error in errors)
            figures.append(
                Figure(
                    f"error of the {what}, {which} sets", median(errors), "points", aim=aim,
                    note=f"{within} of {len(errors)} sets within {aim:g} points, "
                    f"half of them within {median(errors):.1f}, at worst {errors[-1]:.1f}",
                )
            )  # fmt: skip
    return figures


def _has_long(loops: LoopSet) -> bool:
    return any(loop.duty < 1.0 and loop.period_ms >= _LONG_MS for loop in loops.loops)


def _taken_together(loops: LoopSet, windows: Sequence[Window]) -> list[Measured]:
    """Return the means of the undisturbed windows, for each kind of loop."""
    quiet = [window for window in windows if window.quiet]
    enough = 2 * len(quiet) > len(windows)
    used = quiet if enough else windows
    found = []
    for kind in loops.kinds:
        own = [n for n, loop in enumerate(loops.loops) if loop == kind]
        run = fmean(window.run[n] for window in used for n in own)
        delay = fmean(window.delay[n] for window in used for n in own)
        others = median(window.others for window in used)
        found.append(
            Measured(
                str(loops), _named(kind), round(run, 4), round(delay, 4), round(others, 4), enough
            )
        )
    return found


def _held_together(loops: LoopSet, figures: Mapping[str, Measured]) -> list[Comparison]:
    """Return Linux's means beside the simulator's, for each kind of loop."""
    run, delay = _simulated(
        LoopSet(tuple(_as_wanted(loop, figures[_named(loop)]) for loop in loops.loops), loops.cpus)
    )
    rows = []
    for kind in loops.kinds:
        own = [n for n, loop in enumerate(loops.loops) if loop == kind]
        figure = figures[_named(kind)]
        rows.append(
            Comparison(
                loops,
                kind,
                linux_run=figure.run,
                linux_delay=figure.delay,
                law_run=fmean(run[n] for n in own),
                law_delay=fmean(delay[n] for n in own),
                others=figure.others,
                quiet=figure.quiet,
            )
        )
    return rows


def _as_wanted(loop: Loop, figure: Measured) -> Loop:
    """Return a loop with the duty that it turned out to want, and the same period."""
    if loop.duty >= 1.0:
        return loop
    return replace(loop, duty=min(figure.run / (1.0 - figure.delay), _MOST_DUTY))


def _simulated(loops: LoopSet) -> tuple[list[float], list[float]]:
    """Return what each loop runs and waits as a guest of a simulated host."""
    members: dict[str, list[Loop]] = {}
    places = []  # the guest and the number of the vCPU of each loop
    for n, loop in enumerate(loops.loops):
        name = f"loop-{n}" if loop.guest is None else f"guest-{loop.guest}"
        own = members.setdefault(name, [])
        places.append((name, len(own)))
        own.append(loop)
    everywhere = tuple(range(loops.cpus))
    guests = tuple(
        GuestSpec(
            name=name,
            vcpus=len(own),
            memory_kib=_MEMORY_KIB,
            max_memory_kib=_MEMORY_KIB,
            affinity=tuple(everywhere if loop.at is None else (loop.at,) for loop in own),
            kernel_kib=42 * 1024,
            processes_kib=60 * 1024,
            cache_kib=100 * 1024,
        )
        for name, own in members.items()
    )
    starts = tuple(
        StartWorkload(0, name, Duty(loop.duty, round(loop.period_ms * 1e6)), (vcpu,))
        for (name, vcpu), loop in zip(places, loops.loops, strict=True)
    )
    memory_kib = (len(guests) + 2) * _MEMORY_KIB
    scenario = Scenario(
        "linux", "closed loops", "held against Linux", "vcpu_scheduler", 1,
        HostSpec(os.cpu_count() or loops.cpus, memory_kib, _MEMORY_KIB), guests, starts, 1,
        _SIMULATED_S, (),
    )  # fmt: skip
    host = SimulatedHost(scenario)
    for name, (loop, *_) in members.items():
        tuning = {"cpu_shares": loop.shares or _WEIGHT_OF_NICE[loop.nice]}
        if loop.quota is not None:
            tuning["vcpu_quota"] = round(loop.quota * PERIOD_US)
        host.guests[name].tune(tuning)
    host.advance(_SIMULATED_S * NS_PER_S)
    vcpus = [host.guests[name].vcpus[vcpu] for name, vcpu in places]
    span_ns = _SIMULATED_S * NS_PER_S
    return [v.run_ns() / span_ns for v in vcpus], [v.delay_ns() / span_ns for v in vcpus]


def _named(loop: Loop) -> str:
    name = "busy" if loop.duty >= 1.0 else f"{100 * loop.duty:g} % of {loop.period_ms:g} ms"
    if loop.nice:
        name += f" nice {loop.nice}"
    if loop.shares is not None:
        name += f" shares {loop.shares}"
    if loop.quota is not None:
        name += f" quota {100 * loop.quota:g} %"
    if loop.guest is not None:
        name = f"{chr(ord('A') + loop.guest)}: {name}"
    return name + ("" if loop.at is None else f" on {loop.at}")


def _note(each: Comparison) -> str:
    return (
        f"{_named(each.kind)}: {each.linux_run:.3f}/{each.linux_delay:.3f}, "
        f"law {each.law_run:.3f}/{each.law_delay:.3f}"
    )


def _alike(duty: float, period_ms: float, count: int) -> LoopSet:
    return LoopSet((Loop(duty, period_ms),) * count)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.linux")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="windows of each set")
    parser.add_argument("--only", default="", help="sets whose name has this text in it")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    parser.add_argument("--again", action="store_true", help="take what was measured before")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write takes all sets: the page and the figures that are kept are whole")
    sets = [each for each in loop_sets() if options.only in str(each)]
    if options.again:
        kept = json.loads(_MEASURED.read_text())
        figures, left, where = [Measured(**row) for row in kept["figures"]], [], kept["where"]
    else:
        figures, left = measured(sets, options.rounds, lambda text: print(text, file=sys.stderr))
        where = (
            f"Linux {platform.release()}, {os.cpu_count()} CPUs, {date.today().isoformat()}; "
            f"{options.rounds} windows of a set, twice as many with periods of {_LONG_MS:g} ms "
            f"or more, disturbed where others used over {OTHERS_MAX:.0%} of the CPU in most of "
            "them."
        )
    text = table(compared(sets, figures), left)
    print(text)
    if options.write:
        if not options.again:
            rows = ",\n  ".join(json.dumps(asdict(figure)) for figure in figures)
            _MEASURED.write_text(
                f'{{"where": {json.dumps(where)},\n "figures": [\n  {rows}\n ]}}\n'
            )
        head, _, rest = _PAGE.read_text().partition(_BEGIN)
        tail = rest.partition(_END)[2]
        _PAGE.write_text(f"{head}{_BEGIN}\n{where}\n\n{text}\n{_END}{tail}")


if __name__ == "__main__":
    main()
