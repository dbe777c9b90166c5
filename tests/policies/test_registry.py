import pytest

from virtlab.errors import UsageError
from virtlab.policies.registry import BUILT_IN, describe, find_policy


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_policy_can_be_made_without_settings_and_teaches_something(name: str) -> None:
    about = describe(name)

    assert hasattr(find_policy(name, about.kind)(), "decide")
    assert about.title
    for part in ("Idea:", "Cost:", "Weak spot:"):
        assert part in about.lesson


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_tunable_has_a_unit_an_effect_and_a_default_in_its_range(name: str) -> None:
    for one in describe(name).parameters:
        assert one.unit
        assert one.effect
        if isinstance(one.default, int | float):
            assert one.at_least is None or one.default >= one.at_least
            assert one.at_most is None or one.default <= one.at_most
        assert not one.choices or one.default in one.choices


def test_an_unknown_policy_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"no scheduling policy is called 'leave-alon'") as refusal:
        find_policy("leave-alon", "scheduling")

    assert "did you mean leave-alone?" in str(refusal.value)


def test_a_policy_of_the_other_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="leave-alone is a scheduling policy"):
        find_policy("leave-alone", "coordination")
