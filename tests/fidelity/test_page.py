"""A page's table is renewed, and its words stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from virtlab.errors import InputError
from virtlab.fidelity.page import page_with_table

PAGE = "# Title\n\n<!-- table: begin -->\nold\n<!-- table: end -->\n\nThe end.\n"


def test_the_table_alone_changes(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(PAGE)

    renewed = page_with_table(path).with_table("new\n")

    assert renewed == PAGE.replace("old", "new")


@pytest.mark.parametrize("text", ["# Title\n", "<!-- table: end -->\n<!-- table: begin -->\n"])
def test_a_page_without_a_place_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(text)

    with pytest.raises(InputError, match="has no place for a table"):
        page_with_table(path)
