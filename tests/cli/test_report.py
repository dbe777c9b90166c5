"""`virtlab report`: results on disk, in the formats that other systems read."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

NOTHING = "import time\nwhile True: time.sleep(1)\n"


@pytest.fixture
def results(virtlab: Run, tmp_path: Path) -> Path:
    """Give the results of two submissions."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vcpu_scheduler.py").write_text(NOTHING)
    done = virtlab("grade", "one", "two", "--only", "vcpu_scheduler", "--out", "marks")
    assert done.returncode == 1, done.stderr
    return tmp_path / "marks"


def test_a_class_becomes_tables_and_pages_of_all_that_handed_in(
    virtlab: Run, results: Path
) -> None:
    marks = list(
        csv.DictReader(io.StringIO(virtlab("report", results, "--format", "marks").stdout))
    )
    junit = ElementTree.fromstring(virtlab("report", results, "--format", "junit").stdout)
    summary = virtlab("report", results / "one", results / "two", "--format", "github-summary")

    assert [row["submission"] for row in marks] == ["one", "two"]
    assert [suite.get("name") for suite in junit] == ["one", "two"]
    assert summary.stdout.count("\n| cpu-1-all-on-one |") == 4


def test_one_submission_is_written_to_a_file_for_gradescope(
    virtlab: Run, results: Path, tmp_path: Path
) -> None:
    done = virtlab(
        "report", results / "one", "--format", "gradescope", "--visibility", "after_published",
        "--out", "results.json",
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "")
    content = json.loads((tmp_path / "results.json").read_text())
    verdict = json.loads((results / "one" / "verdict.json").read_text())
    assert content["score"] == verdict["points"]
    assert content["visibility"] == "after_published"
    assert content["execution_time"] >= 0
    assert [path.name for path in tmp_path.iterdir() if "results.json" in path.name] == [
        "results.json"
    ]


def test_a_class_becomes_pages_that_lead_to_each_other(
    virtlab: Run, results: Path, tmp_path: Path
) -> None:
    done = virtlab("report", results, "--format", "html", "--out", "pages")
    nowhere = virtlab("report", results, "--format", "html")

    assert (done.returncode, done.stdout) == (0, "pages/index.html\n")
    assert sorted(path.name for path in (tmp_path / "pages").iterdir()) == [
        "index.html", "one.html", "two.html",
    ]  # fmt: skip
    assert '<a href="two.html">two</a>' in (tmp_path / "pages" / "index.html").read_text()
    assert nowhere.returncode == 2
    assert "2 submissions give 3 pages, which are not printed." in nowhere.stderr


def test_gradescope_gets_its_file_and_the_reason_where_nothing_could_be_graded(
    virtlab: Run, tmp_path: Path
) -> None:
    (tmp_path / "vcpu_scheduler.py").write_text(NOTHING)
    (tmp_path / "empty").mkdir()

    graded = virtlab("grade", "vcpu_scheduler.py", "--gradescope", "results.json", "--out", "out")
    content = json.loads((tmp_path / "results.json").read_text())
    refused = virtlab("grade", "empty", "--gradescope", "results.json")
    refusal = json.loads((tmp_path / "results.json").read_text())
    two = virtlab("grade", "empty", "vcpu_scheduler.py", "--gradescope", "results.json")

    verdict = json.loads((tmp_path / "out" / "vcpu_scheduler.py" / "verdict.json").read_text())
    assert graded.returncode == 1
    assert content["score"] == verdict["points"]
    assert content["extra_data"]["partial"] == verdict["partial"]
    assert refused.returncode == 3
    assert refusal["score"] == 0
    assert "there is no file in it" in refusal["output"]
    assert two.returncode == 2
    assert "--gradescope is for one submission, and 2 are named." in two.stderr


def test_what_cannot_be_reported_is_told_with_what_to_do(virtlab: Run, results: Path) -> None:
    several = virtlab("report", results, "--format", "check50")
    nothing = virtlab("report", results.parent / "one", "--format", "csv")
    nowhere = virtlab("report", results / "one", "--format", "csv", "--out", "no/such/file")

    assert several.returncode == 2
    assert "check50 is a format for one submission, and 2 are named." in several.stderr
    assert nothing.returncode == 3
    assert "one is no folder of results." in nothing.stderr
    assert nowhere.returncode == 2
    assert "could not be written: No such file or directory" in nowhere.stderr


def test_two_results_are_compared_and_the_exit_code_says_whether_they_differ(
    virtlab: Run, results: Path
) -> None:
    alike = virtlab("diff", results / "one", results / "two")
    found = json.loads(virtlab("diff", results / "one", results / "two", "--json").stdout)
    nothing = virtlab("diff", results / "one", results)

    assert alike.returncode == 0
    assert "(as many)" in alike.stdout
    assert "The same to the end: cpu-1-all-on-one, " in alike.stdout
    assert (found["version"], found["changes"], found["partings"]) == (1, [], [])
    assert nothing.returncode == 3


def test_a_teacher_can_leave_hints_out_of_every_report(virtlab: Run, tmp_path: Path) -> None:
    (tmp_path / "vcpu_scheduler.py").write_text(NOTHING)

    done = virtlab("grade", "vcpu_scheduler.py", "--no-hints", "--out", "out")
    page = virtlab("report", "out", "--format", "html").stdout

    assert "  why  " in done.stdout
    assert "hint" not in done.stdout
    assert '<span class="hint">' not in page


def test_a_class_page_leads_to_a_submission_whose_name_is_no_text(
    virtlab: Run, results: Path, tmp_path: Path
) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/class/M\xfcller"))
    shutil.copytree(results / "one", odd)
    shutil.copytree(results / "two", tmp_path / "class" / "two")

    done = virtlab("report", tmp_path / "class", "--format", "html", "--out", "pages")

    assert done.returncode == 0, done.stderr
    assert 'href="M%FCller.html"' in (tmp_path / "pages" / "index.html").read_text()


def test_a_single_run_is_told_from_a_grading(virtlab: Run, tmp_path: Path) -> None:
    (tmp_path / "vcpu_scheduler.py").write_text(NOTHING)
    virtlab("run", "cpu-6-idle", "vcpu_scheduler.py", "--out", "alone")

    told = virtlab("report", "alone", "--format", "csv")

    assert told.returncode == 3
    assert "alone holds a single run, without points." in told.stderr
