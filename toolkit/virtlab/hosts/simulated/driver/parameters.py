"""Typed parameters that a client sets, held to the types that libvirt wants of each.

A program that gives a parameter another type, such as a `VIR_TYPED_PARAM_UINT` for the shares, is
refused, however well the value would do.

Source: libvirt's virTypedParamsValidate; the words of a libvirtd 9.0.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from virtlab.hosts.simulated.driver import refusals
from virtlab.libvirt_rpc import errors
from virtlab.libvirt_rpc.errors import ErrorDomain
from virtlab.libvirt_rpc.typed import Param, ParamType

__all__ = ["check_params"]


def check_params(params: Sequence[Param], known: Mapping[str, ParamType], function: str) -> None:
    """Refuse parameters that a call does not take, of other types, or more than one of a name.

    Args:
        params: what the client sends.
        known: the type of each that there is.
        function: libvirt's public function, which wants some.

    Raises:
        LibvirtError: there is such a parameter, or none at all.
    """
    if not params:
        message = f"params in {function} must not be NULL"
        raise refusals.bad_argument(function, "params", message)
    seen: set[str] = set()
    for name, type_, _ in sorted(params, key=lambda param: param.field):
        wanted = known.get(name)
        if wanted is None:
            detail = f"parameter '{name}' not supported"
            raise errors.argument_unsupported(detail, ErrorDomain.NONE)
        if type_ != wanted:
            raise errors.invalid_argument(
                f"invalid type '{_word(type_)}' for parameter '{name}', expected '{_word(wanted)}'",
                ErrorDomain.NONE,
            )
        if name in seen:
            detail = f"parameter '{name}' occurs multiple times"
            raise errors.invalid_argument(detail, ErrorDomain.NONE)
        seen.add(name)


def _word(type_: int) -> str:
    return ParamType(type_).name.lower()
