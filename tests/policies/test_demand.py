"""What is known of a demand, and how well."""

from random import Random
from statistics import pvariance

import pytest

from virtlab.model.snapshot import CpuSnapshot, VcpuKey, VcpuView
from virtlab.model.topology import flat
from virtlab.model.units import NS_PER_S
from virtlab.policies.demand import Demand, DemandBook

ONE = frozenset({0})


def snapshot(*figures: tuple[str, float | None, float | None], **more: float) -> CpuSnapshot:
    vcpus = tuple(
        VcpuView(VcpuKey(name, 0), ONE, 0, ran, waited, cap_share=more.get("cap_share"))
        for name, ran, waited in sorted(figures)
    )
    return CpuSnapshot(NS_PER_S, NS_PER_S, flat(1, 1024), vcpus)


def only(book: DemandBook, ran: float | None, waited: float | None, **more: float) -> Demand:
    found = book.learn(snapshot(("vm", ran, waited), **more))[0]
    assert found is not None
    return found


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


def test_a_new_load_is_followed_at_once_and_believed_at_the_second_look() -> None:
    book = DemandBook()
    for _ in range(10):
        only(book, 0.2, 0.0)

    first = only(book, 0.36, 0.0)
    assert (first.mean, first.samples) == (0.36, 1)
    doubt = first.variance
    assert doubt > 0.08**2

    assert only(book, 0.36, 0.0).variance < doubt / 10


def test_a_load_that_swings_comes_to_be_known_by_its_mean() -> None:
    book = DemandBook()
    means = [only(book, 0.6 if tick // 3 % 2 else 0.2, 0.0).mean for tick in range(200)]

    assert all(0.3 < mean < 0.5 for mean in means[100:])
    assert only(book, 0.2, 0.0).variance > 0.15**2  # and nobody knows where it is just now


def test_who_has_just_come_is_not_known_and_who_left_is_forgotten() -> None:
    book = DemandBook()
    assert book.learn(snapshot(("a", 0.2, 0.0), ("b", None, None)))[1] is None
    book.learn(snapshot(("b", 0.4, 0.0)))

    a, b = book.learn(snapshot(("a", 0.5, 0.0), ("b", 0.4, 0.0)))

    assert a is not None and b is not None
    assert (a.samples, b.samples) == (1, 2)
