"""Other systems' formats: what each may hold by its rules, and that nothing is lost or added."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from marked_runs import submission

from virtlab.model.verdict import Verdict
from virtlab.reports.check50 import check50_json
from virtlab.reports.github import step_annotations, step_summary
from virtlab.reports.gradescope import gradescope_json
from virtlab.reports.items import items_of
from virtlab.reports.junit import junit_xml
from virtlab.reports.table import lines_csv, marks_csv

# What an element has to have and may hold: the part of Jenkins' schema that is used.
JUNIT = {
    "testsuites": ({"name", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped"},
        {"properties", "testcase"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"name", "classname"}, {"failure", "error", "skipped"}),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "skipped": ({"message"}, set()),
}
EVIL = "\x1b[2J\x00]]><b>&amp;</b>\ud800=1+1|`x`\n::error::x%0A"


def lab_failed() -> Verdict:
    verdict = submission()
    run = verdict.runs[0]
    lines = tuple(replace(line, points=None, reason="not run: no libvirt") for line in run.lines)
    return replace(
        verdict, runs=(replace(run, status="lab_fault", lines=lines, points=0.0), *verdict.runs[1:])
    )


def hostile() -> Verdict:
    verdict = submission()
    run = verdict.runs[4]
    lines = tuple(replace(line, reason=EVIL, points=0.0) for line in run.lines)
    return replace(verdict, program=f"={EVIL}", runs=(replace(run, lines=lines, title=EVIL),))


@pytest.mark.parametrize("make", [submission, lab_failed, hostile])
def test_junit_holds_what_its_schema_permits(make: Callable[[], Verdict]) -> None:
    root = ElementTree.fromstring(junit_xml([make(), make()]))

    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = JUNIT[element.tag]
        assert set(element.attrib) == attributes
        assert {child.tag for child in element} <= children


def test_junit_counts_what_it_holds() -> None:
    root = ElementTree.fromstring(junit_xml([lab_failed()]))
    suite = root[0]

    for counter, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.get(counter, "")) == len(list(suite.iter(tag))) > 0
    assert int(suite.get("tests", "")) == len(list(suite.iter("testcase")))


def test_a_fault_of_the_lab_is_an_error_and_a_lost_point_a_failure() -> None:
    root = ElementTree.fromstring(junit_xml([lab_failed()]))
    cases = {f"{c.get('classname')}: {c.get('name')}": c for c in root.iter("testcase")}

    for item in items_of(lab_failed()):
        tags = [child.tag for child in cases[f"{item.test or 'submission'}: {item.label}"]]
        expected = {"met": [], "lost": ["failure"], "lab_fault": ["error"], "outside": ["skipped"]}
        assert tags == expected[item.status]


@pytest.mark.parametrize("make", [submission, lab_failed, hostile])
def test_gradescope_gets_only_fields_and_values_that_it_documents(
    make: Callable[[], Verdict],
) -> None:
    content = json.loads(gradescope_json(make(), real_s=1.6, visibility="after_due_date"))

    assert set(content) == {
        "score", "output", "visibility", "stdout_visibility", "tests", "extra_data",
        "execution_time",
    }  # fmt: skip
    assert content["execution_time"] == 2
    for test in content["tests"]:
        required = {"name", "number", "output", "tags", "extra_data"}
        assert required <= set(test) <= required | {"score", "max_score", "status"}
        assert test.get("status") in ("passed", "failed", None)
        assert ("score" in test) == ("status" in test)


def test_gradescopes_score_is_the_verdicts_and_its_tests_add_up_to_it() -> None:
    content = json.loads(gradescope_json(submission()))

    assert content["score"] == submission().points
    scores = [test["score"] for test in content["tests"] if "score" in test]
    assert sum(scores) == pytest.approx(submission().points)


def test_what_was_not_run_has_no_score_in_gradescope() -> None:
    content = json.loads(gradescope_json(lab_failed()))
    unscored = [test["name"] for test in content["tests"] if "score" not in test]

    assert unscored == [item.name for item in items_of(lab_failed()) if item.points is None]
    assert unscored


def test_check50_has_every_field_of_its_specification() -> None:
    content = json.loads(check50_json(lab_failed()))

    assert set(content) == {"slug", "results", "version"}
    for check in content["results"]:
        assert set(check) == {
            "name", "description", "passed", "log", "cause", "data", "dependency",
        }  # fmt: skip
        assert (check["cause"] is None) == (check["passed"] is True)
        if check["cause"] is not None:
            assert set(check["cause"]) == {"rationale", "help"}
    assert {check["passed"] for check in content["results"]} == {True, False, None}


def test_a_row_for_each_item_says_what_the_verdict_says() -> None:
    rows = list(csv.DictReader(io.StringIO(lines_csv([submission()]))))

    points = sum(float(row["points"]) for row in rows if row["points"])
    assert points == pytest.approx(submission().points)
    assert [row["item"] for row in rows] == [item.label for item in items_of(submission())]


def test_a_row_for_each_submission_has_its_points_by_test() -> None:
    other = replace(submission(), program="Other", runs=submission().runs[:2])

    rows = list(csv.DictReader(io.StringIO(marks_csv([submission(), other]))))

    assert [row["submission"] for row in rows] == ["First_Last_p1", "Other"]
    assert rows[0]["cpu-5-heavy-and-light"] == "0"
    assert rows[1]["cpu-5-heavy-and-light"] == ""


def test_no_cell_becomes_a_formula_in_a_spreadsheet() -> None:
    for text in (lines_csv([hostile()]), marks_csv([hostile()])):
        for row in list(csv.reader(io.StringIO(text)))[1:]:
            for cell in row:
                assert not cell.startswith(("=", "+", "@", "\t", "\r"))
                assert not cell.startswith("-") or re.fullmatch(r"-[0-9.]+", cell)


def test_a_summary_never_grows_beyond_what_github_takes() -> None:
    text = step_summary([submission()] * 2000)

    assert len(text.encode()) <= 1024 * 1024
    shown = text.count("### First\\_Last\\_p1")
    assert text.endswith(f"{2000 - shown} more submissions are left out: no room.\n")


def test_no_more_annotations_are_written_than_github_shows() -> None:
    lines = step_annotations([submission()] * 5 + [lab_failed()] * 20).splitlines()

    for kind in ("error", "warning"):
        mine = [line for line in lines if line.startswith(f"::{kind} ")]
        assert len(mine) == 10
        assert re.search(r"virtlab::\d+ more are not shown here", mine[-1])


def test_what_a_program_wrote_becomes_no_markup_and_no_command() -> None:
    summary, commands = step_summary([hostile()]), step_annotations([hostile()])

    assert "<b>" not in summary.replace("\\<b\\>", "")
    assert all(line.startswith("::error title=") for line in commands.splitlines())
    for text in (summary, commands, gradescope_json(hostile()), junit_xml([hostile()])):
        assert "\x1b" not in text
        text.encode()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("junit.xml", lambda: junit_xml([lab_failed()])),
        ("gradescope.json", lambda: gradescope_json(lab_failed(), real_s=2.4)),
        ("check50.json", lambda: check50_json(lab_failed())),
        ("lines.csv", lambda: lines_csv([lab_failed()])),
        ("marks.csv", lambda: marks_csv([lab_failed(), submission()])),
        ("summary.md", lambda: step_summary([lab_failed()])),
        ("annotations.txt", lambda: step_annotations([lab_failed()])),
    ],
)
def test_a_report_reads_as_before(
    name: str, text: Callable[[], str], golden: Callable[[str, str], None]
) -> None:
    shown = re.sub(r'"version": "[^"]*"\n', '"version": "-"\n', text())
    golden(name, shown)
