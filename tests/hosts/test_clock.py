from __future__ import annotations

from virtlab.hosts.clock import DEFAULT_CALL_COST_NS, call_cost_ns
from virtlab.model.units import ms


def test_a_call_costs_a_fixed_time_and_a_balloon_target_more() -> None:
    assert call_cost_ns("DOMAIN_GET_INFO") == DEFAULT_CALL_COST_NS == ms(0.1)
    assert call_cost_ns("DOMAIN_SET_MEMORY") == call_cost_ns("DOMAIN_SET_MEMORY_FLAGS") == ms(8)
