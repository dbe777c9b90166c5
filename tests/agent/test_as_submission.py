"""The daemons graded like any student's programs: exec'd by what was handed in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_daemons_earn_full_marks_as_a_submission(tmp_path: Path) -> None:
    handed_in, out = tmp_path / "daemons", tmp_path / "marks"
    subprocess.run([sys.executable, ROOT / "scripts/daemons-submission", handed_in], check=True)

    graded = subprocess.run(
        [Path(sys.executable).with_name("virtlab"), "grade", handed_in, "--out", out],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert graded.returncode == 0, graded.stdout + graded.stderr
    verdict = json.loads((out / "daemons" / "verdict.json").read_text())
    assert (verdict["points"], verdict["points_max"], verdict["clock"]) == (16, 16, "lockstep")
