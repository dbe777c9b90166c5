"""The event queue's promises: order, cancelling, and never going back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtlab.simulator.engine import EventQueue, Priority


@given(entries=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=30))
def test_events_run_by_time_then_priority_then_sequence(entries: list[tuple[int, int]]) -> None:
    queue = EventQueue()
    seen: list[tuple[int, int, int]] = []
    for number, (time_ns, priority) in enumerate(entries):
        queue.schedule(
            time_ns, priority, lambda now, p=priority, n=number: seen.append((now, p, n))
        )

    queue.run_until(10)

    assert seen == sorted((t, p, n) for n, (t, p) in enumerate(entries))
    assert queue.now_ns == 10
    assert len(queue) == 0


@given(
    times=st.lists(st.integers(0, 50), max_size=200),
    dropped=st.sets(st.integers(0, 199)),
)
def test_a_cancelled_event_never_runs(times: list[int], dropped: set[int]) -> None:
    queue = EventQueue()
    seen: list[int] = []
    handles = [
        queue.schedule(t, Priority.CPU, lambda _, n=n: seen.append(n)) for n, t in enumerate(times)
    ]
    for number, handle in enumerate(handles):
        if number in dropped:
            queue.cancel(handle)
            queue.cancel(handle)

    queue.run_until(50)

    assert sorted(seen) == [n for n in range(len(times)) if n not in dropped]
    assert not any(handle.pending for handle in handles)


def test_an_event_may_schedule_another_at_its_own_instant() -> None:
    queue = EventQueue()
    seen: list[tuple[str, int]] = []

    def first(now_ns: int) -> None:
        seen.append(("first", now_ns))
        queue.schedule(now_ns, Priority.SCENARIO, lambda now: seen.append(("second", now)))

    queue.schedule(7, Priority.NOISE, first)
    queue.run_until(7)

    assert seen == [("first", 7), ("second", 7)]


def test_an_event_may_cancel_one_of_its_own_instant() -> None:
    queue = EventQueue()
    seen: list[int] = []
    late = queue.schedule(3, Priority.NOISE, seen.append)
    queue.schedule(3, Priority.SCENARIO, lambda _: queue.cancel(late))

    queue.run_until(3)

    assert seen == []


def test_the_past_is_refused() -> None:
    queue = EventQueue()
    queue.run_until(5)

    with pytest.raises(ValueError, match="cannot schedule an event at 4 ns: it is 5 ns"):
        queue.schedule(4, Priority.CPU, lambda _: None)
    with pytest.raises(ValueError, match="cannot go back to 4 ns: it is 5 ns"):
        queue.run_until(4)
