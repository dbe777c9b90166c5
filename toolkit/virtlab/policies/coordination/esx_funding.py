"""Min-funding revocation with an idle memory tax: who pays least for a page gives it up.

A guest of shares S that has P pages of which A are active pays S / (A + k (P - A)) a page, with
k = 1/(1 - tax): idle pages cost k times as much. Pages go from whoever pays least to whoever pays
most until that would turn round. The policy that uses it is `esx`, where the source is named.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Client", "allotted", "price"]

_Entry = tuple[float, int, str]  # price, size and name, in the order in which they are served


@dataclass(frozen=True, slots=True)
class Client:
    """A guest that pays for memory with shares; sizes are of any one unit."""

    name: str
    shares: int
    active: float  # of what it has, touched of late
    least: float
    most: float


def price(client: Client, size: float, tax: float) -> float:
    """Return the shares that a guest pays for a unit of memory, idle units costing more."""
    active = min(client.active, size)
    return client.shares / max(active + (size - active) / (1.0 - tax), 1.0)


def allotted(
    clients: Sequence[Client], sizes: Mapping[str, int], free: int, step: int, tax: float
) -> dict[str, int]:
    """Return the sizes after all that free memory, and revocation where it is negative, would move.

    Args:
        clients: the guests; among equals the larger gives, then the one of the lesser name.
        sizes: what each has.
        free: what the host may give; negative: what it has to get back.
        step: what is moved at once.
        tax: of idle memory, from 0 to less than 1.
    """
    market = _Market(clients, sizes, step, tax)
    while free < 0 and (giver := market.cheapest()) is not None:
        market.move(giver, -step)
        free += step
    while free >= step and (taker := market.dearest()) is not None:
        market.move(taker, step)
        free -= step
    while market.swap():
        pass
    return market.sizes


class _Market:
    """Sizes, and two heaps of prices: who gives next, and who takes next."""

    def __init__(
        self, clients: Sequence[Client], sizes: Mapping[str, int], step: int, tax: float
    ) -> None:
        self.sizes = dict(sizes)
        self._clients = {client.name: client for client in clients}
        self._step, self._tax = step, tax
        self._givers: list[_Entry] = []
        self._takers: list[_Entry] = []
        for client in clients:
            self._enter(client.name)

    def cheapest(self) -> str | None:
        """Return who gives next; None where nobody can."""
        return self._first(self._givers, self._gives_entry)

    def dearest(self) -> str | None:
        """Return who takes next; None where nobody can."""
        return self._first(self._takers, self._takes_entry)

    def move(self, name: str, by: int) -> None:
        """Change a size."""
        self.sizes[name] += by
        self._enter(name)

    def swap(self) -> bool:
        """Move a step from the cheapest to the dearest whom that does not make the cheaper one."""
        giver = self.cheapest()
        while giver is not None and (taker := self.dearest()) is not None:
            after = self._price(taker, self._step), self._price(giver, -self._step)
            if taker != giver and after[0] >= after[1]:
                self.move(giver, -self._step)
                self.move(taker, self._step)
                return True
            # Nor would it later, as givers only get dearer; unless it gives, and so enters anew.
            heapq.heappop(self._takers)
        return False

    def _price(self, name: str, by: int = 0) -> float:
        return price(self._clients[name], self.sizes[name] + by, self._tax)

    def _gives_entry(self, name: str) -> _Entry | None:
        size = self.sizes[name]
        if size - self._step < self._clients[name].least:
            return None
        return (self._price(name), -size, name)

    def _takes_entry(self, name: str) -> _Entry | None:
        size = self.sizes[name]
        if size + self._step > self._clients[name].most:
            return None
        return (-self._price(name), size, name)

    def _enter(self, name: str) -> None:
        for heap, entry in (
            (self._givers, self._gives_entry(name)),
            (self._takers, self._takes_entry(name)),
        ):
            if entry is not None:
                heapq.heappush(heap, entry)

    @staticmethod
    def _first(heap: list[_Entry], entry_of: Callable[[str], _Entry | None]) -> str | None:
        """Return the name on top, once entries that do not hold any more are thrown away."""
        while heap and entry_of(heap[0][-1]) != heap[0]:
            heapq.heappop(heap)
        return heap[0][-1] if heap else None
