from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from deep_folders import deep_in

from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.trees import TreeLimits, copy_tree, excess, remove_tree, walk


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Give a folder that pytest could not remove."""
    top = tmp_path / "deep"
    top.mkdir()
    deep_in(top, 1_200)
    yield top
    remove_tree(top)


def test_a_tree_of_any_depth_is_removed_and_what_links_lead_to_stays(
    tmp_path: Path, deep: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (deep / "a").mkdir()
    (deep / "a" / "link").symlink_to(kept)
    os.mkfifo(deep / "a" / "pipe")

    remove_tree(deep)

    assert not deep.exists()
    assert [path.name for path in kept.iterdir()] == ["file"]


def test_folders_that_nobody_may_enter_are_removed(tmp_path: Path) -> None:
    inner = tmp_path / "top" / "a" / "b"
    inner.mkdir(parents=True)
    inner.chmod(0)
    inner.parent.chmod(0)

    remove_tree(tmp_path / "top")

    assert not (tmp_path / "top").exists()


def test_a_walk_ends_at_its_depth_and_leaves_no_descriptor_open(deep: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))

    seen = [names for _folder, names in walk(deep, 5)]

    assert seen == [[]] * 6
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (TreeLimits(), None),
        (TreeLimits(entries=4, bytes=300, depth=2), None),
        (TreeLimits(entries=3), "more than 3 files and folders"),
        (TreeLimits(bytes=299), "more than 0 MiB of files"),
        (TreeLimits(depth=1), "folders that lie more than 1 deep"),
    ],
)
def test_what_is_too_much_is_told_and_holes_count(
    tmp_path: Path, limits: TreeLimits, words: str | None
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/one", "a/b/two"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(150)

    assert excess(tmp_path, limits) == words


def test_a_copy_has_files_and_links_and_nothing_that_could_block(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("text")
    (source / "link").symlink_to("nowhere")
    os.mkfifo(source / "pipe")

    copy_tree(source, tmp_path / "copy")

    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["file", "link"]


def test_a_deep_tree_is_handed_over_and_taken_back(deep: Path) -> None:
    sandbox = find_sandbox()

    sandbox.hand_over(deep)
    given = deep.stat().st_uid
    sandbox.take_back(deep)

    assert (given, deep.stat().st_uid) == (sandbox.owner, os.getuid())
