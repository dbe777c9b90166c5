"""The floors that are shipped beside the rubrics, as `make floor` wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from virtlab.grading.rubric import Rubric, rubric_files

__all__ = ["floor_path", "read_floor"]


def floor_path(rubric_id: str) -> Path:
    """Return where the floor of a shipped rubric stands."""
    return rubric_files()[rubric_id].with_suffix(".floor.json")


def read_floor(rubric: Rubric) -> Sequence[Mapping[str, Any]]:
    """Return what weak programs get, a mapping a program; nothing where nobody measured it.

    A rubric of one's own has no floor, nor has one that was changed since.
    """
    if rubric.id not in rubric_files() or not floor_path(rubric.id).exists():
        return ()
    floor = json.loads(floor_path(rubric.id).read_text())
    lines: Sequence[Mapping[str, Any]] = floor["floor"]
    return lines if floor["rubric_version"] == rubric.version else ()
