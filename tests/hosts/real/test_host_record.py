"""Who used a real host's pCPUs, and whether a run counts."""

from virtlab.hosts.real.guest_record import masks_of
from virtlab.hosts.real.host_record import HostRecord, Outside, disturbed_by_load, outside_words
from virtlab.hosts.real.recorder import criterion_here
from virtlab.model.units import NS_PER_S


def run_of(*points: float, stolen: float = 0.0) -> list[Outside]:
    return [Outside((n + 1) * NS_PER_S, each, stolen) for n, each in enumerate(points)]


def test_a_quiet_run_counts_and_one_loud_second_in_ten_is_forgiven() -> None:
    assert disturbed_by_load(run_of(*[2.0] * 30), 10) is None
    assert disturbed_by_load(run_of(*[2.0] * 27, 90, 90, 90), 10) is None


def test_a_loud_run_does_not_and_says_who_it_was() -> None:
    assert disturbed_by_load(run_of(*[2.0] * 26, 30, 40, 30, 30), 10) == (
        "others than the run took up to 40 % of the pCPUs (at 28 s), "
        "and more than 10 % in 4 of 30 s"
    )
    stolen = disturbed_by_load(run_of(*[1.0] * 10, stolen=20), 10)
    assert stolen is not None
    assert stolen.startswith("the machine's own host took up to 21 % of the pCPUs")


def test_a_run_without_a_measurement_is_not_called_disturbed() -> None:
    assert disturbed_by_load([], 10) is None


def test_a_run_says_how_much_others_used_in_any_case() -> None:
    assert outside_words(run_of(2, 4)) == "Others used 3 % of the pCPUs on average."
    assert outside_words(run_of(2, 4, stolen=5)) == (
        "Others used 3 % of the pCPUs on average; 5 % was never given to the machine."
    )
    assert outside_words([]) == "Who else used the pCPUs was not measured."


def test_what_ran_while_a_vcpu_moved_counts_half_for_each_place() -> None:
    record = HostRecord(pcpus=2)
    record.keep(0, 0)
    record.ran((0,), 100)
    record.ran((0, 1), 50)
    record.ran((-1,), 7)  # it was nowhere yet
    record.keep(NS_PER_S, 0)

    busy, _free, _swap = record.columns()

    assert busy == ((0, 125), (0, 25))


def test_cpu_maps_are_read_side_by_side() -> None:
    assert masks_of(b"\x01\x03", 2, 2) == [(0,), (0, 1)]
    assert masks_of(b"\x00\x02\xff\xff", 2, 12) == [(9,), tuple(range(12))]
    assert masks_of(b"", 0, 4) == []


def test_one_window_in_ten_may_miss_there_unless_the_scenario_says_otherwise() -> None:
    plain = {"name": "balanced", "limits": {"sd_points_max": 13.0}, "hint": None}
    strict = {"name": "balanced", "limits": {"windows_missed_share_max": 0.0}, "hint": None}
    other = {"name": "no-crash", "limits": {}, "hint": None}

    assert criterion_here(plain)["limits"] == {
        "windows_missed_share_max": 0.1, "sd_points_max": 13.0,
    }  # fmt: skip
    assert criterion_here(strict)["limits"] == strict["limits"]
    assert criterion_here(other) == other
