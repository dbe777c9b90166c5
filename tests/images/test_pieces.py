"""What is left of a download, and how far it is."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtlab.images.pieces import PartialFile
from virtlab.images.progress import Pace, Step, in_words

SHA256 = "0" * 64


@given(size=st.integers(1, 60), piece=st.integers(1, 20), data=st.data())
def test_what_was_noted_is_there_after_a_break_and_the_rest_is_missing(
    size: int, piece: int, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.part"
        with PartialFile(path, size, SHA256, piece_bytes=piece) as part:
            every = part.missing()
            noted = data.draw(st.sets(st.sampled_from(every)))
            for first, last in sorted(noted):
                part.write(first, bytes(last - first))
                part.note(first)

        with PartialFile(path, size, SHA256, piece_bytes=piece) as part:
            assert part.resumed == bool(noted)
            assert part.missing() == [one for one in every if one not in noted]
            assert part.done_bytes == sum(last - first for first, last in noted)
            left = part.done_bytes + sum(last - first for first, last in part.missing())
            assert left == size


@pytest.mark.parametrize("sha256, size", [("1" * 64, 30), (SHA256, 31)])
def test_pieces_of_another_content_do_not_count(tmp_path: Path, sha256: str, size: int) -> None:
    path = tmp_path / "image.part"
    with PartialFile(path, 30, SHA256, piece_bytes=10) as part:
        part.write(0, bytes(10))
        part.note(0)

    with PartialFile(path, size, sha256, piece_bytes=10) as part:
        assert not part.resumed
        assert part.done_bytes == 0


def test_notes_without_their_file_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "image.part"
    with PartialFile(path, 30, SHA256, piece_bytes=10) as part:
        part.note(0)
    path.unlink()

    with PartialFile(path, 30, SHA256, piece_bytes=10) as part:
        assert part.done_bytes == 0


def test_the_time_that_is_left_follows_the_speed_of_the_last_seconds() -> None:
    moments = iter([0.0, 10.0, 20.0, 30.0, 40.0])
    steps: list[Step] = []
    pace = Pace("downloading noble", 1000 << 20, steps.append, lambda: next(moments))

    for done_mib in (0, 100, 200, 210, 220):
        pace.at(done_mib << 20)

    assert [step.left_s for step in steps] == [None, 90.0, 80.0, 790.0, 780.0]
    assert str(steps[1]) == "downloading noble: 10 %, 100.0 MiB of 1000.0 MiB, 1 min 30 s left"
    assert str(steps[0]) == "downloading noble: 0 %, 0 bytes of 1000.0 MiB"


def test_sizes_are_told_as_people_read_them() -> None:
    sizes = (0, 1023, 1536, 592 << 20, 3 << 29)
    assert [in_words(size) for size in sizes] == [
        "0 bytes", "1023 bytes", "1.5 KiB", "592.0 MiB", "1.5 GiB",
    ]  # fmt: skip
