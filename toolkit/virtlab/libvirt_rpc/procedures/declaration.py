"""What a procedure and an event message are: a number, a name and the shape of what they carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from virtlab.libvirt_rpc.errors import LibvirtError, operation_denied
from virtlab.libvirt_rpc.packet import REMOTE_PROGRAM
from virtlab.libvirt_rpc.structs import NOTHING, Struct
from virtlab.libvirt_rpc.xdr import Decoder, Encoder, decode_all, decode_first

__all__ = ["EventMessage", "Procedure", "Values", "always"]

# Results in the declared order, or by name.
Values = Sequence[Any] | Mapping[str, Any]


def always(_args: object) -> bool:
    """Tell that a question is privileged whatever its arguments are."""
    return True


class Procedure:
    """One remote procedure; its codecs are built when they are first needed."""

    def __init__(
        self,
        number: int,
        name: str,
        function: str,
        args: Struct = NOTHING,
        results: Struct = NOTHING,
        *,
        changes_state: bool = False,
        privileged: Callable[[Any], bool] | None = None,
        denied: str = "",
        program: int = REMOTE_PROGRAM,
    ) -> None:
        """Declare a procedure.

        Args:
            number: as in remote_protocol.x; it never changes between releases.
            name: without REMOTE_PROC_.
            function: of libvirt's public API, as refusals name it.
            args: what a call carries.
            results: what its reply carries.
            changes_state: refused over a connection that may only read.
            privileged: tells from a question's arguments whether it is refused there too, since
                it makes a guest's agent work, runs a program or shows secrets.
            denied: the refusal's text; left out, it says that reading only prevents the function.
            program: to which it belongs.
        """
        self.number = number
        self.name = name
        self.function = function
        self.args = args
        self.results = results
        self.changes_state = changes_state
        self._privileged = privileged
        self._denied = denied or f"read only access prevents {function}"
        self.program = program

    def __repr__(self) -> str:
        return f"<Procedure {self.number} {self.name}>"

    def decode_args(self, payload: bytes) -> Any:
        """Return a call's arguments as a named tuple; what comes behind them is passed over.

        Raises:
            DecodeError: the payload has another shape.
        """
        return decode_first(self._args_decoder, payload)

    def denial(self, args: Any) -> LibvirtError | None:
        """Return the refusal of a call over a connection that may only read, else None."""
        if self.changes_state or (self._privileged is not None and self._privileged(args)):
            return operation_denied(self._denied)
        return None

    def encode_args(self, values: Values) -> bytes:
        """Return the payload of a call."""
        return self._args_encoder(_in_order(self.args, values))

    def decode_results(self, payload: bytes) -> Any:
        """Return a reply's results as a named tuple.

        Raises:
            DecodeError: the payload has another shape.
        """
        return decode_all(self._results_decoder, payload)

    def encode_results(self, values: Values) -> bytes:
        """Return the payload of a reply.

        Raises:
            LimitError: the results are larger than the protocol allows.
        """
        return self._results_encoder(_in_order(self.results, values))

    @cached_property
    def _args_decoder(self) -> Decoder:
        return self.args.decoder()

    @cached_property
    def _args_encoder(self) -> Encoder:
        return self.args.encoder()

    @cached_property
    def _results_decoder(self) -> Decoder:
        return self.results.decoder()

    @cached_property
    def _results_encoder(self) -> Encoder:
        return self.results.encoder()


class EventMessage:
    """A message that the host sends unasked."""

    def __init__(self, number: int, name: str, **types: Any) -> None:
        self.number = number
        self.name = name
        self.values = Struct(types)

    def __repr__(self) -> str:
        return f"<EventMessage {self.number} {self.name}>"

    def encode(self, values: Values) -> bytes:
        """Return the message's payload."""
        return self._encoder(_in_order(self.values, values))

    def decode(self, payload: bytes) -> Any:
        """Return the message's values as a named tuple.

        Raises:
            DecodeError: the payload has another shape.
        """
        return decode_all(self._decoder, payload)

    @cached_property
    def _encoder(self) -> Encoder:
        return self.values.encoder()

    @cached_property
    def _decoder(self) -> Decoder:
        return self.values.decoder()


def _in_order(shape: Struct, values: Values) -> Sequence[Any]:
    """Return values in the order of their declaration."""
    if values.__class__ is tuple or not isinstance(values, Mapping):
        return values  # the first test spares an isinstance per call
    if values.keys() != shape.types.keys():
        raise ValueError(f"values {sorted(values)} for fields {sorted(shape.types)}")
    return [values[name] for name in shape.types]
