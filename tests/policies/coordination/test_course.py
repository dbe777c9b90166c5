from memory_hosts import snapshot, view
from rubric_marks import lost

from virtlab.policies.coordination.course import Course
from virtlab.policies.coordination.static import Static


def sizes(*guests: object, **host: float) -> dict[str, int]:
    plan = Course().decide(snapshot(*guests, **host))  # type: ignore[arg-type]
    return {resize.guest: resize.memory_kib // 1024 for resize in plan.actions}


def test_a_step_up_a_step_down_and_nothing_between() -> None:
    guests = [view("a", 512, 90), view("b", 512, 260), view("c", 512, 100), view("d", 512, 250)]

    assert sizes(*guests) == {"a": 612, "b": 412}


def test_bounds_and_the_host_reserve_shorten_a_step() -> None:
    guests = [view("a", 2000, 20), view("b", 250, 251), view("c", 512, 20), view("d", 2048, 20)]

    assert sizes(*guests, free_mib=400, reserve_mib=300) == {"a": 2048, "b": 200, "c": 564}


def test_what_reports_nothing_or_may_not_be_moved_is_left_alone() -> None:
    guests = [view("a", 512, None), view("b", 512, 20, movable=False)]

    assert sizes(*guests, view("c", 512, 20, has_balloon=False)) == {}


def test_it_earns_full_marks_on_the_tests_of_the_course() -> None:
    assert lost(Course, "fall-2026", [1]) == {}


def test_it_lets_a_small_host_drain_a_guest() -> None:
    reasons = lost(Course, "generality", [1])

    assert list(reasons) == ["memory-5-small-host 1", "general-16-eight-press-at-once 1"]
    assert all("runs out of memory" in reason for (reason, *_) in reasons.values())


def test_a_host_on_which_nothing_moves_earns_nothing() -> None:
    assert len(lost(Static, "fall-2026", [1])) == 4
