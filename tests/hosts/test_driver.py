"""The driver answers whatever the protocol declares."""

from __future__ import annotations

from typing import Any

import pytest

from virtlab.hosts.simulated.driver.events import Subscriptions
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.procedures import BY_NAME


def test_each_declared_procedure_has_a_handler_and_each_handler_a_declaration(lab: Any) -> None:
    handlers = lab.driver.handlers_for(Subscriptions())

    assert sorted(handlers) == sorted(BY_NAME)


@pytest.mark.parametrize("event_id", [-1, 27])
def test_an_event_that_libvirt_does_not_know_is_refused(event_id: int) -> None:
    with pytest.raises(LibvirtError) as refused:
        Subscriptions().connect_domain_event_callback_register_any(event_id, None)

    error = refused.value
    assert (error.code, error.domain) == (1, 7)
    assert error.message == f"internal error: unsupported event ID {event_id}"
