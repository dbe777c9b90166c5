"""What always holds of memory, whatever options, loads, targets and faults come together."""

from __future__ import annotations

from operator import itemgetter

from hypothesis import given, settings
from hypothesis import strategies as st
from small_hosts import guest, host

from virtlab.model.faults import GuestFault
from virtlab.model.scenario import Event, GuestSpec, SetMemory, StartWorkload, StopWorkload
from virtlab.model.units import mib, seconds
from virtlab.model.workload import MemoryGrowth, Trace, TracePoint

END_S = 40
GUESTS = 2

names = st.integers(0, GUESTS - 1).map(lambda number: f"g{number}")
moments = st.floats(0, END_S).map(seconds)
loads = st.builds(
    MemoryGrowth,
    st.sampled_from([mib(1), mib(16), mib(400)]),
    st.sampled_from([None, mib(100), mib(700)]),
    st.sampled_from([0, seconds(3)]),
    st.booleans(),
)
traces = st.lists(
    st.tuples(st.integers(1, 9), st.none() | st.integers(0, 900).map(mib)), min_size=1, max_size=3
).map(
    lambda rows: Trace(
        tuple(TracePoint(seconds(at), 0.5, kib) for at, kib in sorted(rows, key=itemgetter(0)))
    )
)
events: st.SearchStrategy[list[Event]] = st.lists(
    st.one_of(
        st.builds(StartWorkload, moments, names, st.one_of(loads, traces)),
        st.builds(StopWorkload, moments, names, st.just("memory")),
        st.builds(SetMemory, moments, names, st.integers(100, 2048).map(mib)),
        st.builds(
            GuestFault,
            moments,
            names,
            st.just("balloon-stuck"),
            st.sampled_from([None, seconds(4)]),
        ),
    ),
    max_size=8,
).map(lambda found: sorted(found, key=lambda event: event.time_ns))
guests = st.lists(
    st.fixed_dictionaries(
        {
            # The smallest has 1 MiB beside its kernel and processes.
            "memory_kib": st.sampled_from([mib(153), mib(360), mib(512), mib(900)]),
            "swap_kib": st.sampled_from([0, mib(50), mib(600)]),
            "swap_kib_s": st.sampled_from([mib(1), mib(500)]),
            "file_reads_kib_s": st.sampled_from([0, mib(5), mib(200)]),
            "free_page_reporting": st.booleans(),
            "deflate_on_oom": st.booleans(),
        }
    ),
    min_size=GUESTS,
    max_size=GUESTS,
).map(lambda found: [guest(f"g{n}", (n,), **options) for n, options in enumerate(found)])


@settings(max_examples=60, deadline=None)
@given(
    specs=guests,
    happening=events,
    memory_mib=st.sampled_from([2200, 3000, 8000]),
    swap_kib_s=st.sampled_from([None, mib(20)]),
    batches=st.booleans(),
)
def test_sizes_stay_within_each_other_and_events_are_few(
    specs: list[GuestSpec],
    happening: list[Event],
    memory_mib: int,
    swap_kib_s: int | None,
    batches: bool,
) -> None:
    simulated = host(
        specs,
        happening,
        memory_mib=memory_mib,
        swap_mib=1000,
        swap_kib_s=swap_kib_s,
        balloon_batches=batches,
    )

    for second in range(END_S + 1):
        simulated.advance(seconds(second))
        for one in simulated.guests.values():
            figures = one.memory.figures(simulated.now_ns)
            assert 0 < figures.actual_kib <= mib(2048)
            assert min(figures.cache_kib, figures.consumer_kib, figures.unused_kib) >= 0
            assert figures.unused_kib + figures.cache_kib <= figures.available_kib
            # What a balloon on its way shows is up to a batch behind.
            assert figures.rss_kib <= figures.actual_kib + mib(1) + 8
            assert figures.swap_in_kib <= figures.swap_out_kib + 1
        assert simulated.queue._sequence < 200 * (second + 10) * GUESTS
