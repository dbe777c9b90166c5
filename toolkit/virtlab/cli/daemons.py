"""`virtlab schedule`, `coordinate` and `undo`: policies at work on a host, and back again."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.errors import EnvironmentLackError, UsageError

if TYPE_CHECKING:
    from virtlab.agent.launching import DaemonOptions

__all__ = ["Connect", "State", "coordinate", "schedule", "undo"]

_SYSTEM = "qemu:///system"

Connect = Annotated[
    str, typer.Option("--connect", metavar="URI", help="A libvirtd of this machine.")
]
Policy = Annotated[
    str, typer.Option("--policy", metavar="NAME", help="See `virtlab policies list`.")
]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a parameter of the policy; repeatable."),
]
Interval = Annotated[
    float, typer.Option("--interval", min=0.1, max=3600.0, help="Seconds from tick to tick.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Decide and journal, and change nothing.")]
Metrics = Annotated[
    str | None,
    typer.Option("--metrics", metavar="ADDR:PORT", help="Serve figures for Prometheus there."),
]
LogFormat = Annotated[
    str, typer.Option("--log-format", metavar="json|text", help="How stderr is written.")
]
PerHour = Annotated[
    int | None,
    typer.Option(
        "--max-moves-per-hour", min=0, metavar="N", help="At most so many changes in any hour."
    ),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state", help="Folder for the log of changes; /var/lib/virtlab, or in your home."
    ),
]
JournalFolder = Annotated[
    Path | None, typer.Option("--journal", help="Folder of the journal; below --state if left out.")
]
JournalFiles = Annotated[
    int, typer.Option("--journal-files", min=1, help="As much is kept as N files of 8 MiB hold.")
]
Restore = Annotated[bool, typer.Option("--restore-at-exit", help="Put everything back at the end.")]


def schedule(
    connect: Connect = _SYSTEM,
    policy: Policy = "even",
    setting: Setting = None,
    interval: Interval = 2.0,
    dry_run: DryRun = False,
    metrics: Metrics = None,
    log_format: LogFormat = "text",
    max_moves_per_hour: PerHour = None,
    state: State = None,
    journal: JournalFolder = None,
    journal_files: JournalFiles = 20,
    restore_at_exit: Restore = False,
    override_pins: Annotated[
        bool,
        typer.Option(
            "--override-pins",
            help="Move vCPUs out of the affinity of their guest's description, too.",
        ),
    ] = False,
) -> None:
    """Pin vCPUs by a policy, tick by tick, until SIGTERM or Ctrl-C.

    Example: virtlab schedule --policy even --interval 5 --dry-run
    """
    from virtlab.agent.launching import DaemonOptions, default_state, settings_from

    _serve(
        DaemonOptions(
            kind="schedule",
            uri=connect,
            policy=policy,
            state=state or default_state(),
            settings=settings_from(setting or []),
            interval_s=interval,
            dry_run=dry_run,
            metrics=metrics,
            changes_per_hour=max_moves_per_hour,
            journal=journal,
            journal_files=journal_files,
            override_pins=override_pins,
        ),
        log_format,
        restore_at_exit,
    )


def coordinate(
    connect: Connect = _SYSTEM,
    policy: Policy = "steady",
    setting: Setting = None,
    interval: Interval = 2.0,
    dry_run: DryRun = False,
    metrics: Metrics = None,
    log_format: LogFormat = "text",
    max_moves_per_hour: PerHour = None,
    state: State = None,
    journal: JournalFolder = None,
    journal_files: JournalFiles = 20,
    restore_at_exit: Restore = False,
    reserve_mib: Annotated[
        int, typer.Option("--reserve-mib", min=0, help="Memory that is left to the host.")
    ] = 200,
    floor_mib: Annotated[
        int, typer.Option("--floor-mib", min=0, help="No guest is taken below this.")
    ] = 200,
    host_caches: Annotated[
        bool,
        typer.Option(
            "--host-caches/--no-host-caches",
            help="Whether the host's page cache counts as memory that can be given.",
        ),
    ] = True,
) -> None:
    """Set balloons by a policy, tick by tick, until SIGTERM or Ctrl-C.

    Example: virtlab coordinate --policy steady --interval 5 --dry-run
    """
    from virtlab.agent.launching import DaemonOptions, default_state, settings_from

    _serve(
        DaemonOptions(
            kind="coordinate",
            uri=connect,
            policy=policy,
            state=state or default_state(),
            settings=settings_from(setting or []),
            interval_s=interval,
            dry_run=dry_run,
            metrics=metrics,
            changes_per_hour=max_moves_per_hour,
            journal=journal,
            journal_files=journal_files,
            reserve_mib=reserve_mib,
            floor_mib=floor_mib,
            count_caches=host_caches,
        ),
        log_format,
        restore_at_exit,
    )


def undo(
    connect: Connect = _SYSTEM,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Put back only what was changed since: 03:00, 2026-01-31T03:00, or 90m.",
        ),
    ] = None,
    state: State = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Put affinities and balloons back as they were before the daemons changed them.

    Exit codes: 0 all is back; 1 something could not be put back; 2, 4 as ever.
    Example: virtlab undo --since 03:00
    """
    from virtlab.agent.launching import KINDS, default_state
    from virtlab.agent.moments import moment_of
    from virtlab.agent.single import hold_alone
    from virtlab.agent.undo import log_of, put_back
    from virtlab.cli.exit_codes import ExitCode
    from virtlab.cli.show import print_json
    from virtlab.hosts.real.connection import socket_of

    socket = socket_of(connect)
    since_s = 0.0 if since is None else moment_of(since, time.time())
    found = []
    with ExitStack() as held:
        for kind in KINDS:
            try:
                held.enter_context(hold_alone(kind, socket))
            except EnvironmentLackError as error:
                raise UsageError(str(error).splitlines()[0], fix="stop it first.") from error
        for kind in KINDS:
            log = log_of(state or default_state(), kind)
            found += put_back(socket, log, since_s=since_s, timeout_s=35.0)
    if as_json:
        print_json({"version": 1, "changes": [asdict(one) for one in found]})
    else:
        words = {"back": "is back at", "gone": "is gone, and was at", "theirs": "is left alone at",
                 "left": "was not put back to", "failed": "was not put back to"}  # fmt: skip
        for one in found:
            before = ",".join(map(str, one.change.before))
            why = f": {one.why}" if one.why else ""
            print(f"{one.change.name} {words[one.outcome]} {before}{why}")
        if not found:
            print("Nothing is to be put back.")
    if any(one.outcome in ("left", "failed") for one in found):
        raise typer.Exit(ExitCode.POINTS_LOST)


def _serve(options: DaemonOptions, log_format: str, restore_at_exit: bool) -> None:
    from virtlab.agent.launching import open_daemon
    from virtlab.agent.serving import restore, run

    if log_format not in ("json", "text"):
        raise UsageError(f"--log-format {log_format}: there is none.", fix="use json or text")
    if restore_at_exit and options.dry_run:
        raise UsageError("--dry-run changes nothing, so there is nothing to restore.")
    _log_to_stderr(log_format)
    with open_daemon(options) as daemon:
        try:
            run(daemon)
        except OSError as error:
            raise EnvironmentLackError(
                f"libvirtd does not answer at {daemon.settings.socket}: {error.strerror or error}",
                fix="start libvirtd, or run as a user who may use this socket.",
            ) from error
        finally:
            if restore_at_exit:
                restore(daemon)


def _log_to_stderr(log_format: str) -> None:
    root = logging.getLogger("virtlab.agent")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if log_format == "json" else logging.Formatter("%(message)s"))
    root.handlers, root.propagate = [handler], False
    root.setLevel(logging.INFO)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time_s": round(record.created, 3),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        return json.dumps(line, ensure_ascii=False)
