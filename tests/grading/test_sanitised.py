"""Programs built and run once more with sanitisers, whatever their Makefile says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtlab.grading.rubric import find_rubric
from virtlab.grading.run import run_program
from virtlab.grading.sanitised import Sanitised, build_sanitised
from virtlab.grading.store import write_results
from virtlab.grading.tasks import Built, build_outcome, run_test
from virtlab.grading.timing import REAL_PACE
from virtlab.model.finding import SanitiserReport
from virtlab.scenario import find_scenario
from virtlab.subjects.build import build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import make_work_directory

SUBMISSIONS = Path(__file__).parents[2] / "examples" / "submissions"
FAULTY = r"""
#include <libvirt/libvirt.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    virConnectPtr conn = virConnectOpen("qemu:///system");
    int *loads = calloc(8, sizeof *loads);
    for (;;) {
        virDomainPtr *domains;
        int count = virConnectListAllDomains(conn, &domains, 0);
        loads[0] += loads[count];
        free(domains);
        if (domains[0] == NULL)
            return 1;
        sleep(atoi(argv[argc - 1]));
    }
}
"""
DEAF_MAKEFILE = """\
vcpu_scheduler: vcpu_scheduler.c
\t{compiler} -O1 -o $@ $< -lvirt
"""
SCENARIO = find_scenario("cpu-3-balanced")


@pytest.fixture
def work() -> Iterator[Path]:
    """Give a folder that the program's user can reach; pytest's own folders are private."""
    folder = make_work_directory()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def submission(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def listened(path: Path, work: Path, *, bubblewrap: bool = True) -> SanitiserReport:
    """Return what a sanitised run finds; the plain run has to come to its end."""
    sandbox = find_sandbox(bubblewrap=bubblewrap)
    root = work / "plain"
    open_submission(path, root)
    program = build(find_programs(root)["vcpu_scheduler"], root, sandbox)
    plain = run_program(SCENARIO, program, root, sandbox, seed=1)
    assert plain.timeline.outcome.status == "ok", plain
    sanitised = build_sanitised(path, "vcpu_scheduler", work / "sanitised", sandbox)
    return sanitised.listen(SCENARIO, 1, plain)[0]


@pytest.mark.parametrize("bubblewrap", [True, False])
@pytest.mark.parametrize("makefile", [None, DEAF_MAKEFILE.format(compiler="gcc")])
def test_what_a_faulty_program_does_is_found_at_its_lines(
    makefile: str | None, bubblewrap: bool, tmp_path: Path, work: Path
) -> None:
    files = {"vcpu_scheduler.c": FAULTY} | ({} if makefile is None else {"Makefile": makefile})

    report = listened(submission(tmp_path / "faulty", **files), work, bubblewrap=bubblewrap)

    assert report.lacking is None
    assert [(finding.where, finding.kind) for finding in report.findings] == [
        ("vcpu_scheduler.c:12", "heap-buffer-overflow"),
        ("vcpu_scheduler.c:14", "heap-use-after-free"),
    ]
    assert [finding.meaning for finding in report.findings] == [
        "it reads beyond the bounds of a block from malloc",
        "it reads memory that it has freed before",
    ]


def test_nothing_is_found_in_a_clean_program(work: Path) -> None:
    assert listened(SUBMISSIONS / "reference-c", work) == SanitiserReport(None, ())


def test_a_sanitised_run_that_the_lab_fails_costs_no_verdict(tmp_path: Path, work: Path) -> None:
    root, sandbox = work / "plain", find_sandbox()
    path = submission(tmp_path / "plain", **{"vcpu_scheduler.py": "raise SystemExit(1)\n"})
    open_submission(path, root)
    program = build(find_programs(root)["vcpu_scheduler"], root, sandbox)
    test = next(one for one in find_rubric("fall-2026").tests if one.scenario.id == SCENARIO.id)
    lost = Sanitised(None, program, work / "gone", sandbox)

    with write_results(tmp_path / "out", overwrite=False) as writer:
        done = run_test(
            test,
            Built(program, root, sandbox, lost),
            build_outcome("vcpu_scheduler", program),
            1,
            "name",
            "given",
            writer,
            lambda _timeline: "",
            REAL_PACE,
        )

    assert done.verdict.status == "program_fault"
    assert done.verdict.sanitiser == SanitiserReport(
        "the lab failed: FileNotFoundError (No such file or directory)"
    )


def test_a_build_that_cannot_be_reached_is_told(tmp_path: Path, work: Path) -> None:
    makefile = DEAF_MAKEFILE.format(compiler="/usr/bin/gcc")
    faulty = submission(tmp_path / "deaf", Makefile=makefile, **{"vcpu_scheduler.c": FAULTY})

    report = listened(faulty, work)

    assert report == SanitiserReport(
        "its build does not call the compiler by its name alone, so nothing was added"
    )


def test_a_program_in_python_is_not_for_sanitisers(work: Path) -> None:
    report = listened(SUBMISSIONS / "reference-python", work)

    assert report == SanitiserReport("sanitisers are for programs that are built from C")


def test_a_static_link_says_that_sanitisers_do_not_go_with_it(work: Path) -> None:
    sandbox = find_sandbox()

    sanitised = build_sanitised(SUBMISSIONS / "static-c", "vcpu_scheduler", work / "s", sandbox)

    assert str(sanitised.lacking).startswith("it cannot be built with sanitisers: ")
    assert "-static" in str(sanitised.lacking)
