"""Whatever an archive holds, it is unpacked below its folder, or refused and nothing is left."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from virtlab.errors import SubmissionError
from virtlab.subjects.unpack import UnpackLimits, open_submission

LIMITS = UnpackLimits(files=50, bytes=1 << 20, members=200, real_s=20)
TAR_KINDS = [
    *(tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE),
    *(tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE, b"\0", b"Z"),
]
parts = st.sampled_from(
    ["a", "b", "..", ".", "", "c:", "é", "e\u0301", "x\ny", "\x1b[2J", "\udcff", "n" * 300, "a\\b"]
)
names = st.lists(parts, min_size=1, max_size=4).map("/".join)
zip_names = names.map(lambda name: name.replace("\udcff", "z"))
links = st.one_of(names, st.sampled_from(["/etc/passwd", "../../..", "a", "a/b"]))
mutations = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert", "double"]), st.floats(0, 1), st.binary()),
    max_size=6,
)


def unpacked(content: bytes) -> bool:
    """Open an archive and hold the promise; tell whether it was taken."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "upload").write_bytes(content)
        try:
            got = open_submission(folder / "upload", folder / "copy", LIMITS)
        except SubmissionError as error:
            assert "fix: " in str(error)
            assert str(error).replace("\n", "").isprintable()
            assert [path.name for path in folder.iterdir()] == ["upload"]
            return False
        assert sorted(path.name for path in folder.iterdir()) == ["copy", "upload"]
        assert (folder / "upload").read_bytes() == content
        for path in got.root.rglob("*"):
            assert not path.is_symlink()
            assert path.is_file() or path.is_dir()
            assert path.stat().st_mode & 0o7000 == 0
        assert all(note.isprintable() for note in got.notes)
        return True


def tar_of(*members: tuple[str, bytes, str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, link, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size, info.mode = kind, link, len(data), 0o7777
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_of(*members: tuple[str, int, bytes]) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of equal names
        for name, mode, data in members:
            info = zipfile.ZipInfo(name or "x")
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, data)
    return out.getvalue()


WHOLE = [
    zip_of(("cpu/vcpu_scheduler.c", 0o100644, b"int main;"), ("cpu/l", 0o120777, b"../a")),
    tar_of(
        ("cpu/x.c", b"0", "", b"int main;"), ("l", b"1", "cpu/x.c", b""), ("e" * 120, b"0", "", b"")
    ),
    gzip.compress(tar_of(("cpu/x.c", b"0", "", b"int main;")), mtime=0),
    zip_of(("inner.zip", 0o100644, zip_of(("vcpu_scheduler.c", 0o100644, b"int main;")))),
]


def mutated(whole: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    data = bytearray(whole)
    for how, where, what in changes:
        at = int(where * len(data))
        if how == "set":
            data[at : at + len(what)] = what
        elif how == "cut":
            del data[at : at + 1 + len(what)]
        elif how == "insert":
            data[at:at] = what
        else:
            data[at:at] = data[at:]
    return bytes(data)


@settings(max_examples=100, deadline=None)
@given(whole=st.sampled_from(WHOLE), changes=mutations)
def test_a_mutated_archive_is_unpacked_or_refused(
    whole: bytes, changes: list[tuple[str, float, bytes]]
) -> None:
    taken = unpacked(mutated(whole, changes))

    assert taken or changes


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(names, st.sampled_from(TAR_KINDS), links, st.binary(max_size=9)), max_size=6)
)
@example([("d", tarfile.SYMTYPE, "..", b""), ("d/x", tarfile.REGTYPE, "", b"1")])
@example([("a", tarfile.SYMTYPE, "b", b""), ("b", tarfile.SYMTYPE, "a", b""), ("c", b"0", "", b"")])
@example([("a/b", tarfile.LNKTYPE, "\udcff", b""), ("\udcff", b"0", "", b"1")])
def test_a_tar_of_anything_stays_below_its_folder(
    members: list[tuple[str, bytes, str, bytes]],
) -> None:
    unpacked(tar_of(*members))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            zip_names, st.integers(0, 0o177777), links.map(lambda it: it.encode("utf-8", "replace"))
        ),
        max_size=6,
    )
)
@example([("d", 0o120777, b".."), ("d/x", 0o100644, b"1")])
def test_a_zip_of_anything_stays_below_its_folder(members: list[tuple[str, int, bytes]]) -> None:
    unpacked(zip_of(*members))
