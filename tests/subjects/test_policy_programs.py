"""A policy as a submission: our daemon runs it, and what is wrong with it is told by the build."""

from __future__ import annotations

from pathlib import Path

import pytest

from virtlab.model.scenario import ProgramKind
from virtlab.subjects.build import build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.policy_runner import lay_runner
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.starters import make_starter

_POLICY = """
from virtlab.model.plan import CpuPlan
from virtlab.model.snapshot import CpuSnapshot


class Still:
    def decide(self, host: CpuSnapshot) -> CpuPlan:
        return CpuPlan()
"""


def _handed_in(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "mine.py").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("snapshot", "kind"), [("Cpu", "vcpu_scheduler"), ("Memory", "memory_coordinator")]
)
def test_what_a_policy_sees_tells_which_program_it_is(
    tmp_path: Path, snapshot: str, kind: ProgramKind
) -> None:
    text = _POLICY.replace("Cpu", snapshot)
    found = find_programs(_handed_in(tmp_path / "in", text))

    assert {name: source.way for name, source in found.items()} == {kind: "policy"}


def test_a_program_that_connects_to_libvirt_is_run_as_it_is(tmp_path: Path) -> None:
    found = find_programs(_handed_in(tmp_path / "in", f"import libvirt\n{_POLICY}"))

    assert found["vcpu_scheduler"].way == "python"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (_POLICY, None),
        (f"{_POLICY}    def oops(:\n", "line 9"),
        (f"{_POLICY}\n\nclass Other(Still):\n    decide = Still.decide\n", "2 classes"),
        (_POLICY.replace("class Still:", "class Still:\n    x: int = 1 / 0"), "ZeroDivisionError"),
    ],
)
def test_a_policy_that_cannot_be_made_does_not_build(
    work: Path, text: str, problem: str | None
) -> None:
    root = _handed_in(work / "in", text)
    built = build(find_programs(root)["vcpu_scheduler"], root, find_sandbox())

    assert built.ok == (problem is None), built.log
    assert problem is None or problem in (built.first_error or "")


@pytest.mark.parametrize("kind", ["vcpu_scheduler", "memory_coordinator"])
def test_a_policy_to_start_from_builds(work: Path, kind: ProgramKind) -> None:
    root = work / "Her_Own_p1"
    made = make_starter(kind, root, "policy")
    built = build(find_programs(root)[kind], root, find_sandbox())

    assert "YOUR PART" in made.source.read_text()
    assert built.ok, built.log


def test_what_runs_policies_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTLAB_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    lay_runner(tmp_path / "one")
    (kept,) = (tmp_path / "cache").iterdir()
    made_ns = kept.stat().st_mtime_ns
    lay_runner(tmp_path / "two")

    assert [path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()] == [made_ns]
    assert (tmp_path / "two" / ".virtlab" / "lab.zip").is_file()
