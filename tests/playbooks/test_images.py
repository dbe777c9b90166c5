"""`images.yml`: an image of a mirror on loopback, into a folder; a second run changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from virtlab.resources import playbooks_dir

BIN = Path(sys.executable).parent
MIRROR_LAB = Path(__file__).parents[1] / "images" / "mirror_lab.py"
Play = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Give a way to run the playbook, with a signed mirror in a folder as its source."""
    if shutil.which("gpg") is None or shutil.which("qemu-img") is None:
        pytest.skip("gpg and qemu-img are not installed; scripts/setup tests installs them")
    subprocess.run([sys.executable, MIRROR_LAB, tmp_path], check=True, timeout=60)

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        given = {
            "lab_become": "false", "images_arch": "amd64", "images_method": "native",
            "images_source": f"{tmp_path}/mirror", "images_keyring": f"{tmp_path}/mirror.gpg",
            "images_folder": f"{tmp_path}/home", "images_tell_s": "1", **variables,
        }  # fmt: skip
        assigned = [word for item in given.items() for word in ("-e", "=".join(item))]
        return subprocess.run(
            [BIN / "ansible-playbook", "images.yml", *assigned, *words],
            cwd=playbooks_dir(), capture_output=True, text=True, timeout=300,
            env={**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_NOCOLOR": "1"},
        )  # fmt: skip

    return run


def test_an_image_is_brought_once_and_looking_only_says_so(play: Play, tmp_path: Path) -> None:
    looked = play("--check")
    assert looked.returncode == 0, looked.stdout
    assert "changed=1 " in looked.stdout
    assert not (tmp_path / "home").exists()

    first = play()
    assert first.returncode == 0, first.stdout
    assert "changed=1 " in first.stdout
    assert "by the way native: images are kept in a plain folder" in first.stdout
    assert len(list((tmp_path / "home" / "images").iterdir())) == 1

    again = play()
    assert again.returncode == 0, again.stdout
    assert "changed=0 " in again.stdout


def test_a_refusal_is_told_in_the_programs_words(play: Play) -> None:
    done = play(images_release="nobel")

    assert done.returncode != 0
    assert "has no image of nobel for amd64" in done.stdout
    assert "did you mean noble?" in done.stdout
