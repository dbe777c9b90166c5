"""The procedures and messages of libvirt's remote program that the lab knows, in one table."""

from __future__ import annotations

from virtlab.libvirt_rpc.procedures import connection, cpu, events, guests, memory, statistics
from virtlab.libvirt_rpc.procedures.declaration import EventMessage, Procedure

__all__ = ["BY_NAME", "BY_NUMBER", "MESSAGES_BY_NAME", "MESSAGES_BY_NUMBER", "unknown_procedure"]

_PROCEDURES = (
    *connection.PROCEDURES,
    *guests.PROCEDURES,
    *cpu.PROCEDURES,
    *memory.PROCEDURES,
    *statistics.PROCEDURES,
    *events.PROCEDURES,
)

BY_NUMBER: dict[int, Procedure] = {item.number: item for item in _PROCEDURES}
BY_NAME: dict[str, Procedure] = {item.name: item for item in _PROCEDURES}
MESSAGES_BY_NUMBER: dict[int, EventMessage] = {item.number: item for item in events.MESSAGES}
MESSAGES_BY_NAME: dict[str, EventMessage] = {item.name: item for item in events.MESSAGES}

assert len(BY_NUMBER) == len(BY_NAME) == len(_PROCEDURES), "a number or name is declared twice"


def unknown_procedure(number: int) -> Procedure:
    """Return a stand-in for a procedure that is not declared, so that its call can be told."""
    return Procedure(number, f"PROCEDURE_{number}", f"procedure {number}")
