from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from virtlab.errors import SubmissionError
from virtlab.subjects.unpack import UnpackLimits, open_submission

SOURCE = b"int main(void) { return 0; }\n"


def zip_of(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def tar_of(path: Path, *members: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            if member.isreg():
                member.size = len(SOURCE)
            archive.addfile(member, io.BytesIO(SOURCE) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def files_in(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_given_a_folder_then_its_files_are_copied_and_its_history_is_not(tmp_path: Path) -> None:
    handed_in = tmp_path / "First_Last_p1"
    (handed_in / "cpu").mkdir(parents=True)
    (handed_in / "cpu" / "vcpu_scheduler.c").write_bytes(SOURCE)
    (handed_in / "cpu" / "run.sh").write_text("#!/bin/sh\n")
    (handed_in / "cpu" / "run.sh").chmod(0o4755)
    (handed_in / ".git").mkdir()
    (handed_in / ".git" / "config").write_text("secret")

    got = open_submission(handed_in, tmp_path / "copy")

    assert got.name == "First_Last_p1"
    assert files_in(got.root) == ["cpu/run.sh", "cpu/vcpu_scheduler.c"]
    assert (got.root / "cpu/vcpu_scheduler.c").read_bytes() == SOURCE
    assert stat.S_IMODE((got.root / "cpu/run.sh").stat().st_mode) == 0o755  # no setuid


def test_given_links_in_a_folder_then_only_those_within_it_are_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not theirs")
    handed_in = tmp_path / "in"
    handed_in.mkdir()
    (handed_in / "real.c").write_bytes(SOURCE)
    (handed_in / "same.c").symlink_to("real.c")
    (handed_in / "leak.c").symlink_to(tmp_path / "secret")
    (handed_in / "all").symlink_to("/etc")
    (handed_in / "loop").symlink_to("loop")
    os.mkfifo(handed_in / "pipe")

    got = open_submission(handed_in, tmp_path / "copy")

    assert files_in(got.root) == ["real.c", "same.c"]
    assert not (got.root / "same.c").is_symlink()
    assert [note.split(":")[0] for note in got.notes] == ["all", "leak.c", "loop", "pipe"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_any_tar_is_unpacked_whatever_its_name(tmp_path: Path, mode: str) -> None:
    handed_in = tar_of(tmp_path / "upload", member("cpu/a.c"), mode=mode)

    got = open_submission(handed_in, tmp_path / "copy")

    assert files_in(got.root) == ["cpu/a.c"]


def test_a_zip_made_on_windows_is_unpacked_with_its_odd_names(tmp_path: Path) -> None:
    handed_in = zip_of(
        tmp_path / "Fïrst_p1.zip",
        ("First\\cpu\\vcpu_scheduler.c", SOURCE),
        ("__MACOSX/._x", b"x"),
        ("First/", b""),
        ("First/mémoire.txt", b"x"),
    )

    got = open_submission(handed_in, tmp_path / "copy")

    assert got.name == "Fïrst_p1"
    assert files_in(got.root) == ["First/cpu/vcpu_scheduler.c", "First/mémoire.txt"]


def test_a_single_file_is_copied(tmp_path: Path) -> None:
    (tmp_path / "vcpu_scheduler.c").write_bytes(SOURCE)

    got = open_submission(tmp_path / "vcpu_scheduler.c", tmp_path / "copy")

    assert (got.name, files_in(got.root)) == ("vcpu_scheduler", ["vcpu_scheduler.c"])


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda p: zip_of(p, ("../../evil.c", SOURCE)), "../../evil.c: leads out of the archive"),
        (lambda p: zip_of(p, ("/etc/evil", SOURCE)), "/etc/evil: leads out of the archive"),
        (lambda p: zip_of(p, ("..\\evil", SOURCE)), "leads out of the archive"),
        (lambda p: zip_of(p, ("C:\\evil", SOURCE)), "leads out of the archive"),
        (lambda p: tar_of(p, member("a/../../evil")), "leads out of the archive"),
        (
            lambda p: tar_of(p, member("cpu/x", tarfile.SYMTYPE, "../../../etc")),
            "cpu/x: a link out of the submission, left out",
        ),
        (lambda p: tar_of(p, member("x", tarfile.SYMTYPE, "/etc/passwd")), "x: a link out of"),
        (lambda p: tar_of(p, member("a/x", tarfile.LNKTYPE, "../etc")), "x: a link out of"),
        (
            lambda p: tar_of(p, member("disk", tarfile.BLKTYPE)),
            "disk: a device, a pipe or a socket, left out",
        ),
        (
            lambda p: tar_of(p, member("pipe", tarfile.FIFOTYPE)),
            "pipe: a device, a pipe or a socket, left out",
        ),
        (lambda p: zip_of(p, ("zeros", bytes(20_000_000))), "as only a bomb does"),
        (lambda p: zip_of(p, ("a", b"x"), ("a/b", b"x")), "a/b: is a file and a folder"),
        (lambda p: zip_of(p, ("a" * 300, b"x")), "is no name for a file"),
        (lambda p: zip_of(p, ("d/" * 50 + "f", b"x")), "lies more than 30 folders deep"),
        (lambda p: zip_of(p, (".git/config", b"x")), "there is no file in it"),
    ],
)
def test_an_unsafe_archive_is_refused_and_nothing_is_left(
    tmp_path: Path, make: Callable[[Path], Path], what: str
) -> None:
    handed_in = make(tmp_path / "upload.bin")

    with pytest.raises(SubmissionError) as caught:
        open_submission(handed_in, tmp_path / "copy")

    assert what in str(caught.value)
    assert "fix: " in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["upload.bin"]


def test_a_link_within_an_archive_cannot_redirect_a_later_member(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    handed_in = tar_of(
        tmp_path / "x.tar", member("d", tarfile.SYMTYPE, "e"), member("d/file"), mode="w"
    )

    got = open_submission(handed_in, tmp_path / "copy")

    assert files_in(got.root) == ["d/file"]
    assert got.notes == ("d: a link to no file of the submission, left out",)


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        (UnpackLimits(files=2), "c: is one too many, there are more than 2 files and folders"),
        (UnpackLimits(bytes=2), "more than "),
    ],
)
def test_too_much_is_refused(tmp_path: Path, limits: UnpackLimits, what: str) -> None:
    handed_in = zip_of(tmp_path / "x.zip", ("a", b"1"), ("b", b"2"), ("c", b"3"))

    with pytest.raises(SubmissionError, match=what):
        open_submission(handed_in, tmp_path / "copy", limits)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar"])
def test_a_broken_archive_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 this is no archive")

    with pytest.raises(SubmissionError, match=r"cannot be unpacked: .*\n  fix: pack the folder"):
        open_submission(tmp_path / name, tmp_path / "copy")


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "x.tar.gz", member("a.c"), member("b.c")).read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(SubmissionError, match=r"x\.tar\.gz: cannot be unpacked"):
        open_submission(tmp_path / "x.tar.gz", tmp_path / "copy")


def test_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(SubmissionError, match="empty: there is no file in it"):
        open_submission(tmp_path / "empty", tmp_path / "copy")
    with pytest.raises(SubmissionError, match="missing: does not exist"):
        open_submission(tmp_path / "missing", tmp_path / "copy")
