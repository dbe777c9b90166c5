"""Verdicts as JUnit XML: a test suite for each submission, a test case for each line of points.

A point lost by the program is a failure; what the lab kept from running is an error, and nobody's
fault who handed in; what is given by hand is skipped. There are no times and no host's name, which
Ant's schema wants and Jenkins' does not: equal runs give equal bytes.
Source: junit-10.xsd of Jenkins' xUnit plug-in, with `error` as Ant's junit task writes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from virtlab.model.verdict import Verdict
from virtlab.reports.items import Item, items_of, moment_text, points_text, readable

__all__ = ["junit_xml"]

# Characters that XML 1.0 has no way to write (section 2.2, production 2).
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GENERAL = "submission"  # class of what belongs to no test


def junit_xml(verdicts: Sequence[Verdict]) -> str:
    """Return verdicts as one document of JUnit XML."""
    suites = [_suite(verdict) for verdict in verdicts]
    root = ElementTree.Element("testsuites", name="virtlab")
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    root.extend(suites)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(verdict: Verdict) -> ElementTree.Element:
    items = list(items_of(verdict))
    counts = {
        "tests": len(items),
        "failures": sum(item.status == "lost" for item in items),
        "errors": sum(item.status == "lab_fault" for item in items),
        "skipped": sum(item.status == "outside" for item in items),
    }
    suite = ElementTree.Element("testsuite", name=_xml(verdict.program))
    for name, count in counts.items():
        suite.set(name, str(count))
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (
        ("rubric", verdict.rubric),
        ("rubric_version", verdict.rubric_version),
        ("seed", str(verdict.seed)),
        ("points", points_text(verdict.points)),
        ("points_max", points_text(verdict.points_max)),
        ("partial", str(verdict.partial).lower()),
        ("clock", verdict.clock),
    ):
        ElementTree.SubElement(properties, "property", name=name, value=_xml(value))
    suite.extend(_case(item) for item in items)
    return suite


def _case(item: Item) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", classname=_xml(item.test or _GENERAL), name=_xml(item.label)
    )
    first = _xml(item.reason.splitlines()[0] if item.reason else "")
    if item.status == "lost":
        lost = ElementTree.SubElement(case, "failure", type="points", message=first)
        lost.text = _xml("\n".join(_details(item)))
    elif item.status == "lab_fault":
        fault = ElementTree.SubElement(case, "error", type="lab", message=first)
        fault.text = _xml(item.reason)
    elif item.status == "outside":
        ElementTree.SubElement(case, "skipped", message=first)
    return case


def _details(item: Item) -> list[str]:
    lines = [f"{points_text(item.points or 0.0)} of {points_text(item.points_max)} points"]
    lines.append(f"why: {item.reason}")
    if item.moment is not None:
        lines.append(f"first: {moment_text(item.moment)}")
        lines += [f"  {call}" for call in item.moment.calls]
    if item.hint is not None:
        lines.append(f"hint: {item.hint}")
    if item.replay is not None:
        lines.append(f"again: {item.replay}")
    return lines


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", readable(text))
