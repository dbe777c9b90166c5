"""The container's recipe: it has what `scripts/setup` installs, and leaves files to their owner."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]


def _setup_packages() -> set[str]:
    listed = re.search(
        r"^packages=\(([^)]*)\)", (_ROOT / "scripts/setup").read_text(), re.MULTILINE
    )
    assert listed
    return set(listed[1].split())


def _installed_by(text: str) -> set[str]:
    lines = re.findall(r"apt-get install -y --no-install-recommends ([a-z0-9. -]+)", text)
    return set(lines[-1].split())


def test_given_what_setup_installs_then_the_container_has_it() -> None:
    wanted = _setup_packages() - {"python3-venv"}  # which only the stage that is thrown away needs

    assert _installed_by((_ROOT / "Containerfile").read_text()) == wanted


def test_given_what_setup_installs_then_the_page_on_installing_names_it() -> None:
    wanted = _setup_packages() - {"python3"}  # which comes with its venv

    assert _installed_by((_ROOT / "docs/how-to/install.md").read_text()) == wanted


def test_given_the_development_container_then_its_recipe_is_found() -> None:
    described = json.loads((_ROOT / ".devcontainer/devcontainer.json").read_text())

    assert (_ROOT / ".devcontainer" / described["build"]["dockerfile"]).resolve().is_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can own what belongs to others")
def test_given_a_folder_of_somebody_else_when_root_writes_there_then_it_is_theirs(
    tmp_path: Path,
) -> None:
    os.chown(tmp_path, 4321, 4322)
    (tmp_path / "older").touch()

    done = subprocess.run(
        [_ROOT / "scripts/container-entry", "new", "vcpu-scheduler", "Mine"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        check=False,
    )

    assert done.returncode == 0
    made = (tmp_path / "Mine/cpu/vcpu_scheduler.c").stat()
    assert (made.st_uid, made.st_gid) == (4321, 4322)


def test_given_a_command_that_fails_when_it_is_entered_then_its_exit_code_comes_out(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [_ROOT / "scripts/container-entry", "grade", "nothing-here"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    assert "nothing-here" in done.stderr
