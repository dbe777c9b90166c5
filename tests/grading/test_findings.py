"""What sanitisers print, read as findings; the reports are those of GCC 12, shortened."""

from __future__ import annotations

import pytest

from virtlab.grading.findings import read_findings
from virtlab.model.finding import Finding

IN_A_LIBRARY_CALL = """\
=================================================================
==2==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000054 at pc 0x7f09eee48061
WRITE of size 9 at 0x602000000054 thread T0
    #0 0x7f09eee48060 in __interceptor_memcpy ../../../../src/libsanitizer/interceptors.inc:827
    #1 0x55dc746765ce in remember(char const*) /submission/cpu/names.c:11
    #2 0x7f09ee445249 in __libc_start_call_main ../sysdeps/nptl/libc_start_call_main.h:58

0x602000000054 is located 0 bytes to the right of 4-byte region [0x602000000050,0x602000000054)
allocated by thread T0 here:
    #1 0x55dc74676599 in main /submission/cpu/other.c:99

SUMMARY: AddressSanitizer: heap-buffer-overflow ../../../../src/libsanitizer/interceptors.inc:827
"""
TWICE = """\
==7==ERROR: AddressSanitizer: attempting double-free on 0x602000000050 in thread T0:
    #0 0x7f5 in __interceptor_free ../../../../src/libsanitizer/asan/asan_malloc_linux.cpp:52
    #1 0x55d in main ./vcpu_scheduler.c:15

0x602000000050 is located 0 bytes inside of 4-byte region
freed by thread T0 here:
    #1 0x55d in main vcpu_scheduler.c:14
SUMMARY: AddressSanitizer: double-free asan_malloc_linux.cpp:52 in __interceptor_free
"""
ONE_MISTAKE = """\
vcpu_scheduler.c:9:22: runtime error: index 6 out of bounds for type 'int [4]'
vcpu_scheduler.c:9:22: runtime error: load of address 0x55dc74679dd8 with insufficient space
==2==ERROR: AddressSanitizer: global-buffer-overflow on address 0x55dc74679dd8 at pc 0x55dc74676522
READ of size 4 at 0x55dc74679dd8 thread T0
    #0 0x55dc74676521 in main /submission/cpu/vcpu_scheduler.c:9
SUMMARY: AddressSanitizer: global-buffer-overflow /submission/cpu/vcpu_scheduler.c:9 in main
"""
NOWHERE = """\
AddressSanitizer:DEADLYSIGNAL
==3==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000000 (pc 0x55d bp 0x7ff T0)
==3==The signal is caused by a READ memory access.
    #0 0x55d in main (/submission/cpu/vcpu_scheduler+0x21e0)
SUMMARY: AddressSanitizer: SEGV (/submission/cpu/vcpu_scheduler+0x21e0) in main
"""


@pytest.mark.parametrize(
    ("output", "finding"),
    [
        (
            IN_A_LIBRARY_CALL,
            Finding(
                "heap-buffer-overflow",
                "names.c:11",
                "it writes beyond the bounds of a block from malloc",
            ),
        ),
        (
            TWICE,
            Finding(
                "attempting double-free", "vcpu_scheduler.c:15", "it frees a block a second time"
            ),
        ),
        (
            ONE_MISTAKE,
            Finding(
                "index 6 out of bounds for type 'int [4]'",
                "vcpu_scheduler.c:9",
                "an index lies outside of its array",
            ),
        ),
        (
            NOWHERE,
            Finding(
                "SEGV",
                "an unknown line",
                "it uses an address where nothing is, such as through a null pointer",
            ),
        ),
        (
            "a.c:3:1: runtime error: load of misaligned address 0x7ffd for type 'int'\n",
            Finding(
                "load of misaligned address (an address) for type 'int'",
                "a.c:3",
                "it reads from an address that is no multiple of the type's size",
            ),
        ),
        (
            "a.c:4:1: runtime error: something that will be invented later\n",
            Finding(
                "something that will be invented later",
                "a.c:4",
                "what it does here is undefined in C",
            ),
        ),
    ],
)
def test_each_report_becomes_one_finding_at_the_programs_own_line(
    output: str, finding: Finding
) -> None:
    assert read_findings(output, ("/submission/cpu",)) == (finding,)


def test_findings_stand_in_the_order_in_which_they_happened() -> None:
    output = TWICE + "no report\n" + ONE_MISTAKE + IN_A_LIBRARY_CALL

    lines = [finding.where for finding in read_findings(output, ("/submission/cpu",))]

    assert lines == ["vcpu_scheduler.c:15", "vcpu_scheduler.c:9", "names.c:11"]


def test_output_that_is_no_report_gives_nothing() -> None:
    output = "==2==ERROR: AddressSanitizer: \nruntime error: x\nSUMMARY: AddressSanitizer: none\n"

    assert read_findings("", ()) == ()
    assert read_findings(output, ()) == ()
