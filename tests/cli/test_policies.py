"""`virtlab policies`: what it prints and how it exits."""

import json
import subprocess
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from virtlab.cli.app import app as whole
from virtlab.cli.policies import app
from virtlab.errors import UsageError
from virtlab.policies.registry import BUILT_IN

_RUN = CliRunner()
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_list_names_every_policy_and_what_it_decides() -> None:
    listed = json.loads(_RUN.invoke(app, ["list", "--json"]).stdout)

    assert {one["name"] for one in listed["policies"]} == set(BUILT_IN)
    assert listed["version"] == 1
    assert all(one["title"].endswith(".") for one in listed["policies"])


def test_list_can_be_limited_to_a_kind() -> None:
    lines = _RUN.invoke(app, ["list", "--kind", "scheduling"]).stdout.splitlines()

    assert lines[0].startswith("leave-alone ")
    assert any(line.startswith("even ") for line in lines)
    assert all(" scheduling " in line for line in lines)


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no policy decides networks") as refusal:
        _RUN.invoke(app, ["list", "--kind", "networks"], catch_exceptions=False)

    assert "use scheduling or coordination" in str(refusal.value)


def test_show_teaches_the_policy_and_its_parameters() -> None:
    shown = _RUN.invoke(app, ["show", "greedy"]).stdout

    assert shown.startswith("greedy (scheduling): From the busiest pCPU to the idlest")
    assert "\nWeak spot: " in shown
    assert "\n  moves_max=2  (moves a tick; 1..)\n      most moves at once\n" in shown


def test_show_says_that_there_is_nothing_to_set() -> None:
    assert _RUN.invoke(app, ["show", "leave-alone"]).stdout.endswith("It has no parameters.\n")


def test_show_prints_json() -> None:
    shown = json.loads(_RUN.invoke(app, ["show", "even", "--json"]).stdout)["policy"]

    assert (shown["name"], shown["kind"]) == ("even", "scheduling")
    assert shown["parameters"][0] == {
        "name": "tolerance",
        "kind": "float",
        "default": 0.05,
        "unit": "share of a pCPU",
        "effect": "how far a pCPU may be from the even level before anything is done",
        "range": "0..",
    }


def test_an_unknown_policy_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="no policy is called 'evn'") as refusal:
        _RUN.invoke(app, ["show", "evn"], catch_exceptions=False)

    assert "did you mean even?" in str(refusal.value)


def test_names_of_policies_are_completed_by_the_shell(virtlab: Run) -> None:
    completed = virtlab(
        env={
            "_VIRTLAB_COMPLETE": "complete_bash",
            "COMP_WORDS": "virtlab policies show larg",
            "COMP_CWORD": "3",
        }
    )

    assert completed.stdout.split() == ["largest-first"]


def test_help_shows_a_working_example() -> None:
    shown = _RUN.invoke(whole, ["policies", "show", "--help"]).stdout

    assert "virtlab policies show even" in shown
