from timeline_builder import CpuLab

from virtlab.grading.outcomes import Ended, describe_outcome
from virtlab.subjects.launch import ProcessExit

REPORT = """\
==2==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x603000013d40
    #0 0x55e829143417 in work /submission/cpu/vcpu_scheduler.c:21
SUMMARY: AddressSanitizer: heap-buffer-overflow /submission/cpu/vcpu_scheduler.c:21 in work
Shadow bytes around the buggy address:
==2==ABORTING
"""


def ended(stderr: str) -> Ended:
    return Ended(
        at_ns=2_000_000_000,
        before_end=True,
        exit=ProcessExit(1, None),
        stall=None,
        flooded=False,
        excess=None,
        clock_notes=(),
        host_hidden=False,
        ending_notes=(),
        stderr=stderr,
    )


def test_what_a_sanitiser_found_is_a_crash_and_told_by_its_summary() -> None:
    outcome = describe_outcome(ended(REPORT), CpuLab().timeline())

    assert (outcome.status, outcome.kind) == ("program_fault", "crashed")
    assert outcome.reason == (
        "A sanitiser ended it at 2.0 s, before any libvirt call: AddressSanitizer: "
        "heap-buffer-overflow /submission/cpu/vcpu_scheduler.c:21 in work."
    )


def test_any_other_early_end_tells_the_last_words() -> None:
    outcome = describe_outcome(ended("no domain runs\n"), CpuLab().timeline())

    assert (outcome.kind, outcome.exit_code) == ("exited", 1)
    assert outcome.reason == (
        "It exited at 2.0 s with code 1, before any libvirt call; it last said: no domain runs."
    )
