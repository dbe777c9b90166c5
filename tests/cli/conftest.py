from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

VIRTLAB = Path(sys.executable).with_name("virtlab")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def virtlab(tmp_path: Path) -> Run:
    """Give a way to run the command, as from a shell without a terminal, in a folder of its own."""

    def run(*arguments: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "100", **more.pop("env", {})}  # type: ignore[dict-item]
        return subprocess.run(
            [VIRTLAB, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **more,  # type: ignore[call-overload]
        )

    return run
