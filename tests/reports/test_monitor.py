from __future__ import annotations

from collections.abc import Callable

from marked_runs import DEALT, good_memory
from timeline_builder import CpuLab, MemoryGuest, MemoryLab

from virtlab.reports.monitor import monitor_text


def test_the_cpu_form_is_the_courses(golden: Callable[[str, str], None]) -> None:
    golden("monitor-cpu.txt", monitor_text(CpuLab(pins=DEALT, duration_s=6).timeline()))


def test_the_memory_form_is_the_courses(golden: Callable[[str, str], None]) -> None:
    golden("monitor-memory.txt", monitor_text(good_memory().timeline()))


def test_the_first_iteration_of_the_cpu_form_is_empty() -> None:
    lines = monitor_text(CpuLab(duration_s=1).timeline()).splitlines()

    assert lines == [
        "",
        "-" * 50,
        "Iteration number :  1",
        "",
        "-" * 50,
        "Iteration number :  2",
        "0 - usage: 160.0 | mapping ['aos_vm1', 'aos_vm2', 'aos_vm3', 'aos_vm4', 'aos_vm5', "
        "'aos_vm6', 'aos_vm7', 'aos_vm8']",
        "1 - usage: 0.0 | mapping []",
        "2 - usage: 0.0 | mapping []",
        "3 - usage: 0.0 | mapping []",
    ]


def test_the_memory_form_shows_running_guests_every_two_seconds() -> None:
    lab = MemoryLab(
        guests=(MemoryGuest(), MemoryGuest(running=lambda iteration: iteration < 1)), duration_s=3
    )

    assert monitor_text(lab.timeline()).splitlines() == [
        "-" * 100,
        "Iteration number :  1",
        "Memory (VM: aos_vm1)  Actual [512.0], Unused: [332.0]",
        "Memory (VM: aos_vm2)  Actual [512.0], Unused: [332.0]",
        "-" * 100,
        "Iteration number :  2",
        "Memory (VM: aos_vm1)  Actual [512.0], Unused: [332.0]",
    ]
