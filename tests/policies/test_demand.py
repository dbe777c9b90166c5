"""What is known of a demand, and how well."""

from random import Random
from statistics import pvariance
from typing import NamedTuple

import pytest

from virtlab.model.snapshot import CpuSnapshot, VcpuKey, VcpuView
from virtlab.model.topology import flat
from virtlab.model.units import NS_PER_S
from virtlab.policies import demand
from virtlab.policies.demand import DemandBook, Demands

ONE = frozenset({0})


def snapshot(*figures: tuple[str, float | None, float | None], **more: float) -> CpuSnapshot:
    vcpus = tuple(
        VcpuView(VcpuKey(name, 0), ONE, 0, ran, waited, cap_share=more.get("cap_share"))
        for name, ran, waited in sorted(figures)
    )
    return CpuSnapshot(NS_PER_S, NS_PER_S, flat(1, 1024), vcpus)


class Known(NamedTuple):
    mean: float
    variance: float


def only(book: DemandBook, ran: float | None, waited: float | None, **more: float) -> Known:
    found = book.learn(snapshot(("vm", ran, waited), **more))
    assert list(found.known) == [True]
    return Known(found.means[0], found.variances[0])


def test_a_crowded_vcpu_is_known_for_what_it_wants() -> None:
    # Eight loops of 20 % on one CPU, as measured on Linux: 12.5 % and 39 %.
    assert only(DemandBook(), 0.125, 0.39).mean == pytest.approx(0.205, abs=0.001)


def test_who_waits_all_the_time_wants_everything_and_a_cap_limits_that() -> None:
    assert only(DemandBook(), 0.0, 1.0).mean == 1.0
    assert only(DemandBook(), 0.5, 0.5, cap_share=0.5).mean == 0.5


def test_the_standard_error_is_what_the_means_of_many_runs_deviate_by() -> None:
    random = Random(5)
    means, promised = [], []
    for _ in range(400):
        book = DemandBook()
        for _ in range(16):
            known = only(book, round(random.gauss(0.4, 0.02), 2), 0.0)
        means.append(known.mean)
        promised.append(known.variance)

    assert sum(promised) / len(promised) == pytest.approx(pvariance(means), rel=0.3)


def test_ticks_alone_leave_a_doubt_that_grows_with_waiting() -> None:
    calm, crowded = DemandBook(), DemandBook()
    for _ in range(200):
        one, other = only(calm, 0.2, 0.0), only(crowded, 0.02, 0.9)

    assert one.mean == pytest.approx(0.2)
    assert other.mean == pytest.approx(0.2)
    assert other.variance == pytest.approx(100 * one.variance, rel=0.01)


def test_a_new_load_is_believed_at_once_and_the_better_the_longer_it_lasts() -> None:
    book = DemandBook()
    for _ in range(10):
        old = only(book, 0.2, 0.0)

    first = only(book, 0.36, 0.0)
    assert first.mean == 0.36
    assert first.variance > 5 * old.variance

    assert only(book, 0.36, 0.0).variance < 0.6 * first.variance


def test_a_load_that_creeps_is_followed_though_no_step_of_it_is_a_jump() -> None:
    book = DemandBook()
    for tick in range(60):
        found = only(book, 0.2 + 0.005 * tick, 0.0)

    assert found.mean == pytest.approx(0.2 + 0.005 * 59, abs=0.03)  # and not 0.35, its mean so far


def test_a_load_that_comes_and_goes_at_uneven_times_is_followed_for_ever() -> None:
    book, random = DemandBook(), Random(3)
    for _ in range(30):
        for level in (0.1, 0.6):
            for _ in range(random.randrange(5, 40)):
                found = only(book, level, 0.0)
            assert found.mean == pytest.approx(level, abs=0.01)


def test_a_load_that_swings_comes_to_be_known_by_its_mean() -> None:
    book = DemandBook()
    means = [only(book, 0.6 if tick // 3 % 2 else 0.2, 0.0).mean for tick in range(200)]

    assert all(0.3 < mean < 0.5 for mean in means[100:])
    assert only(book, 0.2, 0.0).variance > 0.15**2  # and nobody knows where it is just now


def test_who_has_just_come_is_not_known_and_who_left_is_forgotten() -> None:
    book = DemandBook()
    assert book.learn(snapshot(("a", 0.2, 0.0), ("b", None, None))).known == [True, False]
    book.learn(snapshot(("b", 0.4, 0.0)))

    found = book.learn(snapshot(("a", 0.5, 0.0), ("b", 0.4, 0.0)))

    assert found.means == [0.5, 0.4]
    assert found.variances[0] > 1.9 * found.variances[1]  # one look at it, and two


def test_a_table_of_many_knows_the_same_to_the_last_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    in_rows = _learnt(Random(1))

    monkeypatch.setattr(demand, "_MANY", 37)  # so that it is now a table and now rows

    assert _learnt(Random(1)) == in_rows
    assert isinstance(demand._table_type(), type)


def _learnt(random: Random) -> list[Demands]:
    """Return what a book makes of forty loads that jump, wait, are capped, go and come back."""
    book, found, level = DemandBook(), [], [random.uniform(0.05, 0.9) for _ in range(40)]
    for at in range(1, 200):
        vcpus = []
        for number in range(40):
            if random.random() < 0.1:
                level[number] = random.uniform(0.05, 0.9)
            if random.random() < 0.05:
                continue
            ran = round(min(max(level[number] + random.gauss(0, 0.02), 0.0), 1.0), 2)
            waited = random.choice((0.0, 0.0, 0.3, 1.0)) * (1.0 - ran)
            unseen = random.random() < 0.02
            vcpus.append(
                VcpuView(
                    VcpuKey(f"vm{number:02}", 0),
                    ONE,
                    0,
                    None if unseen else ran,
                    None if unseen else waited,
                    cap_share=random.choice((None, None, 0.3)),
                )
            )
        found.append(book.learn(CpuSnapshot(at * NS_PER_S, NS_PER_S, flat(1, 1024), tuple(vcpus))))
    return found
