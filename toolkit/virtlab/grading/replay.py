"""The command that repeats a run."""

from __future__ import annotations

import shlex

from virtlab.grading.timing import pace_option
from virtlab.model.timeline import Timeline

__all__ = ["replay_command"]


def replay_command(source: str, program: str, seed: int, timeline: Timeline | None = None) -> str:
    """Return the command for a shell that stands where the submission lies.

    `virtlab run` judges by the scenario's own limits, which a rubric may have narrowed or widened.

    Args:
        source: the scenario as it was named.
        program: the submission's file or folder, without the way to it.
        seed: of the run.
        timeline: the record, where there is one; it tells of a pace or a real host.
    """
    words = ["virtlab", "run", source, program or ".", "--seed", str(seed)]
    return shlex.join(words) + ("" if timeline is None else pace_option(timeline))
