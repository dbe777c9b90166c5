"""The Vagrantfile's own Ruby, and Vagrant itself where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]


def ruby(program: str, given: object) -> Any:
    """Return what a Ruby program makes of a value, both as JSON; the lab's modules are loaded."""
    if shutil.which("ruby") is None:
        pytest.skip("Ruby is not installed: scripts/setup tests")
    loaded = f"require '{PROJECT}/scripts/vagrant/machine'; given = JSON.parse($stdin.read); "
    done = subprocess.run(
        ["ruby", "-W", "-e", f"{loaded} puts JSON.generate(({program}))"],
        input=json.dumps(given), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture
def vagrant(tmp_path: Path) -> Any:
    """Give a way to run Vagrant on the project's Vagrantfile, with a home of its own."""
    if shutil.which("vagrant") is None:
        pytest.skip("Vagrant is not installed: scripts/setup tests")

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {
            "VAGRANT_HOME": str(tmp_path / "home"), "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"),
            "VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_CWD": str(PROJECT),
        }  # fmt: skip
        return subprocess.run(
            ["vagrant", *words], capture_output=True, text=True, timeout=120, cwd=tmp_path,
            env={**os.environ, **own, **variables},
        )  # fmt: skip

    return run
