"""Arguments that a real libvirtd refuses are refused here, with its code, domain and words.

libvirt's own client checks some of them before it sends anything; others can send what they like.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from virtlab.hosts.simulated.driver.events import Subscriptions
from virtlab.hosts.simulated.driver.state import handle_of
from virtlab.libvirt_rpc.errors import LibvirtError
from virtlab.libvirt_rpc.typed import Param, ParamType

Ask = Callable[..., Any]


@pytest.fixture
def ask(lab: Any) -> Ask:
    """Call the driver of a host of four pCPUs."""

    def call(name: str, *args: Any) -> Any:
        return lab.within(lambda: lab.driver.handlers[name](*args))

    return call


def refusal(ask: Ask, name: str, *args: Any) -> tuple[int, int, str]:
    with pytest.raises(LibvirtError) as caught:
        ask(name, *args)
    return (caught.value.code, caught.value.domain, caught.value.message)


@pytest.mark.parametrize(
    ("name", "args", "refused"),
    [
        (
            "NODE_GET_CPU_STATS",
            (-1, 16, 0),
            (8, 0, "nparams in virHostCPUGetStatsLinux must be equal to 4"),
        ),
        (
            "NODE_GET_MEMORY_STATS",
            (16, -1, 0),
            (8, 0, "nparams in virHostMemGetStatsLinux must be 4"),
        ),
        (
            "NODE_GET_MEMORY_STATS",
            (4, 0, 0),
            (8, 0, "nparams in virHostMemGetStatsLinux must be 2"),
        ),
        (
            "NODE_GET_CPU_STATS",
            (-1, 4, 1),
            (8, 0, "unsupported flags (0x1) in function virHostCPUGetStats"),
        ),
        (
            "NODE_GET_CELLS_FREE_MEMORY",
            (-1, 1),
            (8, 20, "startCell in virNodeGetCellsFreeMemory must be zero or greater"),
        ),
        (
            "NODE_GET_CELLS_FREE_MEMORY",
            (0, 0),
            (8, 20, "maxCells in virNodeGetCellsFreeMemory must be greater than zero"),
        ),
        (
            "NODE_GET_FREE_PAGES",  # once this counted up to 2^31 cells
            ([], -(1 << 31), (1 << 31) + 1, 0),
            (8, 20, "npages in virNodeGetFreePages must not be zero"),
        ),
        (
            "NODE_GET_FREE_PAGES",
            ([4], 0, 0, 0),
            (8, 20, "cellCount in virNodeGetFreePages must not be zero"),
        ),
        (
            "NODE_GET_FREE_PAGES",
            ([4], -2, 1, 0),
            (1, 0, "An error occurred, but the cause is unknown"),
        ),
    ],
)
def test_figures_of_the_host_that_there_are_not(
    ask: Ask, name: str, args: tuple[Any, ...], refused: tuple[int, int, str]
) -> None:
    assert refusal(ask, name, *args) == refused


_SCHEDULER = "DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS"
_UINT, _LLONG, _ULLONG = ParamType.UINT, ParamType.LLONG, ParamType.ULLONG
_STRING, _BOOLEAN, _INT = ParamType.STRING, ParamType.BOOLEAN, ParamType.INT


@pytest.mark.parametrize(
    ("call", "field", "type_", "value", "expected"),
    [
        (_SCHEDULER, "cpu_shares", _UINT, 512, "ullong"),
        (_SCHEDULER, "cpu_shares", _BOOLEAN, True, "ullong"),
        (_SCHEDULER, "cpu_shares", _STRING, "x", "ullong"),
        (_SCHEDULER, "vcpu_period", _LLONG, -5, "ullong"),
        (_SCHEDULER, "vcpu_quota", _INT, 5000, "llong"),
        (_SCHEDULER, "vcpu_quota", _ULLONG, 5000, "llong"),
        ("DOMAIN_SET_MEMORY_PARAMETERS", "hard_limit", _UINT, 100_000, "ullong"),
        ("DOMAIN_SET_NUMA_PARAMETERS", "numa_mode", _UINT, 0, "int"),
        ("DOMAIN_SET_BLKIO_PARAMETERS", "weight", _ULLONG, 500, "uint"),
    ],
)
@pytest.mark.parametrize("flags", [1, 2])
def test_parameters_of_another_type_than_libvirts(
    lab: Any,
    ask: Ask,
    call: str,
    field: str,
    type_: ParamType,
    value: Any,
    expected: str,
    flags: int,
) -> None:
    dom = handle_of(lab.host.guests["aos_vm1"])

    refused = refusal(ask, call, dom, [Param(field, type_, value)], flags)

    assert refused == (
        8,
        0,
        f"invalid argument: invalid type '{type_.name.lower()}' for parameter '{field}', "
        f"expected '{expected}'",
    )


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["bogus"], (74, 0, "argument unsupported: parameter 'bogus' not supported")),
        (
            ["cpu_shares", "vcpu_period", "cpu_shares"],
            (8, 0, "invalid argument: parameter 'cpu_shares' occurs multiple times"),
        ),
        ([], (8, 20, "params in virDomainSetSchedulerParametersFlags must not be NULL")),
    ],
)
def test_parameters_that_are_unknown_repeated_or_none(
    lab: Any, ask: Ask, names: list[str], refused: tuple[int, int, str]
) -> None:
    dom = handle_of(lab.host.guests["aos_vm1"])
    params = [Param(name, _ULLONG, 5000) for name in names]

    assert refusal(ask, _SCHEDULER, dom, params, 1) == refused


_REGISTER = "CONNECT_DOMAIN_EVENT_REGISTER_ANY"
_DEREGISTER = "CONNECT_DOMAIN_EVENT_DEREGISTER_ANY"


@pytest.mark.parametrize(
    ("calls", "refused"),
    [
        ([(_REGISTER, 17)], (1, 7, "internal error: unsupported event ID 17")),
        ([(_REGISTER, -1)], (1, 7, "internal error: unsupported event ID -1")),
        ([(_DEREGISTER, 16)], (1, 7, "internal error: unsupported event ID 16")),
        ([(_DEREGISTER, 13)], (1, 7, "internal error: domain event 13 not registered")),
        (
            [(_REGISTER, 13), (_REGISTER, 13)],
            (8, 0, "invalid argument: event callback already tracked"),
        ),
        (
            [("CONNECT_DOMAIN_EVENT_DEREGISTER",)],
            (1, 7, "internal error: domain event 0 not registered"),
        ),
    ],
)
def test_events_in_the_old_style_that_have_no_message_or_are_not_registered(
    calls: list[tuple[Any, ...]], refused: tuple[int, int, str]
) -> None:
    subscriptions = Subscriptions()

    def ask(name: str, *args: Any) -> Any:
        return getattr(subscriptions, name.lower())(*args)

    for name, *args in calls[:-1]:
        ask(name, *args)
    name, *args = calls[-1]

    assert refusal(ask, name, *args) == refused


def test_statistics_of_domains_that_are_given_pass_the_filter_too(lab: Any, ask: Ask) -> None:
    doms = [handle_of(lab.host.guests[name]) for name in ("aos_vm1", "aos_off")]

    running, stopped = (
        [
            bytes(record.data[4:11])
            for record in ask("CONNECT_GET_ALL_DOMAIN_STATS", doms, 1, flag)[0]
        ]
        for flag in (1, 2)
    )

    assert (running, stopped) == ([b"aos_vm1"], [b"aos_off"])


@pytest.mark.parametrize(
    ("name", "args", "refused"),
    [
        ("DOMAIN_GET_METADATA", (0, None, 8), (8, 20, "virDomainObjGetMetadata")),
        ("DOMAIN_BLOCK_STATS_FLAGS", ("vda", 4, 8), (8, 10, "qemuDomainBlockStatsFlags")),
        ("DOMAIN_GET_TIME", (8,), (8, 10, "qemuDomainGetTime")),
        ("DOMAIN_MIGRATE_GET_MAX_DOWNTIME", (8,), (8, 10, "qemuDomainMigrateGetMaxDowntime")),
        ("DOMAIN_GET_BLOCK_JOB_INFO", ("vda", 8), (8, 10, "qemuDomainGetBlockJobInfo")),
    ],
)
def test_flags_that_a_function_does_not_know(
    lab: Any, ask: Ask, name: str, args: tuple[Any, ...], refused: tuple[int, int, str]
) -> None:
    dom = handle_of(lab.host.guests["aos_vm1"])
    code, domain, function = refused

    said = refusal(ask, name, dom, *args)

    assert said == (code, domain, f"unsupported flags (0x8) in function {function}")
