"""A book of publican's by `guide.yml`: which brand it gets, and what counts as built.

publican itself is large (Java, FOP), so most tests put a program in its place that writes what it
was asked for; the test of the real one is skipped where it is not installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from virtlab.resources import playbooks_dir

from .conftest import Play, changes

COLLECTION = playbooks_dir() / "collections/ansible_collections/virtlab/lab"
BOOK = COLLECTION / "extensions/molecule/guide/book"
BUILD = COLLECTION / "roles/guide/files/build_guide.sh"
# Writes its words into what it is asked to make; says more on stderr than it means, as publican.
STAND_IN = """\
#!/bin/sh
echo '[ERROR] title_logo.svg not found' >&2
case $STAND_IN in failing) echo 'validity error: no chapter' >&2; exit 255 ;; empty) exit 0 ;; esac
mkdir -p tmp/en-US/html tmp/en-US/pdf
echo "$@" | tee tmp/en-US/html/index.html >tmp/en-US/pdf/book.pdf
"""
real = pytest.mark.skipif(
    shutil.which("publican") is None, reason="publican is not installed: scripts/setup guide"
)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BOOK, tmp_path / "book"))


def brand(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    (folder / "publican.cfg").write_text(f"version: 0.1\ntype: brand\nbrand: {name}\n")


def built(
    book: Path, folder: Path, *more: str, stand_in: str = "working"
) -> subprocess.CompletedProcess[str]:
    """Run the role's script with the stand-in; its results are in `result` of that folder."""
    program = folder / "bin/publican"
    program.parent.mkdir(exist_ok=True)
    program.write_text(STAND_IN)
    program.chmod(0o755)
    common = folder / "common-content"
    if not common.exists():
        brand(common / "common", "common")
        brand(common / "installed", "installed")
    return subprocess.run(
        ["sh", BUILD, book, folder / "result", folder / "work", "en-US", "html,pdf", ".built",
         *more],
        capture_output=True, text=True, timeout=60,
        env={"PATH": f"{program.parent}:{os.environ['PATH']}", "STAND_IN": stand_in,
             "PUBLICAN_COMMON": str(common)},
    )  # fmt: skip


def asked(folder: Path) -> str:
    return (folder / "result/html/index.html").read_text()


def test_a_book_whose_brand_is_not_packaged_gets_the_stock_brand(
    book: Path, tmp_path: Path
) -> None:
    done = built(book, tmp_path)

    assert done.returncode == 0, done.stderr
    assert f"--brand_dir={tmp_path}/common-content/common" in asked(tmp_path)
    assert "the brand virtlab-unpackaged is not installed" in done.stdout
    assert (tmp_path / "result/.built").exists()
    assert (tmp_path / "result/pdf/book.pdf").exists()


def test_a_book_whose_brand_is_installed_is_left_alone(book: Path, tmp_path: Path) -> None:
    (book / "publican.cfg").write_text('xml_lang: "en-US"\ntype: Book\nbrand: "installed"\n')

    assert built(book, tmp_path).returncode == 0
    assert "--brand_dir" not in asked(tmp_path)


def test_a_brand_that_the_book_brings_is_taken_and_one_that_is_named_before_it(
    book: Path, tmp_path: Path
) -> None:
    brand(book / "our brand", "virtlab-unpackaged")
    brand(tmp_path / "named", "named")

    assert built(book, tmp_path).returncode == 0
    assert f"--brand_dir={tmp_path}/work/book/our brand" in asked(tmp_path)

    assert built(book, tmp_path, str(tmp_path / "named")).returncode == 0
    assert f"--brand_dir={tmp_path}/named" in asked(tmp_path)


@pytest.mark.parametrize(
    ("stand_in", "said"),
    [
        ("failing", "validity error: no chapter\npublican could not build the book"),
        ("empty", "publican ended well and left no index.html"),
    ],
)
def test_what_publican_ends_with_and_leaves_decides(
    stand_in: str, said: str, book: Path, tmp_path: Path
) -> None:
    done = built(book, tmp_path, stand_in=stand_in)

    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "result/.built").exists()


def test_a_folder_that_is_no_book_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    done = built(tmp_path / "empty", tmp_path)

    assert done.returncode == 1
    assert done.stderr == (
        f"{tmp_path}/empty has no publican.cfg, so it is no book of publican's\n"
    )


@real
def test_a_book_is_built_once_and_again_when_it_changed(
    play: Play, book: Path, tmp_path: Path
) -> None:
    given = {
        "guide_source": str(book), "guide_result": str(tmp_path / "result"),
        "guide_work": str(tmp_path / "work"), "lab_become": "false",
    }  # fmt: skip
    assert changes(play("guide.yml", "--check", **given)) == 1
    assert changes(play("guide.yml", **given)) == 1
    assert changes(play("guide.yml", **given)) == 0
    pages = tmp_path / "result/html"
    assert "Eight guests" in "".join(page.read_text() for page in pages.glob("chap-*.html"))
    (pdf,) = (tmp_path / "result/pdf").glob("*.pdf")
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert not (book / "tmp").exists()

    chapter = book / "en-US/Small_Book.xml"
    chapter.write_text(chapter.read_text().replace("Eight guests", "Sixteen guests"))

    assert changes(play("guide.yml", **given)) == 1
    assert "Sixteen guests" in "".join(page.read_text() for page in pages.glob("chap-*.html"))
