"""The lessons about criteria: complete, true of the examples, and fit for any terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from virtlab.model.criteria import CRITERIA
from virtlab.reports.explanations import EXPLANATIONS, criterion_text
from virtlab.reports.loads import loads_picture
from virtlab.scenario import find_scenario

FLAWED = Path(__file__).parents[2] / "examples" / "submissions" / "flawed"


def test_every_criterion_is_explained() -> None:
    assert set(EXPLANATIONS) == set(CRITERIA)


@pytest.mark.parametrize(
    ("name", "example"),
    [(name, one) for name in EXPLANATIONS for one in EXPLANATIONS[name].catches],
)
def test_an_example_that_is_said_to_fail_a_criterion_does(name: str, example: str) -> None:
    expected = yaml.safe_load((FLAWED / example / "EXPECTED.yaml").read_text())

    assert any(name in lost for lost in expected["loses"].values())


@pytest.mark.parametrize("name", list(EXPLANATIONS))
def test_a_picture_fits_a_terminal_without_unicode(name: str) -> None:
    picture = EXPLANATIONS[name].picture

    assert picture.isascii()
    assert max(map(len, picture.splitlines())) < 80


def test_a_text_names_every_limit_with_its_default() -> None:
    text = "\n".join(criterion_text("balanced"))

    assert "  sd_points_max: 5 points; " in text
    assert "  relative_sd_max: not judged; " in text


def test_loads_are_drawn_over_time() -> None:
    picture = list(loads_picture(find_scenario("memory-4-one-stops"), ascii_only=True))

    stops, goes_on = picture[0], picture[1]
    assert stops.count("@") == 0 < goes_on.count("@")
    assert picture[-1].endswith("240 s")


def test_a_scenario_without_loads_has_no_picture() -> None:
    assert list(loads_picture(find_scenario("cpu-6-idle"))) == []
