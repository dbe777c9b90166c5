"""Live files are up to date for whoever opens them, and are not written for anybody else."""

from __future__ import annotations

import selectors
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virtlab.subjects.live_files import LiveFiles

STATIC_READER = r"""
#include <fcntl.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char text[100];
    int file = open(argv[argc - 1], O_RDONLY);
    write(1, text, (size_t)read(file, text, sizeof text));
    return 0;
}
"""
HOLDER = """
import sys
with open(sys.argv[1]) as file:
    print(file.read(), flush=True)
    for _line in sys.stdin:
        file.seek(0)
        print(file.read(), flush=True)
"""


class Counter:
    """Gives another text each time that it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.present = "a"

    def __call__(self) -> str:
        self.asked += 1
        return self.present


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as made:
        yield made


@pytest.fixture
def files(
    tmp_path: Path, selector: selectors.BaseSelector, counter: Counter
) -> Iterator[LiveFiles]:
    made = LiveFiles(selector, {tmp_path / "first": counter, tmp_path / "second": Counter()})
    if made.held:
        made.close()
        pytest.skip("this file system has no leases")
    yield made
    made.close()


def serve_until(selector: selectors.BaseSelector, done: Callable[[], bool]) -> None:
    while not done():
        for key, mask in selector.select(0.01):
            key.data(mask)


def read_by(selector: selectors.BaseSelector, *command: str) -> str:
    reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    serve_until(selector, lambda: reader.poll() is not None)
    return reader.communicate()[0]


def test_a_file_that_nobody_opens_is_never_written(
    files: LiveFiles, counter: Counter, tmp_path: Path
) -> None:
    files.refresh()
    (tmp_path / "first").stat()

    assert counter.asked == 0
    assert not files.held


def test_each_opening_finds_the_present_text(
    files: LiveFiles, selector: selectors.BaseSelector, counter: Counter, tmp_path: Path
) -> None:
    found = []
    for text in ("one\n", "a longer one\n", "two\n"):
        counter.present = text
        found.append(read_by(selector, "cat", str(tmp_path / "first")))
        files.refresh()

    assert found == ["one\n", "a longer one\n", "two\n"]
    assert counter.asked == 3
    assert not files.held


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_a_static_program_finds_it_too(
    files: LiveFiles, selector: selectors.BaseSelector, counter: Counter, tmp_path: Path
) -> None:
    source, program = tmp_path / "reader.c", tmp_path / "reader"
    source.write_text(STATIC_READER)
    subprocess.run(["cc", "-static", "-w", "-o", program, source], check=True)
    counter.present = "for all\n"

    assert read_by(selector, str(program), str(tmp_path / "first")) == "for all\n"


def test_who_keeps_a_file_open_reads_what_it_was_refreshed_to(
    files: LiveFiles, selector: selectors.BaseSelector, counter: Counter, tmp_path: Path
) -> None:
    reader = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "first")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None and reader.stdout is not None
    counter.present = "before"
    serve_until(selector, lambda: counter.asked > 0)
    lines = [reader.stdout.readline()]

    counter.present = "now"
    files.refresh()
    held = files.held
    reader.stdin.write("again\n")
    reader.stdin.flush()
    lines.append(reader.stdout.readline())
    reader.communicate()
    files.refresh()

    assert lines == ["before\n", "now\n"]
    assert held
    assert not files.held


def test_each_look_is_told_before_the_text_is_made(
    selector: selectors.BaseSelector, counter: Counter, tmp_path: Path
) -> None:
    def look() -> None:
        counter.present += "!"

    files = LiveFiles(selector, {tmp_path / "file": counter}, look)
    try:
        if files.held:
            pytest.skip("this file system has no leases")
        first = read_by(selector, "cat", str(tmp_path / "file"))
        files.refresh()
        second = read_by(selector, "cat", str(tmp_path / "file"))
    finally:
        files.close()

    assert (first, second) == ("a!", "a!!")


def test_two_sets_of_files_at_once_do_not_disturb_each_other(
    files: LiveFiles, selector: selectors.BaseSelector, counter: Counter, tmp_path: Path
) -> None:
    other_text = Counter()
    other_text.present = "other"
    other = LiveFiles(selector, {tmp_path / "other": other_text})
    try:
        found = read_by(selector, "cat", str(tmp_path / "other"), str(tmp_path / "first"))
    finally:
        other.close()

    assert found == "othera"
    files.refresh()
    assert read_by(selector, "cat", str(tmp_path / "first")) == "a"


def test_afterwards_signals_are_as_they_were(
    selector: selectors.BaseSelector, counter: Counter, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGIO)

    LiveFiles(selector, {tmp_path / "file": counter}).close()

    assert signal.getsignal(signal.SIGIO) == before


def test_without_the_kernels_word_files_are_held_from_the_start(
    selector: selectors.BaseSelector, counter: Counter, tmp_path: Path
) -> None:
    texts: list[str] = []

    def beside_the_main_thread() -> None:
        files = LiveFiles(selector, {tmp_path / "file": counter})
        texts.append((tmp_path / "file").read_text())
        counter.present = "b"
        files.refresh()
        texts.append((tmp_path / "file").read_text())
        texts.append(str(files.held))
        files.close()

    thread = threading.Thread(target=beside_the_main_thread)
    thread.start()
    thread.join()

    assert texts == ["a", "b", "True"]


def test_a_reader_in_a_namespace_of_its_own_finds_the_mounted_file(
    files: LiveFiles, selector: selectors.BaseSelector, counter: Counter, tmp_path: Path
) -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("there is no bubblewrap")
    counter.present = "mounted\n"
    over = ("--ro-bind", str(tmp_path / "first"), "/proc/meminfo")
    command = ("bwrap", "--dev-bind", "/", "/", "--proc", "/proc", *over, "cat", "/proc/meminfo")
    found = read_by(selector, *command)
    if not counter.asked:
        pytest.skip("bubblewrap cannot run here")

    assert found == "mounted\n"
    assert Path("/proc/meminfo").stat().st_size == 0  # the machine's own is as it was
