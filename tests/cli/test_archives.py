"""What `virtlab grade` makes of anything that is handed in: real archives, really graded.

Whatever it is, the outcome is clear, nothing outside is touched and nothing is left half-written.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import resource
import stat
import struct
import subprocess
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = (
    ROOT / "examples" / "submissions" / "reference-python" / "cpu" / "vcpu_scheduler.py"
).read_bytes()
RUBRIC = """\
schema_version: 1
id: one-test
version: "1"
title: One test
seeds: [1]
general:
  - {builds: vcpu_scheduler, label: vcpu_scheduler compiles, points: 1}
tests:
  - scenario: cpu-3-balanced
    points: {balanced: 0.5, stable: 0.5}
    together: true
    zero_if: [no-crash]
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Made = Callable[[Path, str], Path]


# --- archives


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two equal names
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def tarred(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz", **more: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, **more) as archive:  # type: ignore[call-overload]
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def special(name: str, kind: int) -> zipfile.ZipInfo:
    """Return a zip's member of a Unix file type, such as a link's."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, kind << 16
    return info


def raw_zip(name: bytes, packed: bytes, size: int, *, crc: int = 0, copies: int = 1) -> bytes:
    """Return a zip of one deflated member, which its directory may list many times."""
    sizes = struct.pack("<HHIIIHH", 0, 33, crc, len(packed), size, len(name), 0)
    local = struct.pack("<IHHH", 0x04034B50, 20, 0, 8) + sizes + name + packed
    central = struct.pack("<IHHHH", 0x02014B50, 20, 20, 0, 8) + sizes
    directory = (central + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name) * copies
    counts = struct.pack("<HHHH", 0, 0, copies, copies)
    end = struct.pack("<IIH", len(directory), len(local), 0)
    return local + directory + struct.pack("<I", 0x06054B50) + counts + end


def raw_name(name: bytes) -> bytes:
    """Return a zip with the program under a name of these very bytes."""
    packed = zlib.compress(PROGRAM)[2:-4]
    return raw_zip(name, packed, len(PROGRAM), crc=zlib.crc32(PROGRAM))


def zeros(mib: int, window: int = -15) -> bytes:
    """Return compressed zeros, made fast: equal parts that do not refer to each other."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    first = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first + again * (mib - 1) + packer.flush()


def bomb(mib: int) -> bytes:
    return raw_zip(b"zeros", zeros(mib), mib << 20)


def encrypted() -> bytes:
    data = bytearray(zipped(GOOD))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def nested(levels: int) -> bytes:
    inner = zipped(GOOD)
    for _ in range(levels):
        inner = zipped(("inner.zip", inner))
    return inner


def tar_bomb(name: str, kind: bytes, mib: int) -> bytes:
    """Return a gzipped tar of one header and as many zeros as it announces."""
    info = entry(name, kind)
    info.size = mib << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.compress(info.tobuf(tarfile.GNU_FORMAT)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + again * mib + packer.flush()


def sparse() -> bytes:
    """Return a tar of a file of 1 TiB that is all hole."""
    info = entry("hole", tarfile.GNUTYPE_SPARSE)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:398] = b"%011o\0" % 0  # one part, at 0, of no bytes
    block[398:410] = b"%011o\0" % 0
    block[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def named(suffix: str, content: Callable[[], bytes]) -> Made:
    def make(folder: Path, stem: str) -> Path:
        (folder / f"{stem}{suffix}").write_bytes(content())
        return folder / f"{stem}{suffix}"

    return make


def folder_with(*files: tuple[bytes, bytes]) -> Made:
    def make(folder: Path, stem: str) -> Path:
        for name, data in files:
            path = Path(os.fsdecode(os.fsencode(folder / stem) + b"/" + name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder / stem

    return make


def odd_folder(folder: Path, stem: str) -> Path:
    made = folder_with((b"cpu/vcpu_scheduler.py", PROGRAM))(folder, stem)
    os.mknod(made / "cpu" / "socket", stat.S_IFSOCK | 0o600)
    os.mkfifo(made / "cpu" / "pipe")
    (made / "cpu" / "loop").symlink_to("loop")
    (made / "cpu" / "out.c").symlink_to("/etc/shadow")
    return made


GOOD = ("cpu/vcpu_scheduler.py", PROGRAM)
C = b"int main(void) { return 0; }\n"

GRADED: dict[str, tuple[Made, str]] = {
    "two levels down": (named(".zip", lambda: zipped((f"a/a/{GOOD[0]}", PROGRAM))), ""),
    "of macOS": (
        named(
            ".zip",
            lambda: zipped(
                GOOD,
                ("__MACOSX/cpu/._vcpu_scheduler.py", b"\0\5\x16\7"),
                ("cpu/.DS_Store", b"x"),
                ("cpu/__pycache__/vcpu_scheduler.cpython-311.pyc", b"x"),
                ("cpu/._x.c", b"\0"),
            ),
        ),
        "",
    ),
    "of Windows": (
        named(".zip", lambda: zipped((r"First Last\cpu\vcpu_scheduler.py", PROGRAM))),
        "",
    ),
    "in latin-1": (named(".zip", lambda: raw_name(b"Fran\xe7ois/vcpu_scheduler.py")), ""),
    "in UTF-8 without the flag": (
        named(".zip", lambda: raw_name("François/vcpu_scheduler.py".encode())),
        "",
    ),
    "NFC and NFD": (
        named(".zip", lambda: zipped(GOOD, ("cpu/é.txt", b"1"), ("cpu/e\u0301.txt", b"2"))),
        "",
    ),
    "names that change a terminal": (
        named(".zip", lambda: zipped(GOOD, ("cpu/\x1b]0;owned\x07\n.txt", b"1"))),
        "",
    ),
    "with something before it": (named(".zip", lambda: b"#!/bin/sh\nexit\n" + zipped(GOOD)), ""),
    "a zip called tar.gz": (named(".tar.gz", lambda: zipped(GOOD)), ""),
    "a tar.gz called zip": (named(".zip", lambda: tarred((entry(GOOD[0]), PROGRAM))), ""),
    "a tar called like a program": (
        named(".py", lambda: tarred((entry(GOOD[0]), PROGRAM), mode="w")),
        "",
    ),
    "links within": (
        named(
            ".tar.gz",
            lambda: tarred(
                (entry("real.py"), PROGRAM),
                (entry("cpu/b.py", tarfile.LNKTYPE, "real.py"), b""),
                (entry("cpu/vcpu_scheduler.py", tarfile.SYMTYPE, "b.py"), b""),
            ),
        ),
        "",
    ),
    "a link within a zip": (
        named(
            ".zip",
            lambda: zipped(
                (special("cpu/vcpu_scheduler.py", 0o120777), b"../src/x.py"), ("src/x.py", PROGRAM)
            ),
        ),
        "",
    ),
    "links out, and a file through one": (
        named(
            ".tar",
            lambda: tarred(
                (entry("out", tarfile.SYMTYPE, "../../.."), b""),
                (entry("out/escaped.txt"), b"x"),
                (entry("abs", tarfile.SYMTYPE, "/etc/passwd"), b""),
                (entry("hard", tarfile.LNKTYPE, "/etc/passwd"), b""),
                (entry("up", tarfile.LNKTYPE, "../../etc/passwd"), b""),
                (entry(GOOD[0]), PROGRAM),
                mode="w",
            ),
        ),
        "abs: a link out of the submission, left out",
    ),
    "devices and pipes": (
        named(
            ".tar",
            lambda: tarred(
                (entry("null", tarfile.CHRTYPE), b""),
                (entry("disk", tarfile.BLKTYPE), b""),
                (entry("pipe", tarfile.FIFOTYPE), b""),
                (entry(GOOD[0], mode=0o6755), PROGRAM),
                mode="w",
            ),
        ),
        "disk: a device, a pipe or a socket, left out",
    ),
    "a socket in a zip": (
        named(".zip", lambda: zipped(GOOD, (special("s", 0o140777), b""))),
        "s: a dev",
    ),
    "a folder with odd files": (odd_folder, "out of the folder or to no file, left out"),
    "a folder with odd names": (
        folder_with(
            (b"cpu/vcpu_scheduler.py", PROGRAM),
            (b"cpu/a\nb\x1b[31m.txt", b"x"),
            (b"cpu/\xff\xfe.txt", b"x"),
            (b"c:notes.txt", b"x"),
            (rb"back\slash.txt", b"x"),
        ),
        "",
    ),
    "the same name twice": (
        named(".zip", lambda: zipped(("cpu/vcpu_scheduler.py", b"old"), GOOD)),
        "is there twice",
    ),
    "pax headers": (
        named(
            ".tar",
            lambda: tarred(
                (entry(GOOD[0]), PROGRAM),
                (entry("d/" * 9 + "é" * 99), b"x"),
                mode="w",
                format=tarfile.PAX_FORMAT,
                pax_headers={"comment": "x" * 20_000},
            ),
        ),
        "",
    ),
    "packed once more": (named(".zip", lambda: nested(2)), ""),
    "a folder of the same name beside": (
        named(".zip", lambda: zipped(("cpu/notes.txt", b"x"), ("cpu.zip", zipped(GOOD)))),
        "",
    ),
    "a broken archive in it": (
        named(".zip", lambda: zipped(GOOD, ("logs.tar.gz", b"x"), ("old.rar", b"Rar!\x1a\x07\1"))),
        "logs.tar.gz: cannot be unpacked",
    ),
    "an old copy": (
        named(".zip", lambda: zipped(GOOD, ("old/cpu/vcpu_scheduler.py", b"raise SystemExit"))),
        "",
    ),
    "two equal copies": (
        named(
            ".zip",
            lambda: zipped(("cpu/vcpu_scheduler.py", PROGRAM), ("CPU/vcpu_scheduler.py", PROGRAM)),
        ),
        "",
    ),
}

REFUSED: dict[str, tuple[Made, str]] = {
    "one bomb": (named(".zip", lambda: bomb(300)), "more than 256 MiB come out"),
    "many bombs": (
        named(".zip", lambda: zipped(*((f"z{n}", bytes(30 << 20)) for n in range(9)))),
        "as only a bomb does|more than 256 MiB come out",
    ),
    "overlapping members": (
        named(".zip", lambda: raw_zip(b"kernel", zeros(4), 4 << 20, copies=3000)),
        "cannot be|bomb",
    ),
    "archives without end": (named(".zip", lambda: nested(5)), "there is no source"),
    "42 archives": (
        named(".zip", lambda: zipped(*((f"{n}.zip", nested(0)) for n in range(42)))),
        "holds 42 archives, as many as a class",
    ),
    "two submissions": (
        named(
            ".zip",
            lambda: zipped(
                ("Ann_p1/cpu/vcpu_scheduler.py", PROGRAM),
                ("Bob_p1/cpu/vcpu_scheduler.py", PROGRAM + b"#\n"),
            ),
        ),
        "there is a vcpu_scheduler in Ann_p1/cpu and Bob_p1/cpu, and nothing tells which",
    ),
    "a long name in a tar": (
        named(".tar.gz", lambda: tar_bomb("x", tarfile.GNUTYPE_LONGNAME, 2048)),
        "only a bomb's",
    ),
    "a long pax header": (
        named(".tar.gz", lambda: tar_bomb("x", tarfile.XHDTYPE, 2048)),
        "only a bomb's",
    ),
    "a huge member that is left out": (
        named(".tar.gz", lambda: tar_bomb(".git/pack", tarfile.REGTYPE, 4096)),
        "more than 512 MiB come out",
    ),
    "too many members": (
        named(".zip", lambda: zipped(*((f"{n}.txt", b"x") for n in range(5_001)))),
        "is one too many",
    ),
    "a huge directory": (
        named(".zip", lambda: zipped(*((f"{n:0250}", b"") for n in range(20_000)))),
        "as only a bomb's does",
    ),
    "up": (
        named(".zip", lambda: zipped(("../up.py", PROGRAM))),
        "../up.py: leads out of the archive",
    ),
    "from the root": (
        named(".tar", lambda: tarred((entry("/r.py"), PROGRAM))),
        "/r.py: leads out of",
    ),
    "a drive": (
        named(".zip", lambda: zipped((r"C:\x.py", PROGRAM))),
        "C:/x.py: leads out of the archive",
    ),
    "a file that is all hole": (named(".tar", sparse), "as only a bomb does"),
    "nothing": (named(".zip", lambda: zipped()), "there is no file in it"),
    "nothing in a tar": (named(".tar", lambda: tarred(mode="w")), "there is no file in it"),
    "folders only": (named(".zip", lambda: zipped(("cpu/", b""))), "there is no file in it"),
    "no bytes": (
        named(".zip", lambda: b""),
        "cannot be unpacked: it is cut off, or no zip archive",
    ),
    "no bytes, tar": (named(".tar.gz", lambda: b""), "cannot be unpacked: "),
    "encrypted": (named(".zip", encrypted), "is encrypted"),
    "a cut zip": (named(".zip", lambda: zipped(GOOD)[:-60]), "cut off"),
    "a cut tar.gz": (
        named(".tar.gz", lambda: tarred((entry(GOOD[0]), PROGRAM))[:-700]),
        "cannot be unpacked: ",
    ),
    "a cut tar": (
        named(
            ".tar",
            # In the middle of the second header.
            lambda: tarred((entry(GOOD[0]), bytes(512)), (entry("b"), b"1"), mode="w")[:1100],
        ),
        "cut off behind cpu/vcpu_scheduler.py",
    ),
    "a wrong checksum": (
        named(".tar.gz", lambda: tarred((entry(GOOD[0]), PROGRAM))[:-8] + bytes(8)),
        "CRC",
    ),
    "7z": (
        named(".7z", lambda: b"7z\xbc\xaf\x27\x1c\0\4"),
        "is a 7z file, which is not unpacked here",
    ),
    "rar called zip": (named(".zip", lambda: b"Rar!\x1a\x07\1\0"), "is a rar file"),
    "a compressed file": (named(".c.gz", lambda: gzip.compress(C)), "there is no tar archive in"),
    "a name too long": (named(".zip", lambda: zipped(("n" * 300, C))), "is no name for a file"),
    "a path too long": (
        named(".zip", lambda: zipped((("n" * 99 + "/") * 12 + "x", C))),
        "is longer than",
    ),
    "too deep": (named(".zip", lambda: zipped(("d/" * 40 + "x", C))), "folders deep"),
    "a file and a folder": (
        named(".zip", lambda: zipped(("a", C), ("a/b", C))),
        "is a file and a folder",
    ),
}


def test_what_can_be_graded_is_graded_whatever_its_form(virtlab: Run, tmp_path: Path) -> None:
    made = handed_in(tmp_path, GRADED)

    done = virtlab("grade", *made.values(), "--rubric", "one.yaml", "--out", "marks", "--json")

    assert done.returncode == 0, done.stderr
    points = {one["program"]: one["points"] for one in json.loads(done.stdout)["verdicts"]}
    assert points == dict.fromkeys(made, 2)
    missing = {
        case: said
        for case, (_, said) in GRADED.items()
        if said not in "".join(line for line in done.stderr.splitlines() if slug(case) in line)
    }
    assert missing == {}, done.stderr
    assert "\x1b" not in done.stderr
    assert untouched(tmp_path)


def test_what_cannot_be_graded_is_refused_and_harms_nothing(virtlab: Run, tmp_path: Path) -> None:
    made = handed_in(
        tmp_path, {"first": GRADED["of Windows"], **REFUSED, "last": GRADED["of macOS"]}
    )

    def in_little_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    done = virtlab(
        "grade",
        *made.values(),
        "--rubric",
        "one.yaml",
        "--out",
        "marks",
        "--json",
        "--jobs",
        "1",
        preexec_fn=in_little_memory,
    )

    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    said = json.loads(done.stdout)
    assert [one["program"] for one in said["verdicts"]] == ["first", "last"]
    errors = {Path(one["submission"]).name: one["error"] for one in said["failed"]}
    wrong = {
        case: errors.get(made[slug(case)].name)
        for case, (_, what) in REFUSED.items()
        if not re.search(what, errors.get(made[slug(case)].name, "(graded)"))
    }
    assert wrong == {}
    assert all("\n  fix: " in error for error in errors.values())
    assert f"{len(REFUSED)} of {len(made)} not graded" in done.stderr
    assert sorted(path.name for path in (tmp_path / "marks").iterdir()) == ["first", "last"]
    assert untouched(tmp_path)


def slug(case: str) -> str:
    return case.replace(" ", "-").replace(",", "")


def handed_in(folder: Path, cases: dict[str, tuple[Made, str]]) -> dict[str, Path]:
    """Make the submissions of all cases; return them by the name that results have."""
    (folder / "one.yaml").write_text(RUBRIC)
    (folder / "in").mkdir()
    return {slug(case): make(folder / "in", slug(case)) for case, (make, _) in cases.items()}


def untouched(folder: Path) -> bool:
    """Tell whether nothing came to lie beside the submissions and the results."""
    return sorted(path.name for path in folder.iterdir()) == ["in", "marks", "one.yaml"]
