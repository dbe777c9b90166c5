"""Every command and every snippet of the pages does what they say, or says why it is not tried.

`make docs-all` tries the slow ones, too.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
import typer
from blocks import REASONS, Block, blocks_of, pages
from trial import Trial

from virtlab.cli.app import app

_ROOT = Path(__file__).parents[2]
_ALL = os.environ.get("VIRTLAB_DOCS") == "all"
_BLOCKS = {page.relative_to(_ROOT).as_posix(): blocks_of(page, _ROOT) for page in pages(_ROOT)}
_TRIED = {
    name: blocks
    for name, blocks in _BLOCKS.items()
    if any(block.kind not in ("not run", "shown", "unclear") for block in blocks)
}
_LEFT_OUT = [block for blocks in _BLOCKS.values() for block in blocks if block.kind == "not run"]


def test_given_all_pages_then_each_block_says_what_it_is() -> None:
    unclear = [block for blocks in _BLOCKS.values() for block in blocks if block.kind == "unclear"]

    assert [f"{block.place}: {block.value}" for block in unclear] == []


@pytest.mark.parametrize("name", _TRIED)
def test_given_a_page_when_its_blocks_are_tried_then_they_hold(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    trial = Trial(folder, _ROOT)

    try:
        for block in _TRIED[name]:
            if _ALL or not block.slow:
                trial.do(block)
    finally:
        trial.leave()


@pytest.mark.parametrize("block", _LEFT_OUT, ids=lambda block: block.place)
def test_given_a_block_that_cannot_be_tried_here_then_its_reason_is_known(block: Block) -> None:
    assert block.value in REASONS, f"{block.place}: {block.value!r} is none of {list(REASONS)}"
    for line in block.code.replace("\\\n", " ").splitlines():
        if line.startswith("virtlab "):
            _understood(line, block.place)
    pytest.skip(f"blocks of pages: {REASONS[block.value]}")


def _understood(line: str, place: str) -> None:
    """Have the command line read a command without doing it: names and options are there."""
    words = shlex.split(re.split(r"[>|&]", line)[0], comments=True)[1:]
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"{place}: {line}"
        command, words = command.commands[words[0]], words[1:]
    command.make_context(line, words)
