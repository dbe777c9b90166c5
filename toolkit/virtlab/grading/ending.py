"""How a run ends: the program is asked to stop, first kindly, and what it did is put into words.

At the scenario's end every process of the program gets SIGINT, as from Ctrl-C. Time then goes on
for some intervals, so that a program which sleeps on after the signal gets to its next look at its
flag; then comes SIGTERM, and at last SIGKILL. A graceful end is no matter of points: what happens
after the scenario's end is only noted.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

__all__ = ["EndLadder"]

_STEPS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


class EndLadder:
    """Sends the next, harder signal each time that it is stepped on."""

    def __init__(
        self, send: Callable[[signal.Signals], None], allow_until: Callable[[int], None]
    ) -> None:
        """Take what reaches the program, and what lets its time go on."""
        self._send = send
        self._allow_until = allow_until
        self._sent: list[signal.Signals] = []

    @property
    def begun(self) -> bool:
        """Tell whether the program has been asked to stop."""
        return bool(self._sent)

    def step(self, now_ns: int, grace_ns: int) -> None:
        """Send the next signal, and allow the program this much more virtual time to react."""
        if len(self._sent) == len(_STEPS):
            return
        step = _STEPS[len(self._sent)]
        self._sent.append(step)
        self._send(step)
        self._allow_until(now_ns + grace_ns)

    def notes(self) -> tuple[str, ...]:
        """Return what is worth telling about how the program took it."""
        if signal.SIGKILL in self._sent:
            return ("It ignored SIGINT and SIGTERM at the end and had to be killed.",)
        if signal.SIGTERM in self._sent:
            return ("It ignored SIGINT (Ctrl-C) at the end and was ended by SIGTERM.",)
        return ()
