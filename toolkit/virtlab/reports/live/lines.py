"""A scene as lines of text: bars that fit the width, in any letters that the terminal has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from virtlab.reports.items import readable
from virtlab.reports.live.scene import GuestScene, PcpuScene, Scene

__all__ = ["GLYPHS", "PLAIN_GLYPHS", "Glyphs", "Line", "guest_lines", "pcpu_lines"]

_BAR_SHARE = 0.3  # of the width
_MIB_COLUMNS = 21


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The letters of bars."""

    full: str
    half: str
    empty: str
    arrow: str
    bound: str


GLYPHS = Glyphs("█", "▒", "·", "→", "=")
PLAIN_GLYPHS = Glyphs("#", "+", ".", ">", "=")


@dataclass(frozen=True, slots=True)
class Line:
    """A line and whether something is wrong in it."""

    text: str
    alarming: bool = False


def pcpu_lines(scene: Scene, width: int, glyphs: Glyphs = GLYPHS) -> Iterator[Line]:
    """Yield a line for each pCPU: how busy it was, and the vCPUs on it with their shares.

    A vCPU that is bound to this pCPU alone has `=` before its name; one that waited for more than
    a tenth of the time says how long.
    """
    bar = max(int(width * _BAR_SHARE), 8)
    for pcpu in scene.pcpus:
        head = f"{pcpu.number:>3} {_bar(pcpu.used / 100, bar, glyphs)} {pcpu.used:4.0f} %  "
        yield Line(_cut(head + "  ".join(_vcpus(pcpu, glyphs)), width))


def guest_lines(scene: Scene, width: int, glyphs: Glyphs = GLYPHS) -> Iterator[Line]:
    """Yield a line for each guest: in use, unused, and what it may still get, up to its maximum."""
    name = max((len(guest.name) for guest in scene.guests), default=0)
    bar = max(width - name - _MIB_COLUMNS - 20, 8)
    for guest in scene.guests:
        label = f"{readable(guest.name):<{name}} "
        if not guest.running:
            yield Line(_cut(f"{label}shut off", width))
            continue
        used = _cells(max(guest.actual - guest.unused, 0.0) / guest.maximum, bar)
        held = max(_cells(guest.actual / guest.maximum, bar), used)
        drawn = glyphs.full * used + glyphs.half * (held - used) + glyphs.empty * (bar - held)
        yield Line(_cut(f"{label}{drawn} {_sizes(guest, glyphs)}", width), guest.unused < 100)


def _vcpus(pcpu: PcpuScene, glyphs: Glyphs) -> Iterator[str]:
    for vcpu in pcpu.vcpus:
        waits = f" waits {vcpu.wait:.0f}" if vcpu.wait >= 10 else ""
        bound = glyphs.bound if vcpu.bound else ""
        yield f"{bound}{readable(vcpu.name)} {vcpu.run:.0f}{waits}"


def _sizes(guest: GuestScene, glyphs: Glyphs) -> str:
    size = f"{guest.actual:.0f}"
    if abs(guest.target - guest.actual) >= 1:
        size += f"{glyphs.arrow}{guest.target:.0f}"
    return f"{size} MiB, {guest.unused:.0f} unused"


def _bar(share: float, width: int, glyphs: Glyphs) -> str:
    full = _cells(share, width)
    return glyphs.full * full + glyphs.empty * (width - full)


def _cells(share: float, width: int) -> int:
    return round(min(max(share, 0.0), 1.0) * width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
