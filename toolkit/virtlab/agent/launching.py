"""From what a user asks for to a daemon that is ready to run, with everything that it holds."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from virtlab import __version__
from virtlab.agent.change_log import ChangeLog, boot_id, owed, read_changes
from virtlab.agent.coordinate_craft import CoordinateCraft
from virtlab.agent.daemon import Daemon, DaemonSettings, Meter, NoMeter
from virtlab.agent.deciding import Decider
from virtlab.agent.journal import Journal
from virtlab.agent.metrics import PrometheusMeter, address_of
from virtlab.agent.plugins import find_policy
from virtlab.agent.schedule_craft import ScheduleCraft
from virtlab.agent.serving import SystemClock
from virtlab.agent.single import hold_alone
from virtlab.agent.undo import log_of
from virtlab.errors import EnvironmentLackError, UsageError
from virtlab.hosts.real.connection import socket_of
from virtlab.model.units import NS_PER_S, mib
from virtlab.policies.parameters import configured, settings_of
from virtlab.policies.registry import Kind

__all__ = ["KINDS", "DaemonOptions", "default_state", "open_daemon", "settings_from"]

KINDS: Final[Mapping[str, Kind]] = {"schedule": "scheduling", "coordinate": "coordination"}
_FILE_BYTES: Final = 8 << 20
_READ_ONLY: Final = "-ro"  # how the names of libvirt's sockets end that only read
_DECISION_S_MAX: Final = 1.0


@dataclass(frozen=True, slots=True)
class DaemonOptions:
    """What a user asks for."""

    kind: str  # schedule or coordinate
    uri: str
    policy: str | None  # None: only record
    state: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    interval_s: float = 2.0
    dry_run: bool = False
    metrics: str | None = None
    changes_per_hour: int | None = None
    journal: Path | None = None  # None: below the state
    journal_files: int = 20
    override_pins: bool = False
    reserve_mib: int = 200
    floor_mib: int = 200
    count_caches: bool = True


def default_state() -> Path:
    """Return where daemons keep what has to survive them."""
    if os.geteuid() == 0:
        return Path("/var/lib/virtlab")
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local/state") / "virtlab"


def settings_from(given: list[str]) -> dict[str, str]:
    """Return parameters from texts such as `key=value`.

    Raises:
        UsageError: one has another form.
    """
    found = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {text}: that sets nothing.", fix="write --set key=value")
        found[key.strip().replace("-", "_")] = value.strip()
    return found


@contextmanager
def open_daemon(options: DaemonOptions) -> Iterator[Daemon]:
    """Give a daemon that holds its place, its journal and its log of changes.

    Raises:
        UsageError: an unknown policy or parameter, or a host that cannot be meant.
        InputError: a policy of the user's, or the log of changes, cannot be used.
        EnvironmentLackError: another daemon serves the host, or something cannot be written.
    """
    socket = socket_of(options.uri)
    decider = None if options.policy is None else _decider(options, options.policy)
    if socket.name.endswith(_READ_ONLY) and not options.dry_run:
        raise EnvironmentLackError(
            f"{socket} is for reading only",
            fix="name the socket that may be written to, or look on with --dry-run.",
        )
    with ExitStack() as held:
        changes = None
        if not options.dry_run:
            held.enter_context(hold_alone(options.kind, socket))
            with _telling("what is changed cannot be written down", "--state"):
                changes = ChangeLog(log_of(options.state, options.kind))
        with _telling("the journal cannot be written", "--journal"):
            journal = _journal(options, socket, decider)
        meter: Meter = NoMeter()
        if options.metrics is not None:
            meter = PrometheusMeter(options.kind, address_of(options.metrics))
        daemon = Daemon(
            settings=DaemonSettings(
                kind=options.kind,
                socket=socket,
                policy=options.policy or "none",
                interval_ns=round(options.interval_s * NS_PER_S),
                dry_run=options.dry_run,
                changes_per_hour=options.changes_per_hour,
            ),
            selector=held.enter_context(selectors.DefaultSelector()),
            clock=SystemClock(),
            craft=_craft(options),
            decider=decider,
            journal=journal,
            changes=changes,
            meter=meter,
        )
        held.callback(daemon.close)
        yield daemon


def _decider(options: DaemonOptions, policy: str) -> Decider:
    found = find_policy(policy, KINDS[options.kind])

    def make() -> Any:
        return configured(found, options.settings)

    return Decider(make, min(_DECISION_S_MAX, options.interval_s / 2))


def _craft(options: DaemonOptions) -> ScheduleCraft | CoordinateCraft:
    if options.kind == "coordinate":
        return CoordinateCraft(
            reserve_kib=mib(options.reserve_mib),
            floor_kib=mib(options.floor_mib),
            count_caches=options.count_caches,
            period_s=max(1, min(int(options.interval_s / 2), 5)),
        )
    return ScheduleCraft(
        override_pins=options.override_pins,
        first_pins={
            (f"{first.uuid}:{first.run}", first.vcpu): frozenset(first.before)
            for one in owed(read_changes(log_of(options.state, options.kind)))
            if (first := one.origin).what == "pin" and first.boot == boot_id()
        },
    )


def _journal(options: DaemonOptions, socket: Path, decider: Decider | None) -> Journal:
    about = {
        "policy": options.policy,
        "settings": {} if decider is None else settings_of(decider.policy),
        "interval_s": options.interval_s,
        "dry_run": options.dry_run,
        "socket": str(socket),
        "began_s": round(time.time(), 3),
        "version": __version__,
    }
    return Journal(
        options.journal or options.state / "journal",
        options.kind,
        about,
        file_bytes_max=_FILE_BYTES,
        files_max=options.journal_files,
    )


@contextmanager
def _telling(what: str, option: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        raise EnvironmentLackError(
            f"{what}{where}: {error.strerror or error}",
            fix=f"free some space, or name another folder with {option}.",
        ) from error
