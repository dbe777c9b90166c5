"""Golden files: VIRTLAB_REWRITE_GOLDEN=1 in the environment rewrites them; read the diff then."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_GOLDEN = Path(__file__).parents[1] / "golden" / "reports"
_BUILDER = str(Path(__file__).parents[1] / "grading")

# The reports are drawn from the same hand-made timelines as the marks.
if _BUILDER not in sys.path:
    sys.path.append(_BUILDER)


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Hold a text against a golden file."""

    def check(name: str, text: str) -> None:
        path = _GOLDEN / name
        if os.environ.get("VIRTLAB_REWRITE_GOLDEN") == "1":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return check
