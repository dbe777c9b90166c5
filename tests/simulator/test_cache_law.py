import pytest
from small_hosts import guest, host

from virtlab.model.scenario import PinVcpu, StartWorkload
from virtlab.model.units import NS_PER_MS, NS_PER_S
from virtlab.model.workload import Batch
from virtlab.simulator.cache_law import move_cost_ns


@pytest.mark.parametrize(
    ("working_set_kib", "least", "most"),
    # Measured on Linux at 100 moves a second: per cent of a second's work.
    [(0, 0.0, 2.0), (512, 1.0, 4.0), (8 * 1024, 6.0, 17.0)],
)
def test_a_hundred_moves_a_second_cost_what_they_cost_on_linux(
    working_set_kib: int, least: float, most: float
) -> None:
    lost_percent = 100 * 100 * move_cost_ns(working_set_kib) / NS_PER_S

    assert least <= lost_percent <= most


def test_a_batch_with_a_working_set_ends_later_by_its_moves() -> None:
    pins = [PinVcpu(n * 10 * NS_PER_MS, "g", 0, (n % 2,)) for n in range(1, 51)]
    simulated = host(
        [guest("g", (0,), working_set_kib=8 * 1024)],
        [StartWorkload(0, "g", Batch(NS_PER_S)), *pins],
    )
    ended = []
    simulated.on_event = lambda record: ended.append((record.kind, record.time_ns))

    simulated.advance(2 * NS_PER_S)

    assert dict(ended)["load_done"] == NS_PER_S + 50 * move_cost_ns(8 * 1024)
