"""What several commands take where the user names nothing."""

from __future__ import annotations

__all__ = ["DEFAULT_RUBRIC", "RESULTS_FOLDER"]

DEFAULT_RUBRIC = "fall-2026"
RESULTS_FOLDER = "virtlab-results"  # in the folder that the user stands in
