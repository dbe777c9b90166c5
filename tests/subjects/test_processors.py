"""The processors that a program sees under the clock library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from virtlab.subjects.clock_library import clock_library

PROGRAM = """
import os
import shutil
print(os.cpu_count(), sorted(os.sched_getaffinity(0)), os.sysconf("SC_NPROCESSORS_CONF"))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clock_library(tmp_path_factory.mktemp("clock-cache"))


def seen(library: Path, *command: str, pcpus: str | None) -> str:
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    if pcpus is not None:
        environment["VIRTLAB_PCPUS"] = pcpus
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_given_a_host_with_six_pcpus_then_python_sees_six(library: Path) -> None:
    told = seen(library, os.path.realpath(sys.executable), "-c", PROGRAM, pcpus="6")

    assert told == "6 [0, 1, 2, 3, 4, 5] 6"


def test_given_a_host_with_512_pcpus_then_nproc_sees_them(library: Path) -> None:
    assert seen(library, "nproc", pcpus="512") == "512"


@pytest.mark.parametrize("nonsense", [None, "", "none", "-3", "99999999999999999999"])
def test_given_no_number_then_the_machine_is_seen(library: Path, nonsense: str | None) -> None:
    assert seen(library, "nproc", pcpus=nonsense) == str(len(os.sched_getaffinity(0)))


BINDING = """
import os
import shutil
for wanted in ({5}, {1, 4}, {6}):
    try:
        os.sched_setaffinity(0, wanted)
    except OSError as error:
        print(error.strerror)
    print(sorted(os.sched_getaffinity(0)))
if os.fork() == 0:
    print("child", sorted(os.sched_getaffinity(0)), flush=True)
    os._exit(0)
os.wait()
"""


def test_given_a_thread_binds_itself_then_it_is_told_so_and_so_is_its_child(library: Path) -> None:
    told = seen(library, os.path.realpath(sys.executable), "-u", "-c", BINDING, pcpus="6")

    assert told.splitlines() == ["[5]", "[1, 4]", "Invalid argument", "[1, 4]", "child [1, 4]"]


RAW = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    cpu_set_t set;
    unsigned cpu = 9, node = 9;
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof set, &set);
    printf("%ld %d ", bytes, CPU_COUNT_S(bytes, &set));
    CPU_ZERO(&set);
    CPU_SET(69, &set);
    printf("%ld ", syscall(SYS_sched_setaffinity, 0, sizeof set, &set));
    printf("%ld ", syscall(SYS_getcpu, &cpu, &node, NULL));
    printf("%u %u ", cpu, node);
    printf("%d %d ", sched_getcpu(), pthread_getaffinity_np(pthread_self(), sizeof set, &set));
    printf("%d ", CPU_COUNT(&set));
    printf("%ld\n", syscall(SYS_sched_getaffinity, 0, 8, &set));
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_system_calls_by_number_are_told_of_the_hosts_processors(
    library: Path, tmp_path: Path
) -> None:
    source, program = tmp_path / "raw.c", tmp_path / "raw"
    source.write_text(RAW)
    subprocess.run(["cc", "-o", program, source], check=True)

    # 70 pCPUs fill two words of the map; one word is too small for them.
    assert seen(library, str(program), pcpus="70") == "16 70 0 0 69 0 69 0 1 -1"
