"""Memory limits of the run and of the next start are set in both, or in neither."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.typed import Param, ParamType

Ask = Callable[..., Any]

_LIVE, _CONFIG = 1, 2


@pytest.fixture
def ask(lab: Any) -> Ask:
    def call(name: str, *args: Any) -> Any:
        return lab.within(lambda: lab.driver.handlers[name](*args))

    return call


def limit(**values: int) -> list[Param]:
    return [Param(name, ParamType.ULLONG, value) for name, value in values.items()]


def limits(ask: Ask, dom: Any, flags: int) -> dict[str, Any]:
    params, _ = ask("DOMAIN_GET_MEMORY_PARAMETERS", dom, 3, flags)
    return {param.field: param.value for param in params if param.value < 1 << 40}


def test_memory_limits_are_checked_against_the_running_domain_and_set_in_both(ask: Ask) -> None:
    (dom,) = ask("DOMAIN_LOOKUP_BY_NAME", "aos_vm1")
    stored = limit(swap_hard_limit=1_000_000, hard_limit=100_000)
    ask("DOMAIN_SET_MEMORY_PARAMETERS", dom, stored, _CONFIG)

    # A libvirtd 9.0.0 sets it, although what is stored then contradicts itself.
    ask("DOMAIN_SET_MEMORY_PARAMETERS", dom, limit(hard_limit=2_000_000), _LIVE | _CONFIG)

    assert limits(ask, dom, _LIVE) == {"hard_limit": 2_000_000}
    assert limits(ask, dom, _CONFIG) == {"hard_limit": 2_000_000, "swap_hard_limit": 1_000_000}


def test_memory_limits_that_are_refused_change_neither(ask: Ask) -> None:
    (dom,) = ask("DOMAIN_LOOKUP_BY_NAME", "aos_vm1")
    ask("DOMAIN_SET_MEMORY_PARAMETERS", dom, limit(hard_limit=100_000), _LIVE | _CONFIG)

    with pytest.raises(LibvirtError, match="lower than or equal to swap_hard_limit"):
        ask("DOMAIN_SET_MEMORY_PARAMETERS", dom, limit(swap_hard_limit=5), _LIVE | _CONFIG)

    assert limits(ask, dom, _LIVE) == limits(ask, dom, _CONFIG) == {"hard_limit": 100_000}
