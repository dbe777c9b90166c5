"""What a coordinator is shown while balloons move, by figures that a real host gave."""

from __future__ import annotations

import pytest

from virtlab.agent.guest_notes import GuestNotes, notes_of
from virtlab.agent.known_guest import KnownGuest
from virtlab.agent.memory_sense import MemorySense
from virtlab.agent.watch import HostFacts
from virtlab.libvirt_rpc.typed import DomainStats, Param
from virtlab.libvirt_rpc.values import DomainHandle
from virtlab.model.units import NS_PER_S, mib

DATE_S = 1_795_625_700


def shown(
    looks: list[tuple[int, int, int]], notes: GuestNotes | None = None
) -> list[tuple[int, int]]:
    """Return the size that is shown at each look, in MiB, and the report's age in seconds.

    Args:
        looks: `balloon.current`, `balloon.available` in MiB and the report's date in s after
            DATE_S; one look a second.
        notes: of the guest.
    """
    sense = MemorySense(mib(200), mib(200), count_caches=True)
    guest = KnownGuest(DomainHandle("web", bytes(16), 1), notes=notes or GuestNotes())
    found = []
    for second, (current, available, date_s) in enumerate(looks):
        guest.figures = {
            "balloon.current": mib(current),
            "balloon.maximum": mib(384),
            "balloon.available": mib(available),
            "balloon.unused": mib(available - 36),
            "balloon.last-update": DATE_S + date_s,
        }
        wall_s = DATE_S + second + 0.9
        snapshot = sense.snapshot(second * NS_PER_S, wall_s, [guest], HostFacts())
        view = snapshot.guests[0]
        found.append((view.actual_kib // mib(1), (view.report_age_ns or 0) // NS_PER_S))
    return found


def test_a_size_and_a_report_are_of_one_moment() -> None:
    # Seen on a real host: events told of the balloon later than the guest did.
    looks = [(256, 216, 0), (256, 216, 1), (255, 169, 2), (232, 278, 3), (318, 278, 4)]

    assert [size for size, _ in shown(looks)] == [256, 256, 209, 318, 318]


def test_without_a_new_report_the_hosts_figure_counts() -> None:
    looks = [(256, 216, 0), (256, 216, 1), (200, 216, 1), (192, 216, 1)]

    assert [size for size, _ in shown(looks)] == [256, 256, 200, 192]


def test_what_a_balloon_holds_that_deflates_by_itself_is_no_size() -> None:
    looks = [(256, 344, 0), (256, 344, 1), (200, 344, 2)]

    assert [size for size, _ in shown(looks, GuestNotes(deflates=True))] == [256, 256, 200]


@pytest.mark.parametrize("jump_s", [-7200, 7200])
def test_a_report_is_as_old_as_it_is_whatever_the_calendar_does(jump_s: int) -> None:
    looks = [(256, 216, 0), (256, 216, 1), (256, 216, 2 + jump_s), (256, 216, 2 + jump_s)]

    ages = [age for _, age in shown(looks)]

    assert ages[:2] == [0, 0] and ages[2] <= 2 and ages[3] == ages[2] + 1


@pytest.mark.parametrize(
    ("backing", "given_mib"),
    [
        ("", 5000),
        ("<source type='memfd'/><access mode='private'/>", 5000),
        ("<source type='memfd'/><access mode='shared'/>", 2000),
        ("<source type='memfd'/>", 2000),
        (None, 2000),  # its description has not been read
    ],
)
def test_memory_of_guests_is_no_cache_that_a_host_could_drop(
    backing: str | None, given_mib: int
) -> None:
    guest = KnownGuest(DomainHandle("web", bytes(16), 1))
    if backing is not None:
        xml = f"<domain><memoryBacking>{backing}</memoryBacking><devices/></domain>"
        guest.notes, guest.described = notes_of(xml), True
    told = {"balloon.current": mib(4000), "balloon.maximum": mib(4000), "balloon.rss": mib(3000)}
    guest.take(DomainStats(guest.dom, [Param(name, 4, kib) for name, kib in told.items()]))
    host = HostFacts(memory={"free": mib(1000), "buffers": mib(500), "cached": mib(3500)})

    snapshot = MemorySense(0, 0, count_caches=True).snapshot(0, 0.0, [guest], host)

    assert snapshot.host_free_kib == mib(given_mib)
