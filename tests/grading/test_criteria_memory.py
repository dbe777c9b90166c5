from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from marked_runs import IDLE, consumer, good_memory, ladder, starved_memory
from timeline_builder import MemoryGuest, MemoryLab

from virtlab.grading.criteria import judge
from virtlab.grading.hints import HINTS
from virtlab.model.criteria import CRITERIA
from virtlab.model.timeline import CallRecord, EventRecord, MemoryCall, ProgramOutcome
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult, FailedSpan

ALL = (
    "takes-gradually", "releases-gradually", "guest-alive", "host-alive", "no-crash",
    "reaches-maximum",
)  # fmt: skip


def _judged(name: str, lab: MemoryLab, **limits: float) -> CriterionResult:
    return judge(lab.timeline(), name, limits)


def _one(guest: MemoryGuest) -> MemoryLab:
    return MemoryLab(guests=(guest, IDLE), kills=((61.75, 0),))


@pytest.mark.parametrize("name", ALL)
def test_the_curves_of_the_courses_working_program_pass(name: str) -> None:
    result = _judged(name, good_memory())

    assert (result.status, result.borderline) == ("passed", False)


@pytest.mark.parametrize("name", ALL)
def test_four_that_grow_together_pass(name: str) -> None:
    grown = MemoryGuest(actual=ladder(450), consumer=consumer())
    lab = MemoryLab(guests=(grown,) * 4, kills=tuple((61.75, n) for n in range(4)))

    assert _judged(name, lab).status == "passed"


def test_a_consumer_that_stops_half_way_need_not_reach_the_maximum() -> None:
    peak = [(0, 512), (3, 512), (28, 1700), (30, 1700), (56, 400)]
    stopped = MemoryGuest(actual=peak, consumer=((0, 0), (3, 0), (28, 800), (28.5, 0)))
    lab = MemoryLab(guests=(stopped, IDLE))

    assert _judged("takes-gradually", lab).status == "passed"
    assert _judged("releases-gradually", lab).status == "passed"


# --- takes gradually


@pytest.mark.parametrize(("step", "status"), [(256, "passed"), (258, "failed")])
def test_a_guest_grows_by_at_most_256_mib_an_interval(step: float, status: str) -> None:
    result = _judged(
        "takes-gradually", _one(MemoryGuest(actual=ladder(step_up=step), consumer=consumer()))
    )

    assert result.status == status
    if status == "failed":
        assert result.reason == (
            "aos_vm1 grows by at most 258 MiB in one interval, at 6 s (limit 256)"
        )
        assert (result.hint, result.where) == (HINTS["takes-gradually:jump"], "aos_vm1")
        assert result.spans[0] == FailedSpan(6, 8, "aos_vm1")


@pytest.mark.parametrize(("until", "status"), [(13, "passed"), (13.5, "failed")])
def test_too_little_unused_for_longer_than_three_intervals_fails(until: float, status: str) -> None:
    unused = ((0, 300), (9.99, 300), (10, 60), (until, 60), (until + 0.01, 300))

    result = _judged(
        "takes-gradually",
        _one(MemoryGuest(actual=ladder(), consumer=consumer(), unused=unused)),
    )

    assert result.status == status
    if status == "failed":
        assert result.reason == (
            "aos_vm1 has less than 100 MiB unused for 3.5 intervals from 20 s on, at worst "
            "60 MiB, while the host had memory to give (limit 3)"
        )


def test_a_guest_may_run_short_where_the_host_has_nothing_to_give() -> None:
    unused = ((0, 300), (9.99, 300), (10, 60), (20, 60), (20.01, 300))
    short = _one(MemoryGuest(actual=ladder(), consumer=consumer(), unused=unused))

    assert _judged("takes-gradually", short).status == "failed"
    assert _judged("takes-gradually", replace(short, free=((0, 299),))).status == "passed"


@pytest.mark.parametrize(
    ("others_unused", "untouched", "each_may_ask"),
    [
        (100, 60, 60),  # the host has no pages for these yet
        (70, 0, 30),
        (70, 60, 90),
        (844, 844, 100),
        (844, 60, 0),  # there is more than that which the host has already found
    ],
)
@pytest.mark.parametrize(("beyond", "status"), [(299, "passed"), (300, "failed")])
def test_what_other_guests_may_ask_for_is_not_there_to_be_given(
    others_unused: float, untouched: float, each_may_ask: float, beyond: float, status: str
) -> None:
    unused = ((0, 300), (9.99, 300), (10, 60), (20, 60), (20.01, 300))
    short = MemoryGuest(actual=ladder(), consumer=consumer(), unused=unused, untouched=60)
    other = MemoryGuest(actual=((0, 1024),), unused=((0, others_unused),), untouched=untouched)
    stopped = MemoryGuest(untouched=512, running=lambda _: False)
    free = beyond + 2 * each_may_ask

    lab = MemoryLab(guests=(short, other, other, stopped), free=((0, free),))

    assert _judged("takes-gradually", lab).status == status


@pytest.mark.parametrize(("free", "status"), [(339, "passed"), (340, "failed")])
def test_a_guest_may_die_while_all_that_is_free_is_what_others_may_ask_for(
    free: float, status: str
) -> None:
    starved, idle = starved_memory().guests
    asking = replace(idle, unused=((0, 100),), untouched=40)
    lab = replace(starved_memory(), guests=(starved, asking))

    assert _judged("guest-alive", replace(lab, free=((0, free),))).status == status


@pytest.mark.parametrize(("short_by", "status"), [(100, "passed"), (102, "failed")])
def test_a_consumer_that_wants_all_gets_within_100_mib_of_the_maximum(
    short_by: float, status: str
) -> None:
    curve = [(x, min(y, 2048 - short_by)) for x, y in ladder()]
    guest = MemoryGuest(actual=curve, consumer=consumer(), unused=((0, 150),))

    result = _judged("takes-gradually", _one(guest))

    assert (result.status, result.borderline) == (status, status == "passed")
    if status == "failed":
        assert result.reason == (
            "aos_vm1 is at best 102 MiB below its maximum before its consumer's end at 123 s "
            "(limit 100); the host had 4000 MiB to give"
        )


def test_a_program_that_does_nothing_neither_takes_nor_releases() -> None:
    takes = _judged("takes-gradually", starved_memory())
    releases = _judged("releases-gradually", starved_memory())

    assert (takes.status, releases.status) == ("failed", "failed")
    assert releases.reason == (
        "no guest that consumes grew by 256 MiB (at most 0), so nothing could be released"
    )
    assert releases.hint == HINTS["releases-gradually:nothing-grew"]


def test_without_a_consumer_nothing_can_be_taken() -> None:
    result = _judged("takes-gradually", MemoryLab(guests=(IDLE,)))

    assert result.reason == "no guest consumed memory, so nothing could be judged"
    assert result.status == "failed"


def test_what_the_scenario_sets_is_no_step_of_the_program() -> None:
    jump = MemoryGuest(
        actual=(
            (0, 512),
            (1, 512),
            (1.5, 1024),
            (2, 1024),
            *((x, y) for x, y in ladder() if y > 1024),
        ),
        consumer=consumer(),
    )

    assert _judged("takes-gradually", _one(jump)).status == "failed"
    assert (
        _judged("takes-gradually", replace(_one(jump), set_by_scenario=((1, 0, 1024),))).status
        == "passed"
    )


# --- releases gradually


@pytest.mark.parametrize(("step", "status"), [(128, "passed"), (130, "failed")])
def test_a_guest_gives_at_most_128_mib_an_interval(step: float, status: str) -> None:
    guest = MemoryGuest(actual=ladder(low=512, step_down=step), consumer=consumer())

    result = _judged("releases-gradually", _one(guest))

    assert result.status == status
    if status == "failed":
        assert result.reason == (
            "aos_vm1 gives at most 130 of 2048 MiB in one interval, at 124 s (limit 128)"
        )


@pytest.mark.parametrize(("to", "status"), [(200, "passed"), (195, "failed")])
def test_a_small_guest_gives_at_most_a_third(to: float, status: str) -> None:
    small = MemoryGuest(actual=((0, 300), (50, 300), (50.4, to)), base=90)
    lab = replace(good_memory(), guests=(good_memory().guests[0], small))

    result = _judged("releases-gradually", lab)

    assert result.status == status
    if status == "failed":
        assert result.reason == (
            "aos_vm2 gives at most 105 of 300 MiB in one interval, at 100 s (limit 99.9)"
        )


@pytest.mark.parametrize(("low", "status"), [(512, "passed"), (514, "failed")])
def test_a_guest_comes_back_to_512_mib(low: float, status: str) -> None:
    result = _judged(
        "releases-gradually", _one(MemoryGuest(actual=ladder(low), consumer=consumer()))
    )

    assert result.status == status
    if status == "failed":
        assert result.reason == (
            "aos_vm1 is at 514 MiB at the end (limit 512); its consumer ended at 123 s"
        )
        assert result.hint == HINTS["releases-gradually:kept"]


def test_a_consumer_that_keeps_its_memory_need_not_come_back() -> None:
    keeps = MemoryGuest(
        actual=[(x, y) for x, y in ladder() if x <= 36],
        consumer=((0, 0), (3, 0), (60, 1700)),
    )

    assert _judged("releases-gradually", MemoryLab(guests=(keeps, IDLE))).status == "passed"


@pytest.mark.parametrize(
    ("idle", "reason"),
    [
        (
            MemoryGuest(actual=((0, 512), (1, 640), (2, 645))),
            "aos_vm2 consumes nothing and grows by at most 133 MiB, at 4 s (limit 128)",
        ),
        (
            MemoryGuest(actual=((0, 512), (3, 270))),
            "aos_vm2 consumes nothing and keeps at least 90 MiB unused, at 6 s (limit 100)",
        ),
    ],
)
def test_an_idle_guest_stays_or_gives_and_keeps_a_reserve(idle: MemoryGuest, reason: str) -> None:
    result = _judged(
        "releases-gradually", replace(good_memory(), guests=(*good_memory().guests[:1], idle))
    )

    assert (result.status, result.reason) == ("failed", reason)


def test_a_record_that_ends_early_is_not_the_whole() -> None:
    result = _judged("releases-gradually", replace(good_memory(), recorded_s=200))

    assert result.reason == "the record ends at 200 s of 240 s, so the whole could not be judged"
    assert result.status == "failed"


@pytest.mark.parametrize("period_set", [True, False])
def test_a_coordinator_that_saw_the_report_of_the_boot_only_is_told(period_set: bool) -> None:
    names = ["virDomainMemoryStats", "virDomainSetMemoryStatsPeriod"][: 1 + period_set]
    calls = tuple(CallRecord(0, name, "aos_vm1", "aos_vm1", None) for name in names)
    timeline = replace(starved_memory().timeline(), calls=calls, calls_total=len(calls))

    hint = judge(timeline, "takes-gradually", {"short_intervals_max": 0}).hint

    assert hint == HINTS[f"takes-gradually:{'short' if period_set else 'no-period'}"]


# --- alive


def test_a_guest_that_is_drained_to_death_is_not_alive() -> None:
    result = _judged("guest-alive", starved_memory())

    assert result.reason == (
        "aos_vm1 runs out of memory at 27.5 s, 1536 MiB below its maximum (limit 100), at a size "
        "of 512 MiB; the host had 4000 MiB to give"
    )
    assert (result.status, result.hint) == ("failed", HINTS["guest-alive:not-given"])
    assert _judged("guest-alive", replace(starved_memory(), free=((0, 250),))).status == "passed"


@pytest.mark.parametrize(
    ("targets_mib", "hint"),
    [
        ((640,), HINTS["guest-alive:not-given"]),
        ((640, 560), CRITERIA["guest-alive"].hint),
        ((400,), CRITERIA["guest-alive"].hint),
        ((0.5,), HINTS["guest-alive:size"]),
    ],
)
def test_the_hint_tells_a_drained_guest_from_one_that_was_given_too_little(
    targets_mib: tuple[float, ...], hint: str
) -> None:
    calls = tuple(
        MemoryCall((number + 1) * NS_PER_S, "aos_vm1", int(size * 1024), "program")
        for number, size in enumerate(targets_mib)
    )
    timeline = replace(starved_memory().timeline(), memory_calls=calls)

    assert judge(timeline, "guest-alive").hint == hint


@pytest.mark.parametrize(
    ("size", "status", "borderline"),
    [(225, "passed", False), (200, "passed", True), (199.9, "failed", False)],
)
def test_a_guest_never_has_less_than_200_mib(size: float, status: str, borderline: bool) -> None:
    lab = MemoryLab(guests=(MemoryGuest(actual=((0, 512), (5, size))),))

    result = _judged("guest-alive", lab)

    assert (result.status, result.borderline) == (status, borderline)


@pytest.mark.parametrize(("values", "status"), [({}, "failed"), ({"by_scenario": 1}, "passed")])
def test_a_guest_that_goes_down_has_to_be_the_scenarios_doing(
    values: Mapping[str, int], status: str
) -> None:
    gone = EventRecord(62 * NS_PER_S, "guest_stop", "aos_vm1", "destroyed", values)
    guest = MemoryGuest(running=lambda iteration: iteration < 31)
    lab = MemoryLab(guests=(guest, IDLE), events=(gone,), phases_s=(0, 60))

    result = _judged("guest-alive", lab)

    assert result.status == status
    if status == "failed":
        assert result.reason == "aos_vm1 went down at 62 s: destroyed"


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        (
            {"free": ((0, 200),)},
            "passed",
            "the host keeps at least 200 MiB free, at 0 s (limit 200)",
        ),
        (
            {"free": ((0, 900), (5, 190))},
            "failed",
            "the host keeps at least 190 MiB free, at 10 s (limit 200)",
        ),
        (
            {"swap": ((0, 0), (5, 300))},
            "failed",
            "the host swaps at most 300 MiB, at 10 s (limit 256)",
        ),
        (
            {"events": (EventRecord(9 * NS_PER_S, "host_frozen", None, "no memory left"),)},
            "failed",
            "the host froze at 9 s: no memory left",
        ),
    ],
)
def test_the_host_keeps_200_mib_and_does_not_swap(
    given: Mapping[str, object], status: str, reason: str
) -> None:
    result = _judged("host-alive", replace(MemoryLab(), **given))  # type: ignore[arg-type]

    assert (result.status, result.reason) == (status, reason)


@pytest.mark.parametrize(
    ("kind", "at_s", "status", "reason"),
    [
        ("crashed", 12.5, "failed", "the program ended at 12.5 of 240 s: killed by SIGSEGV"),
        (
            "crashed",
            240.5,
            "passed",
            "the program ran to the end at 240 s; after it: killed by SIGSEGV",
        ),
    ],
)
def test_only_a_crash_before_the_end_counts(
    kind: str, at_s: float, status: str, reason: str
) -> None:
    ended = ProgramOutcome("program_fault", kind, "killed by SIGSEGV", int(at_s * NS_PER_S))

    result = _judged("no-crash", MemoryLab(outcome=ended))

    assert (result.status, result.reason) == (status, reason)
    assert result.hint == (HINTS["no-crash:crashed"] if status == "failed" else None)


@pytest.mark.parametrize(("size", "status"), [(1948, "passed"), (1946, "failed")])
def test_some_guest_comes_near_its_maximum(size: float, status: str) -> None:
    lab = MemoryLab(guests=(IDLE, MemoryGuest(actual=((0, 512), (50, size), (60, 512)))))

    result = _judged("reaches-maximum", lab)

    assert (result.status, result.where) == (status, "aos_vm2")
