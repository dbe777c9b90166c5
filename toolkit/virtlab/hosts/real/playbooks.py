"""Run the lab's playbooks through ansible-runner: progress by task, and why one failed."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from virtlab.errors import EnvironmentLackError
from virtlab.hosts.real.stragglers import end_stragglers
from virtlab.resources import playbooks_dir

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["PlayResult", "run_playbook"]

Progress = Callable[[str], None]


@dataclass(slots=True)
class PlayResult:
    """What came of a playbook."""

    changed: list[str] = field(default_factory=list)  # the tasks that changed something
    failed: str | None = None  # the task that failed
    reason: str = ""  # what it said

    @property
    def good(self) -> bool:
        """Tell whether it went through."""
        return self.failed is None


def run_playbook(
    name: str,
    variables: Mapping[str, object],
    *,
    check: bool = False,
    progress: Progress = lambda _task: None,
) -> PlayResult:
    """Run one of the shipped playbooks on this machine.

    Args:
        name: such as `provision.yml`.
        variables: Ansible's extra variables.
        check: only find out what would be done.
        progress: told of each task as it begins.

    Raises:
        EnvironmentLackError: Ansible is not installed, or could not begin.
        KeyboardInterrupt: the user interrupted it; Ansible was ended.
    """
    runner = _ansible_runner()
    result = PlayResult()

    def follow(event: Mapping[str, Any]) -> bool:
        _follow(event, result, progress)
        return False  # nothing of it is kept on disk

    folder = playbooks_dir()
    with (
        tempfile.TemporaryDirectory(prefix="virtlab-ansible-") as scratch,
        _signals_given_back(),
    ):
        home = str(Path(scratch) / "home")
        done = runner.run(
            private_data_dir=scratch,
            project_dir=str(folder),
            inventory=str(folder / "inventory/localhost.yml"),
            playbook=name,
            extravars=dict(variables),
            cmdline="--check" if check else None,
            envvars={
                "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
                "ANSIBLE_HOME": home,
                # ansible-playbook of this environment, where it was not activated.
                "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            },
            event_handler=follow,
            quiet=True,
        )
        cancelled = done.status == "canceled"
        if cancelled:
            end_stragglers("ANSIBLE_HOME", home)
        if done.rc != 0 and result.good:
            result.failed = name
            result.reason = (
                _last_words(Path(done.config.artifact_dir)) or f"it ended with {done.rc}"
            )
    if cancelled:
        signal.raise_signal(signal.SIGINT)  # to whom it was meant for
    return result


@contextmanager
def _signals_given_back() -> Iterator[None]:
    """Put the handlers back that ansible-runner takes over, and keeps."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ansible_runner() -> ModuleType:
    try:
        import ansible_runner
    except ImportError as err:
        raise EnvironmentLackError(
            "Ansible is not installed here", fix="pip install 'virtlab[real]'"
        ) from err
    module: ModuleType = ansible_runner
    return module


def _follow(event: Mapping[str, Any], result: PlayResult, progress: Progress) -> None:
    """Take one of Ansible's events."""
    data = event.get("event_data", {})
    task = data.get("task") or ""
    kind = event.get("event")
    if kind == "playbook_on_task_start":
        progress(task)
    elif kind == "runner_on_ok" and data.get("res", {}).get("changed"):
        result.changed.append(task)
    elif kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
        result.failed = task
        result.reason = _reason(data.get("res", {}))


def _reason(res: Mapping[str, Any]) -> str:
    """Return what a failed task said, with the words of the command that it ran."""
    parts = [item.get("msg", "") for item in res.get("results", []) if item.get("failed")]
    parts = parts or [str(res.get("msg", ""))]
    said = str(res.get("stderr", "")).strip()
    return "\n".join(dict.fromkeys(part for part in (*parts, said) if part)) or "it gave no reason"


def _last_words(artifacts: Path) -> str:
    """Return the end of what Ansible printed, where it failed before any task."""
    try:
        lines = (artifacts / "stdout").read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-3:])
