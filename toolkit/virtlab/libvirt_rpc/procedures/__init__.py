"""The procedures and messages of libvirt's remote program that the lab knows, in one table."""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures import (
    connection,
    cpu,
    definitions,
    details,
    events,
    guests,
    host,
    memory,
    resources,
    statistics,
)
from virtlab.libvirt_rpc.procedures.declaration import EventMessage, Procedure
from virtlab.libvirt_rpc.procedures.unserved import FUNCTIONS

__all__ = [
    "BY_NAME",
    "BY_NUMBER",
    "LAST_NUMBER",
    "MESSAGES_BY_NAME",
    "MESSAGES_BY_NUMBER",
    "unknown_procedure",
]

LAST_NUMBER = 443  # of libvirt 9.0.0; a newer client asks for later ones, which nobody knows here

_PROCEDURES = (
    *connection.PROCEDURES,
    *guests.PROCEDURES,
    *cpu.PROCEDURES,
    *memory.PROCEDURES,
    *statistics.PROCEDURES,
    *definitions.PROCEDURES,
    *details.PROCEDURES,
    *host.PROCEDURES,
    *resources.PROCEDURES,
    *events.PROCEDURES,
)

BY_NUMBER: dict[int, Procedure] = {item.number: item for item in _PROCEDURES}
BY_NAME: dict[str, Procedure] = {item.name: item for item in _PROCEDURES}
MESSAGES_BY_NUMBER: dict[int, EventMessage] = {item.number: item for item in events.MESSAGES}
MESSAGES_BY_NAME: dict[str, EventMessage] = {item.name: item for item in events.MESSAGES}

assert not BY_NUMBER.keys() & FUNCTIONS.keys(), "a declared procedure is called unserved"
assert len(BY_NUMBER) == len(BY_NAME) == len(_PROCEDURES), "a number or name is declared twice"


def unknown_procedure(number: int) -> Procedure:
    """Return a stand-in for a procedure that is not declared, so that its call can be told."""
    function = FUNCTIONS.get(number, f"procedure {number}")
    return Procedure(number, f"PROCEDURE_{number}", function)
