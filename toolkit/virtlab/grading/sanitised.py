"""A second, sanitised run of a C program: what it finds stands beside the mark and costs nothing.

The mark is that of the program as it was handed in. A sanitised build lays memory out differently,
so it never decides a point; it runs the same test with the same seed again, to be listened to.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from virtlab.grading.findings import read_findings
from virtlab.grading.results_folder import is_written_by_us
from virtlab.grading.run import RunRecord, run_program
from virtlab.model.finding import SanitiserReport
from virtlab.model.scenario import ProgramKind, Scenario
from virtlab.subjects.build import INSIDE, BuildResult, build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import Sandbox
from virtlab.subjects.sanitise import make_compilers
from virtlab.subjects.unpack import open_submission

__all__ = ["Sanitised", "build_sanitised"]


@dataclass(frozen=True, slots=True)
class Sanitised:
    """A program built with sanitisers, or why there is none."""

    lacking: str | None
    program: BuildResult | None
    root: Path  # a copy of the submission of its own
    sandbox: Sandbox

    def listen(
        self, scenario: Scenario, seed: int, plain: RunRecord
    ) -> tuple[SanitiserReport, bytes]:
        """Run the program on a scenario once more; return what was found, and all that it said.

        Args:
            scenario: what to run it on.
            seed: of the run.
            plain: the run that decides the mark, of the program as it is.
        """
        lacking = self.lacking
        if lacking is None and plain.timeline.clock == "paced":
            lacking = "it runs on the paced clock, and is not run a second time"
        if lacking is not None:
            return SanitiserReport(lacking), b""
        program = self.program
        assert program is not None
        record = run_program(scenario, program, self.root, self.sandbox, seed=seed)
        folder = program.source.folder
        inside = f"{INSIDE}/{folder.relative_to(self.root)}".removesuffix("/.")
        found = read_findings(record.stderr.decode(errors="replace"), (inside, str(folder)))
        return SanitiserReport(None, found), record.stderr


def build_sanitised(path: Path, kind: ProgramKind, work: Path, sandbox: Sandbox) -> Sanitised:
    """Build one program of a submission with sanitisers.

    Args:
        path: the submission, of which the program has been built as it is.
        kind: the program.
        work: a new folder for it, which the program's user can reach.
        sandbox: the layers to use.
    """
    work.mkdir(mode=0o755)
    root = work / "submission"
    open_submission(path, root, leave_out=is_written_by_us)
    source = find_programs(root, kind=kind)[kind]
    if source.program is not None or not source.builds_from_source:
        return Sanitised("sanitisers are for programs that are built from C", None, root, sandbox)
    make_compilers(work / "compilers")
    program = build(source, root, sandbox, compilers=work / "compilers")
    if not program.ok:
        error = program.first_error or "see its log"
        lacking = f"it cannot be built with sanitisers: {error}"
    elif not program.sanitised():
        lacking = "its build does not call the compiler by its name alone, so nothing was added"
    else:
        return Sanitised(None, program, root, sandbox)
    return Sanitised(lacking, None, root, sandbox)
