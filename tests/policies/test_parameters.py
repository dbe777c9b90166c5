from dataclasses import dataclass, field

import pytest

from virtlab.errors import UsageError
from virtlab.policies.parameters import configured, parameters_of, settings_of, tunable


@dataclass(slots=True)
class Sample:
    gap_min: float = tunable(0.1, unit="share", effect="smallest gap worth a move", at_least=0)
    moves: int = tunable(1, unit="moves a tick", effect="most moves", at_least=1, at_most=8)
    masks: bool = tunable(False, unit="yes or no", effect="use masks of several pCPUs")
    order: str = tunable("load", unit="word", effect="first moved", choices=("load", "name"))
    seen: dict[str, int] = field(default_factory=dict)


def test_tunables_are_told_apart_from_what_a_policy_remembers() -> None:
    names = [one.name for one in parameters_of(Sample)]

    assert names == ["gap_min", "moves", "masks", "order"]
    assert [one.range for one in parameters_of(Sample)] == [
        "0..",
        "1..8",
        "true | false",
        "load | name",
    ]


def test_text_becomes_a_value_of_the_parameters_kind() -> None:
    policy = configured(Sample, {"gap_min": "0.25", "moves": "3", "masks": "yes", "order": "name"})

    assert settings_of(policy) == {"gap_min": 0.25, "moves": 3, "masks": True, "order": "name"}


def test_what_is_not_set_keeps_its_default() -> None:
    assert settings_of(configured(Sample, {"moves": 2}))["gap_min"] == 0.1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gap": "1"}, "Sample has no parameter 'gap'\n  fix: did you mean gap_min?"),
        (
            {"moves": "9"},
            "moves=9 is out of its range\n  fix: moves is most moves (moves a tick): 1..8, "
            "by default 1.",
        ),
        ({"moves": "1.5"}, "moves=1.5 is not a whole number"),
        ({"gap_min": "nan"}, "gap_min=nan is not a number"),
        ({"gap_min": "-1"}, "gap_min=-1 is out of its range"),
        ({"masks": "perhaps"}, "masks=perhaps is not yes or no"),
        ({"order": "size"}, "order=size is none of its values"),
    ],
)
def test_a_bad_setting_is_refused_with_what_is_accepted(
    settings: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        configured(Sample, settings)

    assert sentence in str(refusal.value)
