from virtlab.simulator.mask_numbers import MASKS_MAX, NO_NUMBER, STAYS, MaskNumbers


def test_vcpus_of_one_mask_share_a_number_until_the_last_gives_it_back() -> None:
    numbers = MaskNumbers()

    first, second = numbers.change(STAYS, (0, 1)), numbers.change(STAYS, (0, 1))
    assert first == second != STAYS
    assert numbers.masks == {first: (0, 1)}

    assert numbers.change(first, None) == STAYS
    assert numbers.masks == {first: (0, 1)}
    other = numbers.change(second, (2, 3))
    assert numbers.masks == {other: (2, 3)}


def test_one_mask_too_many_has_no_number_until_another_is_free() -> None:
    numbers = MaskNumbers()
    given = [numbers.change(STAYS, (n, n + 1)) for n in range(MASKS_MAX)]
    assert len(set(given)) == MASKS_MAX

    late = numbers.change(STAYS, (500, 501))
    assert late == NO_NUMBER

    numbers.change(given[0], None)
    assert numbers.change(late, (500, 501)) == given[0]
