from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from virtlab.subjects.capture import Capture


@settings(max_examples=100)
@given(pieces=st.lists(st.text("ab", max_size=9), max_size=30), keep=st.integers(2, 40))
def test_beginning_and_end_are_kept_and_the_rest_is_counted(pieces: list[str], keep: int) -> None:
    capture = Capture(keep)
    for piece in pieces:
        capture.add(piece.encode())
    whole, half = "".join(pieces), keep // 2

    got = capture.text()

    if len(whole) <= 2 * half:
        assert got == whole
    else:
        left_out = len(whole) - 2 * half
        gap = f"\n[... {left_out} bytes left out ...]\n"
        assert got == whole[:half] + gap + whole[-half:]
