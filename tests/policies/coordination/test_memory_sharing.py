from hypothesis import given, settings
from hypothesis import strategies as st

from virtlab.policies.coordination.memory_sharing import divided


def test_who_wants_little_gets_it_and_the_others_share_the_rest_by_their_shares() -> None:
    wanted = {"a": 10, "b": 500, "c": 500}

    assert divided(310, wanted, {"a": 1, "b": 2, "c": 1}) == {"a": 10, "b": 200, "c": 100}
    assert divided(2000, wanted, {"a": 1, "b": 1, "c": 1}) == wanted
    assert divided(-5, wanted, {"a": 1, "b": 1, "c": 1}) == {"a": 0, "b": 0, "c": 0}


@settings(deadline=None)
@given(
    st.integers(0, 10_000),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 5000)),
    st.integers(0, 7),
)
def test_nothing_is_lost_and_nobody_gets_more_than_it_wants(
    have: int, wanted: dict[str, int], weight: int
) -> None:
    shares = {name: weight * len(name) for name in wanted}

    given_ = divided(have, wanted, shares)

    assert sum(given_.values()) == min(have, sum(wanted.values()))
    assert all(given_[name] <= wanted[name] for name in wanted)
