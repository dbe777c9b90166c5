"""One program made ready to run: copied, found, and built while the rest of the lab is loaded.

Compiling takes as long as loading what reads scenarios and judges runs, and needs none of it. So
the build of the program that will probably be asked for begins first, in the background.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, get_args

from virtlab.errors import SubmissionError
from virtlab.grading.results_folder import is_written_by_us
from virtlab.model.scenario import ProgramKind
from virtlab.resources import testcases_dir
from virtlab.subjects.build import BuildResult, build
from virtlab.subjects.layout import ProgramSource, find_programs
from virtlab.subjects.sandbox import Sandbox, find_sandbox
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import work_directory

if TYPE_CHECKING:
    from virtlab.grading.sanitised import Sanitised

__all__ = ["Preparation", "copy_place", "likely_kind"]

_PROGRAM = re.compile(rb"^program:\s*(\w+)", re.MULTILINE)
_HEAD_BYTES = 65_536
# How long one thread may keep the interpreter while another wants it (Python's own: 5 ms).
_SWITCH_S = 0.0005


def copy_place(path: Path, work: Path) -> Path:
    """Return where to copy a submission: under its own name, which messages show."""
    holder = work / "submission"
    holder.mkdir(mode=0o755)
    # Unlike Path.resolve it takes links that lead nowhere; the intake tells them.
    return holder / (os.path.basename(os.path.realpath(path)) or "submission")  # noqa: PTH119


def likely_kind(scenario: str) -> ProgramKind | None:
    """Return the program that a scenario seems to ask for, by a glance at its file.

    Only a guess, to begin a build with: the file is read and checked properly later.
    """
    try:
        shipped = [file for file in testcases_dir().glob("*/*.yaml") if file.stem == scenario]
        with (shipped[0] if shipped else Path(scenario)).open("rb") as file:
            named = _PROGRAM.search(file.read(_HEAD_BYTES))
    except (OSError, ValueError):  # ValueError: a path with a null byte
        return None
    kinds: tuple[ProgramKind, ...] = get_args(ProgramKind)
    return next((kind for kind in kinds if named and named[1] == kind.encode()), None)


class Preparation:
    """A submission on its way to a program; to be used in a `with` block."""

    def __init__(self, path: Path, likely: ProgramKind | None) -> None:
        """Copy a submission and begin to build the program that is likely to be asked for.

        Raises:
            SubmissionError: it cannot be read.
        """
        self._path = path
        self._held = ExitStack()
        self._work = self._held.enter_context(work_directory())
        self._pool = ThreadPoolExecutor(1)
        self._patience_s = sys.getswitchinterval()
        self._begun: dict[ProgramKind, Future[BuildResult]] = {}
        try:
            submission = open_submission(
                path, copy_place(path, self._work), leave_out=is_written_by_us
            )
            self.root = submission.root
            self.name = submission.name
            self.given = submission.given
            self.sandbox: Sandbox = find_sandbox()
            if likely is not None:
                self._begin(likely, find_programs(self.root, kind=likely))
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> Preparation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def built(self, kind: ProgramKind, scenario: str) -> BuildResult:
        """Return the build of a program, once it is done.

        Raises:
            SubmissionError: the submission has no such program.
        """
        if kind not in self._begun:
            self._begin(kind, find_programs(self.root, kind=kind))
        if kind not in self._begun:
            raise SubmissionError(
                f"{self._path}: there is no {kind} in it, which {scenario} asks for.",
                fix=f"name it {kind}.c, or put it into a folder with a Makefile.",
            )
        return self._begun[kind].result()

    def sanitised(self, kind: ProgramKind) -> Sanitised:
        """Return the program built once more, with sanitisers."""
        from virtlab.grading.sanitised import build_sanitised  # loads what runs programs

        return build_sanitised(self._path, kind, self._work / "sanitised", self.sandbox)

    def _begin(self, kind: ProgramKind, found: Mapping[ProgramKind, ProgramSource]) -> None:
        if kind in found:
            # The build mostly waits for the compiler: it must not wait long for its turn as well,
            # each time, while modules are loaded beside it.
            sys.setswitchinterval(_SWITCH_S)
            self._begun[kind] = self._pool.submit(build, found[kind], self.root, self.sandbox)

    def _close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        sys.setswitchinterval(self._patience_s)
        self._held.close()
