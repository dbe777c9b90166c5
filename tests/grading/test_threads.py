"""Threads of a program take turns in virtual time, so that its runs repeat too."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtlab.grading.run import run_program
from virtlab.scenario import find_scenario
from virtlab.subjects.build import build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import make_work_directory

THREADED = r"""
#include <libvirt/libvirt.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static virConnectPtr conn;

static void *monitor(void *unused) {
    for (;;) {
        virDomainPtr *domains;
        int count = virConnectListAllDomains(conn, &domains, 0);
        for (int i = 0; i < count; i++) {
            virDomainInfo info;
            virDomainGetInfo(domains[i], &info);
            virDomainFree(domains[i]);
        }
        free(domains);
        usleep(300000);
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t threads[2];
    virDomainPtr *domains;
    conn = virConnectOpen("qemu:///system");
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, monitor, NULL);
    int count = virConnectListAllDomains(conn, &domains, 0);
    for (int i = 0; i < count; i++) {
        unsigned char map = 1 << (i % 4);
        virDomainPinVcpu(domains[i], 0, &map, 1);
    }
    for (;;)
        sleep(argc > 1 ? atoi(argv[1]) : 1);
}
"""


@pytest.fixture
def work() -> Iterator[Path]:
    """Give a folder that the program's user can reach; pytest's own folders are private."""
    folder = make_work_directory()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_program_with_threads_on_one_connection_gives_the_same_bytes(work: Path) -> None:
    source = work / "vcpu_scheduler.c"
    source.write_text(THREADED)
    root = work / "copy"
    open_submission(source, root)
    sandbox = find_sandbox()
    program = build(find_programs(root)["vcpu_scheduler"], root, sandbox)
    assert program.ok, program.log
    scenario = find_scenario("cpu-1-all-on-one")

    runs = [run_program(scenario, program, root, sandbox, seed=1) for _ in range(3)]

    assert len({run.timeline.to_json() for run in runs}) == 1
    assert runs[0].timeline.outcome.kind == "completed"
    assert runs[0].timeline.calls_total > 1500
