"""The driver answers whatever the protocol declares."""

from __future__ import annotations

from typing import Any

from virtlab.hosts.simulated.driver.events import Subscriptions
from virtlab.libvirt_rpc.procedures import BY_NAME


def test_each_declared_procedure_has_a_handler_and_each_handler_a_declaration(lab: Any) -> None:
    handlers = lab.driver.handlers_for(Subscriptions())

    assert sorted(handlers) == sorted(BY_NAME)
