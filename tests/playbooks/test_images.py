"""`images.yml`: an image of a mirror on loopback, into a folder; a second run changes nothing."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from virtlab.resources import playbooks_dir

BIN = Path(sys.executable).parent
MIRROR_LAB = Path(__file__).parents[1] / "images" / "mirror_lab.py"
Play = Callable[..., "subprocess.CompletedProcess[str]"]
SAID = "TASK [virtlab.lab.images : Say how far it is]"


def mirror_lab() -> Any:
    """Return the module of the images' tests."""
    spec = importlib.util.spec_from_file_location("virtlab_tests_mirror_lab", MIRROR_LAB)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Give a way to run the playbook, with a signed mirror in a folder as its source."""
    if shutil.which("gpg") is None or shutil.which("qemu-img") is None:
        pytest.skip("gpg and qemu-img are not installed; scripts/setup tests installs them")
    subprocess.run([sys.executable, MIRROR_LAB, tmp_path], check=True, timeout=60)

    def run(
        *words: str, told: Callable[[str], None] = lambda _line: None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        given = {
            "lab_become": "false", "images_arch": "amd64", "images_method": "native",
            "images_source": f"{tmp_path}/mirror", "images_keyring": f"{tmp_path}/mirror.gpg",
            "images_folder": f"{tmp_path}/home", "images_tell_s": "1", **variables,
        }  # fmt: skip
        assigned = [word for item in given.items() for word in ("-e", "=".join(item))]
        command = [BIN / "ansible-playbook", "images.yml", *assigned, *words]
        with subprocess.Popen(
            command, cwd=playbooks_dir(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_NOCOLOR": "1"},
        ) as process:  # fmt: skip
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                told(line)
                lines.append(line)
        return subprocess.CompletedProcess(command, process.returncode, "".join(lines))

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


def test_a_download_is_followed_over_more_than_one_stretch(
    play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look is included by the one before it; a stretch ends that chain."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    lab = mirror_lab()
    enough = threading.Event()
    looks = 0

    def told(line: str) -> None:
        nonlocal looks
        looks += line.startswith(SAID)
        if looks == 5:
            enough.set()

    with lab.Server(tmp_path / "mirror").running() as server:
        server.half_sent = lambda: enough.wait(120)
        done = play(told=told, images_source=server.url, images_stretch="2")

    assert done.returncode == 0, done.stdout
    assert looks >= 5
    assert "downloading noble amd64 20260101" in done.stdout
    assert done.stdout.count("TASK [virtlab.lab.images : Count looks anew]") >= 2
