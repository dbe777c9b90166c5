from __future__ import annotations

import os
from pathlib import Path

from virtlab.subjects.room import Room
from virtlab.subjects.trees import TreeLimits

LIMITS = TreeLimits(bytes=1024 * 1024)


def test_files_that_were_removed_and_are_held_open_take_room(tmp_path: Path) -> None:
    room = Room(tmp_path, LIMITS)
    with (tmp_path / "file").open("wb") as file:
        (tmp_path / "file").unlink()
        before = room.look([os.getpid()])
        file.write(bytes(2 * 1024 * 1024))
        file.flush()

        assert (before, room.look([os.getpid()])) == (False, True)

    assert room.excess == "more than 1 MiB of files that it removed and holds open"


def test_what_was_too_much_once_stays_so(tmp_path: Path) -> None:
    room = Room(tmp_path, LIMITS)
    (tmp_path / "file").write_bytes(bytes(1024 * 1024 + 1))

    looks = [room.look(())]
    (tmp_path / "file").unlink()
    looks.append(room.look(()))

    assert looks == [True, True]
