"""Errors: what a refused call answers, and what ends a connection.

A refusal is an ordinary reply. It carries the finished text and, as real hosts do, the template
(`Domain not found: %s`) and the detail put into it, which libvirt-python shows to programs.

Source: virterror.c and virterror.h of libvirt 9.0.0; remote_protocol.x, struct remote_error.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any

from virtlab.libvirt_rpc.structs import fields
from virtlab.libvirt_rpc.values import DOMAIN, UUID
from virtlab.libvirt_rpc.xdr import I32, Decoder, Encoder, Optional, String, decode_all

__all__ = [
    "ERROR",
    "ErrorCode",
    "ErrorDomain",
    "LibvirtError",
    "ProtocolError",
    "access_denied",
    "already_running",
    "argument_unsupported",
    "config_unsupported",
    "decode_error",
    "encode_error",
    "format_uuid",
    "internal_error",
    "invalid_argument",
    "no_connection",
    "no_domain_with_id",
    "no_domain_with_name",
    "no_domain_with_uuid",
    "no_support",
    "not_running",
    "operation_denied",
    "operation_failed",
    "operation_invalid",
    "operation_timeout",
    "operation_unsupported",
    "rpc_error",
    "system_error",
    "xml_error",
]


class ErrorCode(IntEnum):
    """What went wrong (virErrorNumber)."""

    INTERNAL_ERROR = 1
    NO_SUPPORT = 3
    NO_CONNECT = 5
    INVALID_ARG = 8
    OPERATION_FAILED = 9
    NO_TARGET = 20
    NO_NAME = 21
    XML_ERROR = 27
    OPERATION_DENIED = 29
    XML_DETAIL = 35
    SYSTEM_ERROR = 38
    RPC = 39
    NO_DOMAIN = 42
    NO_NETWORK = 43
    NO_STORAGE_POOL = 49
    NO_STORAGE_VOL = 50
    NO_NODE_DEVICE = 53
    OPERATION_INVALID = 55
    NO_INTERFACE = 57
    NO_NWFILTER = 62
    NO_SECRET = 66
    CONFIG_UNSUPPORTED = 67
    OPERATION_TIMEOUT = 68
    NO_DOMAIN_SNAPSHOT = 72
    ARGUMENT_UNSUPPORTED = 74
    NO_DOMAIN_METADATA = 80
    OVERFLOW = 82
    OPERATION_UNSUPPORTED = 84
    ACCESS_DENIED = 88
    XML_INVALID_SCHEMA = 92
    NO_DOMAIN_CHECKPOINT = 103


class ErrorDomain(IntEnum):
    """Which part of the host complains (virErrorDomain)."""

    NONE = 0
    XML = 5
    RPC = 7
    QEMU = 10
    TEST = 12
    REMOTE = 13
    STORAGE = 18
    NETWORK = 19
    DOMAIN = 20  # the configuration of guests
    NODE_DEVICE = 22
    INTERFACE = 26
    SECRET = 30
    NWFILTER = 33
    CGROUP = 54
    ACCESS = 55


_TEMPLATES = {
    ErrorCode.INTERNAL_ERROR: "internal error: %s",
    ErrorCode.NO_CONNECT: "no connection driver available for %s",
    ErrorCode.NO_SUPPORT: "this function is not supported by the connection driver: %s",
    ErrorCode.INVALID_ARG: "invalid argument: %s",
    ErrorCode.OPERATION_FAILED: "operation failed: %s",
    ErrorCode.XML_ERROR: "XML error: %s",
    ErrorCode.OPERATION_DENIED: "operation forbidden: %s",
    ErrorCode.XML_DETAIL: "%s",
    ErrorCode.SYSTEM_ERROR: "%s",
    ErrorCode.RPC: "%s",
    ErrorCode.NO_DOMAIN: "Domain not found: %s",
    ErrorCode.NO_NETWORK: "Network not found: %s",
    ErrorCode.NO_STORAGE_POOL: "Storage pool not found: %s",
    ErrorCode.NO_STORAGE_VOL: "Storage volume not found: %s",
    ErrorCode.NO_NODE_DEVICE: "Node device not found: %s",
    ErrorCode.OPERATION_INVALID: "Requested operation is not valid: %s",
    ErrorCode.NO_INTERFACE: "Interface not found: %s",
    ErrorCode.NO_NWFILTER: "Network filter not found: %s",
    ErrorCode.NO_SECRET: "Secret not found: %s",
    ErrorCode.CONFIG_UNSUPPORTED: "unsupported configuration: %s",
    ErrorCode.OPERATION_TIMEOUT: "Timed out during operation: %s",
    ErrorCode.NO_DOMAIN_SNAPSHOT: "Domain snapshot not found: %s",
    ErrorCode.ARGUMENT_UNSUPPORTED: "argument unsupported: %s",
    ErrorCode.NO_DOMAIN_METADATA: "metadata not found: %s",
    ErrorCode.OVERFLOW: "numerical overflow: %s",
    ErrorCode.OPERATION_UNSUPPORTED: "Operation not supported: %s",
    ErrorCode.ACCESS_DENIED: "access denied: %s",
    ErrorCode.XML_INVALID_SCHEMA: "XML document failed to validate against schema: %s",
    ErrorCode.NO_DOMAIN_CHECKPOINT: "Domain checkpoint not found: %s",
}

_LEVEL_ERROR = 2
# A client may look up a name of 4 MiB, which would come back. libvirtd cuts nothing; with what does
# not fit into its answer it hangs up.
_TEXT_MAX = 1 << 16  # characters

ERROR = fields(
    code=I32,
    domain=I32,
    message=Optional(String()),
    level=I32,
    dom=Optional(DOMAIN),
    str1=Optional(String()),
    str2=Optional(String()),
    str3=Optional(String()),
    int1=I32,
    int2=I32,
    net=Optional(fields(name=String(), uuid=UUID)),
)


class ProtocolError(Exception):
    """The peer broke the protocol, or never reads: its connection is to be closed.

    It never reaches a user, so it stands outside the family of VirtlabError.
    """


class LibvirtError(Exception):
    """A refused call, as the program under test will see it.

    `str1` is the template of the message and `str2` the detail put into it; `int1` is the errno of
    a system error, and both numbers are 0 where libvirt's own check of an argument complains.
    """

    def __init__(
        self,
        code: int,
        domain: int,
        message: str,
        str1: str | None = None,
        str2: str | None = None,
        *,
        int1: int = -1,
        int2: int = -1,
    ) -> None:
        message = message[:_TEXT_MAX]
        super().__init__(message)
        self.code = code
        self.domain = domain
        self.message = message
        self.str1 = str1 and str1[:_TEXT_MAX]
        self.str2 = str2 and str2[:_TEXT_MAX]
        self.int1 = int1
        self.int2 = int2

    @classmethod
    def of(cls, code: ErrorCode, detail: str, domain: int = ErrorDomain.QEMU) -> LibvirtError:
        """Return the error whose text is the code's template with this detail."""
        template = _TEMPLATES[code]
        return cls(code, domain, template % detail, template, detail)

    @classmethod
    def from_wire(cls, data: bytes) -> LibvirtError:
        """Return the error of a reply's payload.

        Raises:
            DecodeError: the payload is no error.
        """
        wire = decode_all(_decoder(), data)
        return cls(
            wire.code,
            wire.domain,
            wire.message or "",
            wire.str1,
            wire.str2,
            int1=wire.int1,
            int2=wire.int2,
        )

    def to_wire(self) -> bytes:
        """Return the payload of the error's reply."""
        values: tuple[Any, ...] = (
            *(self.code, self.domain, self.message, _LEVEL_ERROR, None),
            *(self.str1, self.str2, None, self.int1, self.int2, None),
        )
        return _encoder()(values)


@cache
def _encoder() -> Encoder:
    return ERROR.encoder()


@cache
def _decoder() -> Decoder:
    return ERROR.decoder()


def internal_error(detail: str, domain: int = ErrorDomain.QEMU) -> LibvirtError:
    """Return error 1; a node call out of range gives it domain 0."""
    return LibvirtError.of(ErrorCode.INTERNAL_ERROR, detail, domain)


def no_support(function: str, domain: int = ErrorDomain.NONE) -> LibvirtError:
    """Return error 3: the host does not offer `function`, such as virDomainSave."""
    return LibvirtError.of(ErrorCode.NO_SUPPORT, function, domain)


def no_connection(name: str) -> LibvirtError:
    """Return error 5: the URI names a driver that this host does not have."""
    return LibvirtError.of(ErrorCode.NO_CONNECT, name, ErrorDomain.NONE)


def access_denied() -> LibvirtError:
    """Return error 88, as a host with access control gives it."""
    return LibvirtError.of(ErrorCode.ACCESS_DENIED, "'QEMU' denied access", ErrorDomain.ACCESS)


def invalid_argument(detail: str, domain: int = ErrorDomain.QEMU) -> LibvirtError:
    """Return error 8."""
    return LibvirtError.of(ErrorCode.INVALID_ARG, detail, domain)


def operation_failed(detail: str, domain: int = ErrorDomain.QEMU) -> LibvirtError:
    """Return error 9."""
    return LibvirtError.of(ErrorCode.OPERATION_FAILED, detail, domain)


def operation_denied(detail: str, domain: int = ErrorDomain.DOMAIN) -> LibvirtError:
    """Return error 29: the connection may only read."""
    return LibvirtError.of(ErrorCode.OPERATION_DENIED, detail, domain)


def system_error(detail: str, domain: int = ErrorDomain.QEMU, *, number: int = -1) -> LibvirtError:
    """Return error 38; `number` is the system's own, such as ENOENT."""
    template = _TEMPLATES[ErrorCode.SYSTEM_ERROR]
    return LibvirtError(ErrorCode.SYSTEM_ERROR, domain, detail, template, detail, int1=number)


def xml_error(detail: str, domain: int = ErrorDomain.DOMAIN) -> LibvirtError:
    """Return error 27: a description says what it may not."""
    return LibvirtError.of(ErrorCode.XML_ERROR, detail, domain)


def rpc_error(detail: str) -> LibvirtError:
    """Return error 39."""
    return LibvirtError.of(ErrorCode.RPC, detail, ErrorDomain.RPC)


def decode_error() -> LibvirtError:
    """Return error 39 for a payload that does not have the procedure's shape."""
    return rpc_error("Unable to decode message payload")


def encode_error() -> LibvirtError:
    """Return error 39 for a reply that the protocol cannot carry."""
    return rpc_error("Unable to encode message payload")


def no_domain_with_name(name: str) -> LibvirtError:
    """Return error 42 of a lookup by name."""
    return LibvirtError.of(ErrorCode.NO_DOMAIN, f"no domain with matching name '{name}'")


def no_domain_with_id(id_: int) -> LibvirtError:
    """Return error 42 of a lookup by id."""
    return LibvirtError.of(ErrorCode.NO_DOMAIN, f"no domain with matching id {id_}")


def no_domain_with_uuid(uuid: bytes, name: str | None = None) -> LibvirtError:
    """Return error 42 of a lookup by UUID or, with the handle's name, of a stale handle."""
    stale = "" if name is None else f" ({name})"
    detail = f"no domain with matching uuid '{format_uuid(uuid)}'{stale}"
    return LibvirtError.of(ErrorCode.NO_DOMAIN, detail)


def operation_invalid(detail: str, domain: int = ErrorDomain.DOMAIN) -> LibvirtError:
    """Return error 55."""
    return LibvirtError.of(ErrorCode.OPERATION_INVALID, detail, domain)


def not_running(domain: int = ErrorDomain.DOMAIN) -> LibvirtError:
    """Return error 55 of a call that needs a running guest (GET_VCPUS: domain QEMU)."""
    return operation_invalid("domain is not running", domain)


def already_running() -> LibvirtError:
    """Return error 55 of a start of a running guest."""
    return operation_invalid("domain is already running", ErrorDomain.QEMU)


def config_unsupported(detail: str, domain: int = ErrorDomain.QEMU) -> LibvirtError:
    """Return error 67."""
    return LibvirtError.of(ErrorCode.CONFIG_UNSUPPORTED, detail, domain)


def operation_timeout(detail: str, domain: int = ErrorDomain.QEMU) -> LibvirtError:
    """Return error 68."""
    return LibvirtError.of(ErrorCode.OPERATION_TIMEOUT, detail, domain)


def argument_unsupported(detail: str, domain: int = ErrorDomain.QEMU) -> LibvirtError:
    """Return error 74."""
    return LibvirtError.of(ErrorCode.ARGUMENT_UNSUPPORTED, detail, domain)


def operation_unsupported(detail: str, domain: int = ErrorDomain.QEMU) -> LibvirtError:
    """Return error 84; per-pCPU CPU statistics without their cgroup have domain CGROUP."""
    return LibvirtError.of(ErrorCode.OPERATION_UNSUPPORTED, detail, domain)


def format_uuid(uuid: bytes) -> str:
    """Return a UUID as text: 8-4-4-4-12 hexadecimal digits."""
    text = uuid.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
