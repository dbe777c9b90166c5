"""`virtlab images` as a command: what it prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mirror_lab import Mirror, Server

from virtlab.images.progress import in_words

Images = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """Give a way to run the command on a plain folder."""

    def run(verb: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [Path(sys.executable).with_name("virtlab"), "images", verb, *words]
        return subprocess.run(
            [*command, "--folder", tmp_path / "home"], capture_output=True, text=True, timeout=120
        )

    return run


def test_an_image_is_brought_listed_verified_and_then_there_already(
    images: Images, mirror: Mirror, server: Server, keyring: Path, small_image: Path, tmp_path: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    words = ["--arch", "amd64", "--source", server.url, "--keyring", str(keyring)]

    first = images("sync", *words)
    again = images("sync", *words, "--json")
    listed = images("list")
    whole = images("verify")

    assert (first.returncode, again.returncode, listed.returncode, whole.returncode) == (0,) * 4
    assert first.stdout.startswith("brought noble amd64 20260101: /")
    assert "virtlab: by the way native: images are kept in a plain folder.\n" in first.stderr
    assert "virtlab: downloading noble amd64 20260101: " in first.stderr
    found = json.loads(again.stdout)
    assert again.stderr == ""
    assert (found["version"], found["changed"], found["method"]) == (1, False, "native")
    assert found["image"]["path"] in listed.stdout
    assert listed.stdout.startswith("noble 24.04 amd64 20260101  1.0 MiB  native  /")
    assert whole.stdout == "noble amd64 20260101 (native): whole\n"

    with Path(found["image"]["path"]).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    broken = images("verify", "--json")
    assert broken.returncode == 1
    assert (
        json.loads(broken.stdout)["images"][0]["damage"] == "its content has changed since it came"
    )
    assert "virtlab images sync again" in images("verify").stdout


def test_looking_only_says_how_much_it_would_be(
    images: Images, mirror: Mirror, server: Server, keyring: Path, small_image: Path, tmp_path: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")

    done = images(
        "sync", "--check", "--arch", "amd64", "--source", server.url, "--keyring", keyring
    )

    size = in_words(small_image.stat().st_size)
    assert done.stdout == f"would bring noble amd64 20260101: {size}\n"
    assert not (tmp_path / "home").exists()


def test_what_was_only_removed_is_not_said_to_be_brought(
    images: Images, mirror: Mirror, server: Server, keyring: Path, small_image: Path
) -> None:
    words = ("--arch", "amd64", "--source", server.url, "--keyring", keyring)
    for version in ("20260101", "20260202"):
        mirror.add(small_image, version=version)
        mirror.publish("mirror")
        images("sync", *words)

    done = images("sync", "--prune", *words)

    here, removed = done.stdout.splitlines()
    assert here.startswith("noble amd64 20260202 is here already: /")
    assert removed.startswith("removed com.ubuntu.cloud-server-24.04-amd64-20260101-")


def test_where_nothing_is_kept_the_command_that_brings_one_is_told(images: Images) -> None:
    assert images("list").stdout == "No images are kept here; virtlab images sync brings one.\n"
    assert json.loads(images("list", "--json").stdout) == {
        "version": 1, "images": [], "at_work": None,
    }  # fmt: skip
    done = images("verify", "--release", "noble")
    assert done.returncode == 4
    assert "fix: virtlab images sync --release noble" in done.stderr


def test_mistakes_are_told_in_a_line_with_what_mends_them(
    images: Images, keyring: Path, tmp_path: Path
) -> None:
    both = images("sync", "--keyring", keyring, "--no-authentication")
    wrong = images("sync", "--method", "uvtool")
    nowhere = images("sync", "--source", "http://127.0.0.1:9/", "--no-authentication")
    missing = images("sync", "--keyring", tmp_path / "none.gpg")

    assert [one.returncode for one in (both, wrong, nowhere, missing)] == [2, 2, 4, 4]
    assert "exclude each other" in both.stderr
    assert "uvtool keeps images in its own pool" in wrong.stderr
    assert "name a mirror by --source" in nowhere.stderr
    assert "sudo apt-get install -y ubuntu-cloudimage-keyring" in missing.stderr
    assert all("Traceback" not in one.stderr for one in (both, wrong, nowhere, missing))
