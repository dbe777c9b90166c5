"""Where scenarios, rubrics, playbooks and starters are found, in a checkout or in a wheel."""

from __future__ import annotations

from pathlib import Path

__all__ = ["examples_dir", "lesson_texts_dir", "playbooks_dir", "starters_dir", "testcases_dir"]

_PACKAGE = Path(__file__).resolve().parent
_SHIPPED = _PACKAGE / "_shipped"  # filled when the wheel is built
_CHECKOUT = _PACKAGE.parent.parent


def testcases_dir() -> Path:
    """Return the folder with the shipped scenario files and rubrics."""
    return _folder("testcases")


def playbooks_dir() -> Path:
    """Return the folder with the shipped Ansible playbooks."""
    return _folder("playbooks")


def starters_dir() -> Path:
    """Return the folder with programs to start from."""
    return _folder("starters")


def lesson_texts_dir() -> Path:
    """Return the folder with the lessons' texts, which are pages of the docs, too."""
    shipped = _SHIPPED / "lessons"
    return shipped if shipped.is_dir() else _CHECKOUT / "docs" / "lessons"


def examples_dir() -> Path:
    """Return the folder with the example submissions; only a checkout has it."""
    return _CHECKOUT / "examples" / "submissions"


def _folder(name: str) -> Path:
    shipped = _SHIPPED / name
    return shipped if shipped.is_dir() else _CHECKOUT / name
