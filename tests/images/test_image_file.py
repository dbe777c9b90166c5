"""What an image may name, and which files a disk is built on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from image_lab import make_qcow2

from virtlab.errors import EnvironmentLackError, InputError
from virtlab.images import check_image
from virtlab.images.image_file import files_behind


def rebased(path: Path, name: str) -> Path:
    """Have a disk name another one that it is built on, which nobody looks at."""
    command = ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", name, "-F", "raw", str(path)]
    subprocess.run(command, check=True, timeout=60)
    return path


def test_an_image_that_stands_alone_is_taken(tmp_path: Path) -> None:
    assert check_image(make_qcow2(tmp_path / "a.qcow2"), "a").virtual_size_bytes == 2 << 20


@pytest.mark.parametrize("why", ["it names a backing file", "it keeps its data in another file"])
def test_no_program_opens_what_an_image_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    if "backing" in why:
        path = rebased(make_qcow2(tmp_path / "a.qcow2"), "/etc/shadow")
    else:
        path = make_qcow2(tmp_path / "a.qcow2", "-o", f"data_file={tmp_path / 'data'}")
    monkeypatch.setenv("PATH", "")

    with pytest.raises(InputError, match=f"a.qcow2: {why}, so it is refused"):
        check_image(path, "a.qcow2")


def test_all_files_that_a_disk_is_built_on_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_qcow2(tmp_path / "base.qcow2")
    middle = make_qcow2(tmp_path / "middle.qcow2", "-b", "base.qcow2", "-F", "qcow2")
    top = make_qcow2(tmp_path / "top.qcow2", "-b", str(middle), "-F", "qcow2")
    (tmp_path / "raw").write_bytes(bytes(1 << 20))
    (tmp_path / "link").symlink_to(top)
    monkeypatch.setenv("PATH", "")

    assert files_behind({top}) == {top, middle, base}
    assert files_behind({tmp_path / "link"}) == {tmp_path / "link", top, middle, base}
    alone = {tmp_path / "raw", tmp_path / "gone", Path("/dev/null")}
    assert files_behind(alone) == alone


def test_a_guest_cannot_have_what_its_disk_names_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest writes what it wants to a raw disk, such as the beginning of a qcow2."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    named = rebased(make_qcow2(tmp_path / "named.qcow2"), str(pipe))
    remote = rebased(make_qcow2(tmp_path / "remote.qcow2"), "nbd://127.0.0.1:9/x")
    monkeypatch.setenv("PATH", "")

    assert files_behind({named, remote}) == {named, pipe, remote}


def test_a_disk_whose_files_cannot_be_told_keeps_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded = rebased(
        make_qcow2(tmp_path / "coded.qcow2"), 'json:{"driver":"file","filename":"/etc/hostname"}'
    )
    lacking = rebased(make_qcow2(tmp_path / "lacking.qcow2"), "gone.qcow2")
    round_about = rebased(make_qcow2(tmp_path / "round.qcow2"), "round.qcow2")
    other = tmp_path / "other.qed"
    other.write_bytes(b"QED\0" + bytes(100))
    monkeypatch.setenv("PATH", "")

    for disk in (coded, lacking, round_about, other):
        with pytest.raises(EnvironmentLackError, match="so nothing is removed") as caught:
            files_behind({disk})
        assert caught.value.fix == f"look at it: sudo qemu-img info --backing-chain {disk}"
