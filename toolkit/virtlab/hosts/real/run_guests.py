"""The guests of one run: made or taken over before it, and put back after it.

Guests of the lab's own that run already, and are what the scenario wants, are taken over; they get
back their affinities, their size, their statistics, their loads and their stored description. One
that is another gives way for the run, and is made and started again afterwards. The rest is made by
the playbooks, and removed. A domain that the lab did not make is never touched: a run that needs
its name is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol
from xml.etree import ElementTree

from virtlab.errors import EnvironmentLackError, VirtlabError
from virtlab.hosts.real.connection import HostConnection
from virtlab.hosts.real.earlier import earlier, end_loads, give_back, lookup, set_period
from virtlab.hosts.real.guests import own_guests, remove_guest
from virtlab.hosts.real.journal import Changes, Earlier, Journal
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.scenario import GuestSpec, Scenario

__all__ = ["Launch", "RunGuests", "put_back"]

_PERIOD_S: Final = 1
_STOPPED_TOGETHER: Final = 4  # libvirtd stops each in 2 s, and several at a time

_log = logging.getLogger(__name__)


class Launch(Protocol):
    """How a scenario's guests are brought up on a host."""

    def fits(self, description: ElementTree.Element, spec: GuestSpec) -> bool:
        """Tell whether a guest with this stored description is the one that would be made."""

    def up(self, scenario: Scenario, kept: Collection[str]) -> None:
        """Have all run: bound, sized, their agents answering; those in `kept` run already."""


class RunGuests:
    """A scenario's guests on a host."""

    def __init__(self, socket: Path, scenario: Scenario, journal: Journal, launch: Launch) -> None:
        self._socket = socket
        self._scenario = scenario
        self._journal = journal
        self._launch = launch
        self._changes = Changes()

    def bring_up(self) -> dict[str, DomainHandle]:
        """Have all guests run as the scenario says at time 0; return their handles by name.

        Raises:
            EnvironmentLackError: a name is taken, or a guest does not come up.
        """
        with HostConnection(self._socket) as connection:
            planned = self._planned(connection)
            self._journal.write(planned)
            self._changes = planned
            kept = [one.name for one in planned.adopted]
            self._launch.up(self._scenario, kept)
            names = [guest.name for guest in self._scenario.guests]
            handles = {name: lookup(connection, name) for name in names}
            for name, dom in handles.items():
                set_period(connection, dom, _PERIOD_S)
                if name in kept:
                    end_loads(connection, dom)
        return handles

    def put_back(self) -> str | None:
        """Undo everything; return what could not be, in words, which stays in the journal."""
        try:
            put_back(self._socket, self._changes)
        except EnvironmentLackError as err:
            _log.warning("%s", err)
            return str(err)
        self._journal.clear()
        return None

    def _planned(self, connection: HostConnection) -> Changes:
        """Return what will be changed, from what is there."""
        ours = {guest.name for guest in own_guests(connection)}
        there = {dom.name for dom in connection.call("CONNECT_LIST_ALL_DOMAINS", 1, 0).domains}
        names = [guest.name for guest in self._scenario.guests]
        if strangers := [name for name in names if name in there and name not in ours]:
            raise EnvironmentLackError(
                f"There is a domain {strangers[0]} on this host that the lab did not make.",
                fix="name the scenario's guests otherwise, or remove that domain yourself",
            )
        changes = Changes()
        for spec in self._scenario.guests:
            if spec.name not in ours:
                changes.made.append(spec.name)
                continue
            found = earlier(connection, spec.name)
            fits = found.running and self._launch.fits(ElementTree.fromstring(found.xml), spec)
            (changes.adopted if fits else changes.replaced).append(found)
        return changes


def put_back(socket: Path, changes: Changes) -> None:
    """Remove the guests that were made, and give the others back what they had.

    Raises:
        EnvironmentLackError: names what could not be put back, once the rest was.
    """
    tasks: list[tuple[str, Callable[[HostConnection], None]]] = [
        *((name, lambda link, name=name: _remove(link, name)) for name in changes.made),
        *((one.name, lambda link, one=one: give_back(link, one)) for one in changes.adopted),
        *((one.name, lambda link, one=one: _bring_back(link, one)) for one in changes.replaced),
    ]

    def do(task: tuple[str, Callable[[HostConnection], None]]) -> str | None:
        name, act = task
        try:
            with HostConnection(socket) as connection:
                act(connection)
        except (LibvirtError, VirtlabError) as err:
            return f"{name}: {err}"
        return None

    with ThreadPoolExecutor(_STOPPED_TOGETHER) as pool:
        failed = [reason for reason in pool.map(do, tasks) if reason is not None]
    if failed:
        raise EnvironmentLackError(
            "Not everything could be put back: " + "; ".join(failed), fix="virtlab host clean"
        )


def _remove(connection: HostConnection, name: str) -> None:
    # A domain of that name that lacks the mark is somebody else's, made meanwhile.
    if any(guest.name == name for guest in own_guests(connection)):
        remove_guest(connection, name)


def _bring_back(connection: HostConnection, one: Earlier) -> None:
    """Make and start a guest again that gave way, unless the run never came that far."""
    domains = connection.call("CONNECT_LIST_ALL_DOMAINS", 1, 0).domains
    dom = next((dom for dom in domains if dom.uuid.hex() == one.uuid), None)
    if dom is None:
        _remove(connection, one.name)
        dom = connection.call("DOMAIN_DEFINE_XML", one.xml).dom
    if one.running and dom.id < 0:
        connection.call("DOMAIN_CREATE", dom)
    give_back(connection, one)
