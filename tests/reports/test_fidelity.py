"""A comparison for people: each figure beside its aim, and what does not count in brackets."""

from __future__ import annotations

from dataclasses import replace

from virtlab.model.fidelity import (
    AimLine,
    Contribution,
    FidelityRun,
    Machine,
    NotRun,
    RunDistance,
    RunFigures,
    SettlingError,
    SizeError,
    VcpuError,
)
from virtlab.reports.fidelity import fidelity_lines, fidelity_page

FIGURES = RunFigures((), (), (), (), {"balanced": "passed"})
RUN = FidelityRun("cpu-1", "reference-c", 1, None, 3.2, {}, (), FIGURES, FIGURES, FIGURES)
CONTRIBUTION = Contribution(
    1, "0.1.0", "2026-11-25",
    Machine("A processor", 2, 24_000, "6.1", "9.0.0", "QEMU 7.2.22", "qemu", True),
    10.0, 30, (NotRun("cpu-8", "needs 4 pCPUs | or more"),),
    (RUN, replace(RUN, program="flawed/does-nothing", disturbed="others took 40 %")),
)  # fmt: skip
NEAR = RunDistance(
    "cpu-1", "reference-c", 1, None,
    (VcpuError("web", 0, 1, -2.34, 0.5, 0.4, 0.1),),
    (SizeError("web", 1.0, 1.0, 4.0, 4.0),),
    (SettlingError("phase 1", 0.5),),
    {"balanced": True, "stable": False},
    ("stable: met on the simulated host, not met on the real one",),
)  # fmt: skip
LOUD = replace(
    NEAR, program="flawed/does-nothing", disturbed="others took 40 %", sizes=(),
    settling=(SettlingError("phase 1", None),),
)  # fmt: skip
AIMS = (
    AimLine("CPU share", "points", 2.0, 2.34, 2.34, 0, 1),
    AimLine("run-queue delay", "points", 3.0, None, None, 0, 0),
)


def test_a_figure_beyond_its_aim_is_marked_and_a_disturbed_run_is_in_brackets() -> None:
    lines = list(fidelity_lines(CONTRIBUTION, [NEAR, LOUD], AIMS))

    head, near, loud = lines[1], lines[3], lines[4]
    assert head.split() == ["share", "delay", "balloon", "unused", "settle", "agree"]
    assert near.split() == ["reference-c", "2.3!", "0.4", "1.0", "4.0", "0.5", "1/2!"]
    assert loud.split() == ["(does-nothing)", "2.3!", "0.4", "-", "-", "one!", "1/2!"]
    assert all(len(line) <= 80 for line in lines[1:5])
    assert "CPU share: worst 2.3, median 2.3 points (aim 2); 0 of 1 runs within it" in lines
    assert "run-queue delay: not measured" in lines
    assert "verdicts: 1 of 2 criteria judged alike" in lines
    assert "cpu-1, flawed/does-nothing: others took 40 %" in lines
    assert lines[-1] == (
        "29 of the lab's 30 tests can run on this machine; 1 of them did, in 1 runs."
    )


def test_a_page_has_every_run_and_what_could_not_run() -> None:
    page = fidelity_page([(CONTRIBUTION, [NEAR, LOUD], AIMS)])

    assert "a virtual machine with 2 pCPUs and 24000 MiB" in page
    assert "emulated guests. Measured 2026-11-25." in page
    assert "| cpu-1 | reference-c | 2.3! | 0.4 | 1.0 | 4.0 | 0.5 | 1/2! | 3 % |" in page
    assert "| cpu-1 | (flawed/does-nothing) | 2.3! |" in page
    assert "| cpu-1 | reference-c | 1 | web -2.3, +0.4 |" in page
    assert "| cpu-1 | reference-c | web 1.0, 4.0 |" in page
    assert "| cpu-1 | flawed/does-nothing | 1 |" not in page
    assert "| cpu-8 | needs 4 pCPUs / or more |" in page
    assert "| run-queue delay, points | 3 | - | - | 0 of 0 |" in page


def test_a_page_says_whether_loops_of_emulated_guests_were_held_to_their_duty() -> None:
    said = "Loops were calibrated once, and not held to their duty."
    held = replace(CONTRIBUTION, loops_held=True)
    kvm = replace(CONTRIBUTION, machine=replace(CONTRIBUTION.machine, accelerator="kvm"))

    assert said in fidelity_page([(CONTRIBUTION, [NEAR], AIMS)])
    assert said not in fidelity_page([(held, [NEAR], AIMS), (kvm, [NEAR], AIMS)])


def test_what_a_stranger_wrote_cannot_dress_up_a_terminal() -> None:
    wild = replace(CONTRIBUTION.machine, processor="\x1b[31mred\x1b[0m")

    lines = fidelity_lines(replace(CONTRIBUTION, machine=wild), [NEAR], AIMS)

    assert not any("\x1b" in line for line in lines)
