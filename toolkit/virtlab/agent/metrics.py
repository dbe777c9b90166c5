"""A daemon's figures for Prometheus, by its client library: an extra that is asked for by name."""

from __future__ import annotations

import ipaddress
from typing import Any

from virtlab.agent.daemon import Daemon
from virtlab.errors import EnvironmentLackError, UsageError

__all__ = ["PrometheusMeter", "address_of"]


def address_of(text: str) -> tuple[str, int]:
    """Return where to listen, from ADDR:PORT.

    Raises:
        UsageError: it is no such place.
    """
    address, _, port = text.rpartition(":")
    try:
        place = str(ipaddress.ip_address(address.strip("[]") or "127.0.0.1"))
        number = int(port)
        if not 0 < number < 65_536:
            raise ValueError(port)
    except ValueError as error:
        raise UsageError(
            f"--metrics {text}: that is no address and port.", fix="127.0.0.1:9750, or :9750"
        ) from error
    return place, number


class PrometheusMeter:
    """Keeps the figures, and serves them from a thread of the library's own."""

    def __init__(self, kind: str, place: tuple[str, int]) -> None:
        """Listen.

        Raises:
            EnvironmentLackError: the library is missing, or the place is taken.
        """
        try:
            import prometheus_client as library
        except ImportError as error:
            raise EnvironmentLackError(
                "--metrics needs prometheus-client", fix="pip install 'virtlab[metrics]'"
            ) from error
        registry = library.CollectorRegistry()
        labels = {"labelnames": ("daemon",), "registry": registry}

        def made(of: Any, name: str, about: str, **options: Any) -> Any:
            return of(f"virtlab_{name}", about, **labels, **options).labels(kind)

        self._ticks = made(library.Counter, "ticks", "Ticks in which was decided")
        self._missed = made(library.Counter, "ticks_missed", "Ticks in which libvirtd was away")
        self._failures = made(library.Counter, "policy_failures", "Ticks the policy failed in")
        self._done = made(library.Counter, "changes", "Changes that were made")
        self._refused = made(library.Counter, "changes_refused", "Changes that were not made")
        self._held = made(library.Gauge, "held", "Actions of the last plan that were held back")
        self._guests = made(library.Gauge, "guests", "Guests that run")
        self._up = made(library.Gauge, "libvirtd_up", "1 while libvirtd answers")
        self._journal = made(library.Gauge, "journal_up", "1 while ticks are journalled")
        self._took = made(
            library.Histogram,
            "decision_seconds",
            "How long the policy took",
            buckets=(0.001, 0.01, 0.1, 1.0),
        )
        self._busiest = made(library.Gauge, "busiest_pcpu_share", "How full the busiest pCPU is")
        self._spread = made(library.Gauge, "spread_points", "Standard deviation of pCPUs' loads")
        self._spare = made(library.Gauge, "spare_mib", "Memory that the host has to give")
        try:
            library.start_http_server(place[1], place[0], registry)
        except OSError as error:
            raise EnvironmentLackError(
                f"--metrics: nobody can listen at {place[0]}:{place[1]}: {error.strerror}",
                fix="name a port that is free.",
            ) from error

    def tick(self, daemon: Daemon, figures: dict[str, float], changes: int) -> None:
        """Take in a tick that was decided."""
        self._ticks.inc()
        self._up.set(1)
        self._guests.set(len(daemon.watch.guests))
        self._held.set(len(daemon.held))
        journal = daemon.journal
        self._journal.set(float(journal is not None and journal.problem is None))
        if daemon.decider is not None:
            self._took.observe(daemon.decider.took_s)
            if daemon.decider.failures:
                self._failures.inc()
        for gauge, name in (
            (self._busiest, "busiest_share"),
            (self._spread, "spread_points"),
            (self._spare, "spare_mib"),
        ):
            if name in figures:
                gauge.set(figures[name])

    def missed(self, why: str) -> None:
        """Take in a tick in which nothing was decided."""
        self._missed.inc()
        self._up.set(0)

    def result(self, done: bool) -> None:
        """Take in a change that was made, or was not."""
        (self._done if done else self._refused).inc()
