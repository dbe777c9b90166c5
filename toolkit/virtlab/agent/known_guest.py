"""What a daemon knows of one run of one guest, from all that the host has told so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from virtlab.agent.guest_notes import GuestNotes
from virtlab.libvirt_rpc.typed import DomainStats
from virtlab.libvirt_rpc.values import DomainHandle

__all__ = ["KnownGuest", "map_of", "masks_of"]

_RUNNING: Final = frozenset({1, 2})  # virDomainState: running, blocked


@dataclass(slots=True)
class KnownGuest:
    """One run of a guest; a guest that starts anew is another."""

    dom: DomainHandle
    figures: dict[str, int] = field(default_factory=dict)  # of the last bulk statistics
    fresh: bool = True  # was not there at the look before
    stale: bool = True  # what is not in the bulk statistics has to be asked for
    open_questions: int = 0
    notes: GuestNotes = field(default_factory=GuestNotes)
    described: bool = False  # its notes were read, and not only taken for the usual ones
    hands_off: str | None = None  # why nothing is done to it any more in this run
    migrating: bool = False  # or saved, or dumped: a job runs that lasts
    # Of its vCPUs, by number.
    pins: dict[int, frozenset[int]] = field(default_factory=dict)
    last_on: dict[int, int] = field(default_factory=dict)
    stored_pins: list[frozenset[int]] | None = None  # of its description; None: not known
    unsure: dict[int, frozenset[int]] = field(default_factory=dict)  # asked for, and not answered
    weight: int = 1024
    cap_share: float | None = None
    # Of its memory.
    rss_kib: int | None = None  # the last that was told: nothing is while its lock is held
    asked_kib: int | None = None  # the last size that was asked for
    report: tuple[int, int] | None = None  # the last report: its date in s, when it was made in ns
    size_kib: int = 0  # of the balloon, at the moment of what was last told of it
    shown_kib: int | None = None  # `balloon.current`, when it was last looked at
    kernel_kib: int | None = None  # what of its size the guest's kernel does not report
    still: tuple[int, int] = (0, 0)  # size and available memory at the report before
    period_tries: int = 0
    period_set: bool = False

    @property
    def name(self) -> str:
        """Return its name."""
        return self.dom.name

    @property
    def life(self) -> str:
        """Return what differs between two guests of one name, and two runs of a guest."""
        return f"{self.dom.uuid.hex()}:{self.dom.id}"

    @property
    def runs(self) -> bool:
        """Tell whether its vCPUs run; they do not in a guest that is paused or just arrives."""
        return self.figures.get("state.state", 1) in _RUNNING

    @property
    def vcpus(self) -> list[int]:
        """Return the numbers of its vCPUs that are online."""
        most = self.figures.get("vcpu.maximum", self.figures.get("vcpu.current", 0))
        return [number for number in range(most) if f"vcpu.{number}.time" in self.figures]

    def take(self, record: DomainStats) -> None:
        """Take in a record of bulk statistics."""
        self.dom = record.dom
        self.figures = {
            param.field: param.value for param in record.params if isinstance(param.value, int)
        }
        self.rss_kib = self.figures.get("balloon.rss", self.rss_kib)

    def read_pins(self, masks: dict[int, frozenset[int]]) -> None:
        """Take in where its vCPUs may run; who else than we changed that gets the guest."""
        for number, mask in masks.items():
            known = self.pins.get(number)
            if known not in (None, mask) and mask != self.unsure.get(number):
                self.hands_off = f"somebody else bound its vCPU {number}"
        self.unsure.clear()
        self.pins = masks


def masks_of(cpumaps: bytes, vcpus: int, pcpus: int) -> list[frozenset[int]]:
    """Return the pCPUs of each vCPU from its part of a list of maps."""
    length = (pcpus + 7) // 8
    parts = [cpumaps[n * length : (n + 1) * length] for n in range(vcpus)]
    bits = [int.from_bytes(part, "little") for part in parts]
    return [frozenset(pcpu for pcpu in range(pcpus) if each >> pcpu & 1) for each in bits]


def map_of(mask: frozenset[int], pcpus: int) -> bytes:
    """Return a map of pCPUs as the wire has it."""
    return sum(1 << pcpu for pcpu in mask).to_bytes((pcpus + 7) // 8, "little")
