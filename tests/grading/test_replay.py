from __future__ import annotations

import shlex

import pytest

from virtlab.grading.replay import replay_command


@pytest.mark.parametrize("program", ["ann.zip", "a b;id.zip", "$(id)", "it's", "-x"])
def test_a_command_that_is_copied_names_the_file_and_runs_nothing_else(program: str) -> None:
    command = replay_command("my tests/one.yaml", program, 3)

    assert shlex.split(command) == [
        "virtlab", "run", "my tests/one.yaml", program, "--seed", "3",
    ]  # fmt: skip
