"""The same packets to a real libvirtd and to the simulated host: what is denied, what is too much.

Other arguments that it refuses are among them. libvirt's own library checks most of this before it
sends anything, so these are packets of our own client: a read-only connection asks for everything
that the protocol declares here.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from virtlab.libvirt_rpc.client import Answer, ClientConnection
from virtlab.libvirt_rpc.procedures import BY_NUMBER
from virtlab.libvirt_rpc.structs import Struct
from virtlab.libvirt_rpc.typed import ParamType
from virtlab.libvirt_rpc.values import DOMAIN, DomainHandle
from virtlab.libvirt_rpc.xdr import Array, FixedOpaque, Opaque, Optional, Scalar, String, XdrType

_DENIED = 29
_DOMAIN = (
    "<domain type='qemu'><name>asked</name><memory>65536</memory><vcpu>2</vcpu>"
    "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>"
)
_SESSION = {"AUTH_LIST", "CONNECT_OPEN", "CONNECT_CLOSE"}
_UNKNOWN_FLAG = 1 << 28
# `something` is no argument for these, and is refused, or enough, before a flag is looked at.
_FLAGS_LATER = {
    "DOMAIN_GET_VCPU_PIN_INFO",
    "DOMAIN_GET_EMULATOR_PIN_INFO",
    "DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS",
    "DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS",
    "DOMAIN_SET_MEMORY_PARAMETERS",
    "DOMAIN_SET_NUMA_PARAMETERS",
    "DOMAIN_SET_BLKIO_PARAMETERS",
    "DOMAIN_MEMORY_STATS",
    "DOMAIN_GET_METADATA",
    "DOMAIN_SET_METADATA",
    "DOMAIN_GET_LAUNCH_SECURITY_INFO",  # takes any
}
_SECURE_FLAGS = range(16)
# (procedure, arguments), with DOMAIN where the domain is meant
_TOO_MUCH: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("CONNECT_LIST_DOMAINS", (16_385,)),
    ("CONNECT_LIST_DOMAINS", (-1,)),
    ("CONNECT_LIST_DEFINED_DOMAINS", (16_385,)),
    ("CONNECT_LIST_NETWORKS", (16_385,)),
    ("CONNECT_LIST_DEFINED_NETWORKS", (-1,)),
    ("CONNECT_LIST_STORAGE_POOLS", (16_385,)),
    ("CONNECT_LIST_DEFINED_STORAGE_POOLS", (16_385,)),
    ("CONNECT_LIST_INTERFACES", (16_385,)),
    ("CONNECT_LIST_DEFINED_INTERFACES", (16_385,)),
    ("CONNECT_LIST_SECRETS", (16_385,)),
    ("CONNECT_LIST_NWFILTERS", (16_385,)),
    ("NODE_LIST_DEVICES", (None, 65_537, 0)),
    ("NODE_GET_CELLS_FREE_MEMORY", (0, 1025)),
    ("NODE_GET_CELLS_FREE_MEMORY", (0, -1)),
    ("NODE_GET_CPU_STATS", (-1, 17, 0)),
    ("NODE_GET_MEMORY_STATS", (17, -1, 0)),
    ("NODE_GET_MEMORY_PARAMETERS", (65, 0)),
    ("NODE_GET_FREE_PAGES", ([4] * 1024, 0, 2, 0)),
    ("DOMAIN_GET_VCPUS", (DOMAIN, 16_385, 1)),
    ("DOMAIN_GET_VCPUS", (DOMAIN, 16_384, 513)),
    ("DOMAIN_GET_VCPUS", (DOMAIN, -1, 1)),
    ("DOMAIN_GET_VCPUS", (DOMAIN, 2, -1)),
    ("DOMAIN_GET_VCPU_PIN_INFO", (DOMAIN, 16_385, 1, 0)),
    ("DOMAIN_GET_VCPU_PIN_INFO", (DOMAIN, 16_384, 513, 0)),
    ("DOMAIN_GET_VCPU_PIN_INFO", (DOMAIN, -1, 1, 0)),
    ("DOMAIN_GET_VCPU_PIN_INFO", (DOMAIN, 1, -1, 0)),
    ("DOMAIN_GET_EMULATOR_PIN_INFO", (DOMAIN, -1, 0)),
    ("DOMAIN_GET_EMULATOR_PIN_INFO", (DOMAIN, 8_388_609, 0)),
    ("DOMAIN_GET_CPU_STATS", (DOMAIN, 3, 0, 129, 0)),
    ("DOMAIN_GET_CPU_STATS", (DOMAIN, 17, -1, 1, 0)),
    ("DOMAIN_MEMORY_STATS", (DOMAIN, 1025, 0)),
    ("DOMAIN_GET_SCHEDULER_PARAMETERS", (DOMAIN, 17)),
    ("DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS", (DOMAIN, -1, 0)),
    ("DOMAIN_GET_MEMORY_PARAMETERS", (DOMAIN, 17, 0)),
    ("DOMAIN_GET_NUMA_PARAMETERS", (DOMAIN, 17, 0)),
    ("DOMAIN_GET_BLKIO_PARAMETERS", (DOMAIN, 17, 0)),
    ("DOMAIN_BLOCK_STATS_FLAGS", (DOMAIN, "vda", 17, 0)),
    ("DOMAIN_GET_DISK_ERRORS", (DOMAIN, 257, 0)),
    ("DOMAIN_SNAPSHOT_LIST_NAMES", (DOMAIN, 16_385, 0)),
)
_INT, _UINT, _LLONG, _ULLONG, _DOUBLE, _BOOLEAN, _STRING = ParamType
_REFUSED: tuple[tuple[str, tuple[Any, ...]], ...] = (
    *(
        (call, (DOMAIN, [(field, type_, "x" if type_ is _STRING else 5000)], 2))
        for call, field, wanted in (
            ("DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS", "cpu_shares", _ULLONG),
            ("DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS", "vcpu_quota", _LLONG),
            ("DOMAIN_SET_MEMORY_PARAMETERS", "hard_limit", _ULLONG),
            ("DOMAIN_SET_NUMA_PARAMETERS", "numa_mode", _INT),
            ("DOMAIN_SET_NUMA_PARAMETERS", "numa_nodeset", _STRING),
            ("DOMAIN_SET_BLKIO_PARAMETERS", "weight", _UINT),
        )
        for type_ in ParamType
        if type_ is not wanted
    ),
    ("DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS", (DOMAIN, [("bogus", _ULLONG, 1)] * 2, 2)),
    ("DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS", (DOMAIN, [("cpu_shares", _ULLONG, 9)] * 2, 2)),
    ("DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS", (DOMAIN, [], 2)),
    ("DOMAIN_SET_MEMORY_PARAMETERS", (DOMAIN, [("bogus", _ULLONG, 1)], 2)),
    ("DOMAIN_SET_BLKIO_PARAMETERS", (DOMAIN, [("bogus", _UINT, 1)], 2)),
    ("DOMAIN_SET_NUMA_PARAMETERS", (DOMAIN, [("bogus", _INT, 1)], 2)),
    *(("CONNECT_DOMAIN_EVENT_REGISTER_ANY", (number,)) for number in (-1, 16, 17, 27)),
    *(("CONNECT_DOMAIN_EVENT_DEREGISTER_ANY", (number,)) for number in (-1, 13, 16, 99)),
    ("CONNECT_DOMAIN_EVENT_DEREGISTER", ()),
    ("NODE_GET_CPU_STATS", (-1, 3, 0)),
    ("NODE_GET_CPU_STATS", (-1, 5, 0)),
    ("NODE_GET_CPU_STATS", (99, 4, 0)),
    ("NODE_GET_CPU_STATS", (-1, 4, 1)),
    ("NODE_GET_MEMORY_STATS", (16, -1, 0)),
    ("NODE_GET_MEMORY_STATS", (4, 0, 0)),
    ("NODE_GET_MEMORY_STATS", (4, -1, 1)),
    ("NODE_GET_FREE_PAGES", ([], 0, 1, 0)),
    ("NODE_GET_FREE_PAGES", ([4], 0, 0, 0)),
    ("NODE_GET_FREE_PAGES", ([4], -2, 1, 0)),
    ("NODE_GET_FREE_PAGES", ([7], -1, 1, 0)),
    ("NODE_GET_CELLS_FREE_MEMORY", (-1, 1)),
    ("NODE_GET_CELLS_FREE_MEMORY", (0, 0)),
    ("NODE_GET_CPU_MAP", (1, 1, 1)),
    ("NODE_GET_MEMORY_PARAMETERS", (8, 1)),
)


class Asker:
    """One opened connection."""

    def __init__(self, connected: socket.socket, flags: int) -> None:
        self._socket = connected
        self._client = ClientConnection()
        self.ask("AUTH_LIST")
        self.ask("CONNECT_OPEN", "qemu:///system", flags)

    def ask(self, name: str, *args: Any) -> Answer:
        self._socket.sendall(self._client.call(name, *args))
        while True:
            received = self._socket.recv(65_536)
            assert received, f"hung up on {name}"
            for answer in self._client.receive(received):
                if isinstance(answer, Answer):
                    return answer

    def refusal(self, name: str, *args: Any) -> tuple[Any, ...] | None:
        error = self.ask(name, *args).error
        if error is None:
            return None
        return (error.code, error.domain, error.message, error.str1, error.str2, error.int1)


@contextmanager
def connected(uri: str, *, suffix: str = "", flags: int = 0) -> Iterator[Asker]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(uri.partition("socket=")[2] + suffix)
        yield Asker(connection, flags)


def something(shape: XdrType, dom: DomainHandle) -> Any:
    """Return a value of a declared type."""
    if shape is DOMAIN:
        return dom
    if isinstance(shape, Struct):
        return tuple(something(one, dom) for one in shape.types.values())
    if isinstance(shape, Optional):
        return "x" if isinstance(shape.item, String) else None
    if isinstance(shape, Array):
        return []
    if isinstance(shape, String):
        return "x"
    if isinstance(shape, Opaque):
        return b"\1"
    if isinstance(shape, FixedOpaque):
        return bytes(shape.size_min)
    return 0 if isinstance(shape, Scalar) else []


def denied(asker: Asker) -> dict[str, Any]:
    """Return what a connection is denied, of all that there is to ask."""
    dom = asker.ask("DOMAIN_LOOKUP_BY_NAME", "asked").results[0]
    questions: list[tuple[str, tuple[Any, ...]]] = [
        (procedure.name, tuple(something(one, dom) for one in procedure.args.types.values()))
        for procedure in BY_NUMBER.values()
        if procedure.name not in _SESSION
    ]
    for flags in _SECURE_FLAGS:
        questions.append(("DOMAIN_GET_XML_DESC", (dom, flags)))
        questions.append(("DOMAIN_GET_VCPUS_FLAGS", (dom, flags)))
    questions += [("DOMAIN_INTERFACE_ADDRESSES", (dom, source, 0)) for source in range(3)]
    answers = {f"{name} {args[1:]}": asker.refusal(name, *args) for name, args in questions}
    return {label: answer for label, answer in answers.items() if answer and answer[0] == _DENIED}


def refused(asker: Asker, questions: tuple[tuple[str, tuple[Any, ...]], ...]) -> dict[str, Any]:
    dom = asker.ask("DOMAIN_LOOKUP_BY_NAME", "asked").results[0]
    return {
        f"{name} {args}": asker.refusal(name, *(dom if arg is DOMAIN else arg for arg in args))
        for name, args in questions
    }


def with_unknown_flags(asker: Asker) -> dict[str, Any]:
    """Return what is said to a flag that hardly any call knows."""
    dom = asker.ask("DOMAIN_LOOKUP_BY_NAME", "asked").results[0]
    found = {}
    for procedure in BY_NUMBER.values():
        if procedure.name in _SESSION | _FLAGS_LATER or "flags" not in procedure.args.types:
            continue
        args = [something(one, dom) for one in procedure.args.types.values()]
        args[list(procedure.args.types).index("flags")] = _UNKNOWN_FLAG
        found[procedure.name] = asker.refusal(procedure.name, *args)
    return {name: said for name, said in found.items() if said is None or said[4] == "flags"}


def answers_of(uri: str) -> dict[str, Any]:
    with connected(uri) as asker:
        assert asker.ask("DOMAIN_DEFINE_XML", _DOMAIN).error is None
        answers = {
            "too much": refused(asker, _TOO_MUCH),
            "other arguments": refused(asker, _REFUSED),
            "flags": with_unknown_flags(asker),
        }
    with connected(uri, suffix="-ro") as asker:
        answers["by libvirt-sock-ro"] = denied(asker)
    with connected(uri, flags=1) as asker:
        answers["opened to read only"] = denied(asker)
    return answers


@pytest.mark.parametrize(
    "what", ["too much", "other arguments", "flags", "by libvirt-sock-ro", "opened to read only"]
)
def test_every_such_refusal_is_a_refusal(lab: Any, what: str) -> None:
    answers = answers_of(lab.uri)[what]

    assert len(answers) > 35
    assert all(answers.values())


def test_a_real_host_refuses_the_same_in_the_same_words(lab: Any, real_uri: str) -> None:
    assert answers_of(lab.uri) == answers_of(real_uri)
