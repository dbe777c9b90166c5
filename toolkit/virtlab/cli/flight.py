"""`virtlab why`, `replay` and `record`: what the flight recorder tells, and what comes of it."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from virtlab.cli.daemons import Connect, Interval, JournalFolder, Setting, State
from virtlab.errors import InputError, UsageError

if TYPE_CHECKING:
    from virtlab.agent.journal import RecordedTick
    from virtlab.league.replay import Replayed

__all__ = ["record", "replay", "why"]

_SYSTEM = "qemu:///system"

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
_Journal = Annotated[
    Path | None,
    typer.Option("--journal", help="Folder or file of the journal; the daemons' own if left out."),
]


def why(
    target: Annotated[
        str, typer.Argument(help="A vCPU such as aos_vm3:0, or a guest.", show_default=False)
    ],
    at: Annotated[
        str, typer.Option("--at", metavar="TIME", help="03:00, 2026-01-31T03:00, or 90m (ago).")
    ],
    journal: _Journal = None,
    state: State = None,
    as_json: _Json = False,
) -> None:
    """Tell why a vCPU was moved or a guest resized at a moment, or why not.

    Example: virtlab why aos_vm3:0 --at 03:00
    """
    from virtlab.agent.journal import check_journal, files_around, journal_files, read_journal
    from virtlab.agent.moments import is_ago, moment_of, span_of
    from virtlab.agent.why import account_of, kind_of
    from virtlab.cli.show import print_folded, print_json

    moment_of(at, time.time())  # before a long journal is read
    where, kind = _journal_of(journal, state), kind_of(target)
    check_journal(where, kind)
    now_s = time.time()
    if not is_ago(at):  # 03:00 is that of the night that the journal ends with
        last = [one.wall_s for one in read_journal(journal_files(where, kind)[-1])]
        now_s = max(last, default=now_s) + 60
    from_s = moment_of(at, now_s)
    files = files_around(where, kind, from_s)
    ticks = (tick for path in files for tick in read_journal(path))
    account = account_of(ticks, target, from_s, from_s + span_of(at))
    if as_json:
        print_json({"version": 1, **asdict(account), "paragraph": account.paragraph()})
    else:
        print_folded([account.paragraph()])


def replay(
    journal: Annotated[
        Path, typer.Argument(help="Folder or file of a journal.", show_default=False)
    ],
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME", help="See `virtlab policies list`.")
    ],
    setting: Setting = None,
    as_json: _Json = False,
) -> None:
    """Show a recorded load under another policy, on the simulator.

    The recorded policy runs there as well: how far it is from what was recorded shows how far the
    simulator is to be trusted. Example: virtlab replay /var/lib/virtlab/journal --policy greedy
    """
    from virtlab.agent.fitting import fitted_scenario
    from virtlab.agent.journal import read_journal
    from virtlab.agent.launching import KINDS, settings_from
    from virtlab.agent.plugins import describe_policy, find_policy
    from virtlab.agent.recorded import snapshot_of
    from virtlab.cli.show import print_json
    from virtlab.league.replay import recorded, replayed
    from virtlab.policies.parameters import configured

    kind = next(one for one, its in KINDS.items() if its == describe_policy(policy).kind)
    chosen = configured(find_policy(policy, KINDS[kind]), settings_from(setting or []))
    ticks = list(read_journal(journal, None if journal.is_file() else kind))
    scenario = fitted_scenario(ticks, "replay")
    first, about = snapshot_of(ticks[0]), ticks[0].about
    if about["kind"] != kind:
        raise UsageError(
            f"{policy} is a {KINDS[kind]} policy, and {journal} is the journal of "
            f"virtlab {about['kind']}",
            fix="name a policy that decides the same.",
        )
    before = about["policy"]
    rows = [recorded(ticks, f"recorded ({before or 'no policy'})")]
    if before is not None:
        same = configured(find_policy(before, KINDS[kind]), about["settings"])
        rows.append(replayed(scenario, same, f"simulated {before}", first=first))
    rows.append(replayed(scenario, chosen, f"simulated {policy}", first=first))
    if as_json:
        print_json({"version": 1, "runs": [asdict(row) for row in rows]})
    else:
        print("\n".join(_table(rows)))


def record(
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE.yaml", help="Scenario file to write.")
    ],
    connect: Connect = _SYSTEM,
    of: Annotated[
        str, typer.Option("--of", metavar="cpu|memory", help="What of the host is recorded.")
    ] = "cpu",
    interval: Interval = 2.0,
    duration: Annotated[
        float | None,
        typer.Option("--duration", min=1.0, metavar="S", help="Until Ctrl-C if left out."),
    ] = None,
    journal: JournalFolder = None,
) -> None:
    """Record a host without changing anything, and make a scenario file of it.

    Example: virtlab record --out night.yaml --duration 3600
    """
    import tempfile

    from virtlab.agent.journal import journal_files, read_journal
    from virtlab.agent.launching import DaemonOptions, open_daemon
    from virtlab.agent.serving import run
    from virtlab.errors import EnvironmentLackError
    from virtlab.model.units import NS_PER_S

    kinds = {"cpu": "schedule", "memory": "coordinate"}
    if of not in kinds:
        raise UsageError(f"--of {of}: nothing of the kind is recorded.", fix="use cpu or memory")
    if out.suffix != ".yaml":
        raise UsageError(f"--out {out}: a scenario file ends in .yaml.", fix=f"{out.stem}.yaml")
    with tempfile.TemporaryDirectory() as folder:
        options = DaemonOptions(
            kind=kinds[of],
            uri=connect,
            policy=None,
            state=Path(folder),
            interval_s=interval,
            dry_run=True,
            journal=journal or Path(folder) / "journal",
            journal_files=1000,
        )
        with open_daemon(options) as daemon:
            began_ns = daemon.clock.now_ns()
            until_ns = None if duration is None else began_ns + round(duration * NS_PER_S)
            began_s = daemon.clock.wall_s()
            try:
                run(daemon, until_ns=until_ns)
            except OSError as error:
                raise EnvironmentLackError(
                    f"libvirtd does not answer at {daemon.settings.socket}: {error.strerror}",
                    fix="start libvirtd, or run as a user who may use this socket.",
                ) from error
        where = options.journal or Path(folder)
        ticks = read_journal(where, options.kind) if journal_files(where, options.kind) else ()
        files = _written([tick for tick in ticks if tick.about["began_s"] >= began_s - 1], out)
    for path in files:
        print(path)


def _written(ticks: list[RecordedTick], out: Path) -> list[Path]:
    import re

    from virtlab.agent.fitting import fitted_scenario
    from virtlab.scenario.writing import write_scenario

    name = re.sub(r"[^a-z0-9]+", "-", out.stem.lower()).strip("-") or "recorded"
    try:
        return write_scenario(fitted_scenario(ticks, name[:64]), out)
    except OSError as error:
        raise InputError(
            f"{out} cannot be written: {error.strerror or error}",
            fix="name a folder that you may write to.",
        ) from error


def _journal_of(journal: Path | None, state: Path | None) -> Path:
    from virtlab.agent.launching import default_state

    return journal or (state or default_state()) / "journal"


def _table(rows: list[Replayed]) -> list[str]:
    names = [name for name in asdict(rows[0]) if any(asdict(row)[name] is not None for row in rows)]
    cells = [names] + [
        ["–" if (value := asdict(row)[name]) is None else str(value) for name in names]
        for row in rows
    ]
    widths = [max(len(line[at]) for line in cells) for at in range(len(names))]
    return [
        "  ".join(
            text.ljust(width) if at == 0 else text.rjust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
