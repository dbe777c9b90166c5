"""Policies of a user's own: found, and refused in words where they cannot be."""

from pathlib import Path

import pytest

from virtlab.agent.plugins import describe_policy, find_policy
from virtlab.errors import InputError, UsageError
from virtlab.policies.parameters import configured, settings_of
from virtlab.policies.scheduling.even import Even

POLICY = '''"""Careful: do nothing at all.

Idea: what is not touched does not break.
"""

from __future__ import annotations

from dataclasses import dataclass

from virtlab.model.plan import CpuPlan
from virtlab.model.snapshot import CpuSnapshot
from virtlab.policies.parameters import tunable


@dataclass(slots=True)
class Careful:
    patience: int = tunable(3, unit="ticks", effect="how long it waits", at_least=1)

    def decide(self, host: CpuSnapshot) -> CpuPlan:
        return CpuPlan(because="careful")
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(POLICY)
    return tmp_path


def write(folder: Path, text: str) -> str:
    path = folder / "other.py"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", ["mine.py", "mine.py:Careful", "./mine.py"])
def test_a_file_of_ones_own_is_a_policy_like_any(folder: Path, name: str) -> None:
    policy = configured(find_policy(name, "scheduling"), {"patience": "5"})

    assert settings_of(policy) == {"patience": 5}


def test_a_module_is_found_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "module_of_mine.py").write_text(POLICY)

    assert find_policy("module_of_mine:Careful", "scheduling").__name__ == "Careful"


def test_what_comes_with_the_lab_is_found_by_its_name() -> None:
    assert find_policy("even", "scheduling") is Even
    assert describe_policy("even").title.startswith("Even:")


def test_the_lesson_is_that_of_the_file(folder: Path) -> None:
    about = describe_policy("mine.py")

    assert (about.kind, about.title) == ("scheduling", "Careful: do nothing at all.")
    assert [one.name for one in about.parameters] == ["patience"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("def decide(:\n", "cannot be imported: line 1: invalid syntax"),
        ("\nimport nothing_like_it\n", "line 2: ModuleNotFoundError: No module named 'nothing"),
        ("x = 1 / 0\n", "line 1: ZeroDivisionError: division by zero"),
        ("class A:\n    pass\n", "has 0 classes with a method decide"),
        (f"{POLICY}\nclass Two(Careful):\n    pass\n", "has 2 classes with a method decide"),
        ("class A:\n    def decide(self, host):\n        ...\n", "does not say what it decides"),
        (
            "class A:\n    def __init__(self, x):\n        ...\n"
            "    def decide(self, host: 'CpuSnapshot'):\n        ...\n",
            "cannot be made without arguments: line",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    folder: Path, text: str, sentence: str
) -> None:
    with pytest.raises((InputError, UsageError)) as refusal:
        find_policy(write(folder, text), "scheduling")

    assert sentence in str(refusal.value)
    assert "\n  fix: " in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("absent.py", "absent.py: there is no such file"),
        ("mine.py:Carefull", "mine.py has no 'Carefull'\n  fix: did you mean Careful?"),
        ("mine.py:tunable", "mine.py:tunable is no policy"),
        ("absent_module:Careful", "Python finds no module absent_module"),
        ("evn", "no scheduling policy is called 'evn'\n  fix: did you mean even?"),
    ],
)
def test_a_wrong_name_is_answered_with_what_is_there(
    folder: Path, name: str, sentence: str
) -> None:
    with pytest.raises((InputError, UsageError)) as refusal:
        find_policy(name, "scheduling")

    assert sentence in str(refusal.value)


def test_a_policy_of_the_other_kind_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"mine\.py is a scheduling policy, and a coordination"):
        find_policy("mine.py", "coordination")
