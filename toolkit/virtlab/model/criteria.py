"""The criteria that a scenario may ask for: what each means, and the limits it judges by.

This table is the one source of names, limits, defaults and units: scenario and rubric files are
checked against it, and `virtlab.grading` judges by it. A limit of None is not judged unless a
file gives it a value. Switches are 0 or 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

__all__ = ["CRITERIA", "CriterionDeclaration", "LimitDeclaration", "LimitUnit", "limits_of"]

LimitUnit = Literal["points", "s", "intervals", "share", "MiB", "switch"]

_UPPER_BOUNDS: Mapping[LimitUnit, float] = {
    "points": 100.0,
    "s": 86_400.0,
    "intervals": 100_000.0,
    "share": 1.0,
    "MiB": 2.0**30,
    "switch": 1.0,
}


@dataclass(frozen=True, slots=True)
class LimitDeclaration:
    """One limit of a criterion."""

    name: str
    default: float | None  # None: not judged unless a file gives a value
    unit: LimitUnit
    meaning: str

    @property
    def largest(self) -> float:
        """Return the largest value that makes sense for the limit's unit; the smallest is 0."""
        return _UPPER_BOUNDS[self.unit]


@dataclass(frozen=True, slots=True)
class CriterionDeclaration:
    """One criterion: its meaning, its limits in a fixed order, and the hint where it fails."""

    name: str
    meaning: str
    hint: str
    limits: tuple[LimitDeclaration, ...]

    def limit(self, name: str) -> LimitDeclaration | None:
        """Return the declaration of a limit by its name, or None where there is none."""
        return next((limit for limit in self.limits if limit.name == name), None)


# Settling: a 1 s scheduler of the course settles by iteration 5 to 7, so 10 leaves room.
_SETTLE = LimitDeclaration(
    "settle_intervals",
    10,
    "intervals",
    "from this long after a phase's start on, at the latest, the host has to be settled; "
    "0 asks for it from the start",
)
# "Standard deviation at most 5 points": the course's own rule since 2025.
_SD_POINTS = LimitDeclaration(
    "sd_points_max",
    5,
    "points",
    "largest population standard deviation of the pCPUs' utilisation in a window",
)
_WINDOW = LimitDeclaration(
    "window_s", 2, "s", "length of a window of judgement; the interval, where that is longer"
)
# 200 MiB is the host's floor; another 100 is one ordinary step of a coordinator.
_HOST_SPARE = LimitDeclaration(
    "host_spare_mib_min",
    300,
    "MiB",
    "free memory of the host from which on it had memory to give, what the other guests may keep "
    "unused left out",
)
_UNUSED_FLOOR = "unused memory that a guest has to keep"

_DECLARATIONS = (
    CriterionDeclaration(
        name="bound",
        meaning="each loaded vCPU is bound to one pCPU, or every placement that the masks permit "
        "is balanced",
        hint="bind each loaded vCPU to one pCPU; a wide mask leaves the balance to luck",
        limits=(_SETTLE, _SD_POINTS),
    ),
    CriterionDeclaration(
        name="balanced",
        meaning="the pCPUs are used evenly, in every window of a phase once it had time to settle",
        hint="weigh vCPUs by their recent use, and place the largest first on the emptiest pCPU",
        limits=(
            _SD_POINTS,
            _WINDOW,
            _SETTLE,
            LimitDeclaration(
                "windows_missed_share_max",
                0,
                "share",
                "share of windows that may miss; 0.1 suits a real host",
            ),
            LimitDeclaration(
                "bound_needed",
                1,
                "switch",
                "1: the vCPUs have to be bound too; 0: utilisation alone is judged",
            ),
            LimitDeclaration(
                "relative_sd_max",
                None,
                "share",
                "the rule of 2023, instead of sd_points_max: largest standard deviation as a "
                "share of the mean utilisation",
            ),
            # A relative rule trips on the noise of an idle host.
            LimitDeclaration(
                "relative_mean_min",
                0.05,
                "share",
                "mean utilisation below which relative_sd_max is not judged",
            ),
        ),
    ),
    CriterionDeclaration(
        name="stable",
        meaning="no effective change of an affinity in a phase once it is settled",
        hint="leave a balanced host alone, and compare with a threshold above the noise",
        limits=(_SETTLE, _SD_POINTS, _WINDOW),
    ),
    CriterionDeclaration(
        name="takes-gradually",
        meaning="a guest's balloon grows with its consumer, in steps, up to its maximum, and "
        "leaves it enough unused memory meanwhile",
        hint="grow a guest by about 100 MiB an interval as soon as its unused memory falls",
        limits=(
            LimitDeclaration("step_mib_max", 256, "MiB", "largest growth in one interval"),
            LimitDeclaration(
                "reach_mib",
                100,
                "MiB",
                "how near its maximum a guest comes whose consumer would get there",
            ),
            LimitDeclaration("unused_mib_min", 100, "MiB", _UNUSED_FLOOR),
            LimitDeclaration(
                "short_intervals_max",
                3,
                "intervals",
                "longest time below unused_mib_min while there was memory to give",
            ),
            _HOST_SPARE,
        ),
    ),
    CriterionDeclaration(
        name="releases-gradually",
        meaning="a guest that grew comes back in small steps once its consumer ended; one that "
        "does not consume stays, or gives",
        hint="shrink by at most 100 MiB an interval while more than about 150 MiB are unused",
        limits=(
            LimitDeclaration(
                "grew_mib_min", 256, "MiB", "growth from which on a release can be judged"
            ),
            LimitDeclaration(
                "back_mib_max",
                512,
                "MiB",
                "largest size at the end of a guest that grew; its start, where that is larger",
            ),
            LimitDeclaration("step_mib_max", 128, "MiB", "largest release in one interval"),
            # A guest of 300 MiB must not lose 200 in one step; a third of it is 100.
            LimitDeclaration(
                "step_share_max",
                0.333,
                "share",
                "largest release in one interval, as a share of the guest's size; the smaller "
                "of both counts",
            ),
            LimitDeclaration(
                "idle_band_mib",
                128,
                "MiB",
                "how far above its start a guest may go that does not consume",
            ),
            LimitDeclaration("unused_mib_min", 100, "MiB", _UNUSED_FLOOR),
        ),
    ),
    CriterionDeclaration(
        name="guest-alive",
        meaning="no guest is drained to death: none falls below its floor, and none is killed "
        "well below its maximum while the host had memory to give",
        hint="never set a target below what the guest has in use plus a reserve",
        limits=(
            LimitDeclaration(
                "margin_mib",
                100,
                "MiB",
                "a kill nearer to the guest's maximum than this is its consumer's own end",
            ),
            LimitDeclaration("actual_mib_min", 200, "MiB", "smallest size of a guest"),
            LimitDeclaration(
                "unused_mib_min", 100, "MiB", "unused memory that each other guest may keep"
            ),
            _HOST_SPARE,
        ),
    ),
    CriterionDeclaration(
        name="host-alive",
        meaning="the host keeps free memory, does not swap hard and does not freeze",
        hint="before giving, look at the host's free memory, and keep a reserve",
        limits=(
            LimitDeclaration("free_mib_min", 200, "MiB", "smallest free memory of the host"),
            LimitDeclaration(
                "swap_mib_max", 256, "MiB", "swap in use from which on it is a swap storm"
            ),
        ),
    ),
    CriterionDeclaration(
        name="no-crash",
        meaning="the program runs to the end of the test",
        hint="check every return value, and expect guests and figures to be missing",
        limits=(),
    ),
    CriterionDeclaration(
        name="reaches-maximum",
        meaning="some guest comes near its maximum",
        hint="go on giving while a guest consumes and the host has memory",
        limits=(
            LimitDeclaration("reach_mib", 100, "MiB", "how near its maximum some guest comes"),
        ),
    ),
)

CRITERIA: Mapping[str, CriterionDeclaration] = MappingProxyType(
    {declaration.name: declaration for declaration in _DECLARATIONS}
)


def limits_of(name: str, *overrides: Mapping[str, float]) -> dict[str, float | None]:
    """Return all limits of a criterion: its defaults, then each layer of overrides on top.

    Raises:
        KeyError: the criterion or a limit is unknown; files are checked when they are loaded.
    """
    limits = {limit.name: limit.default for limit in CRITERIA[name].limits}
    for layer in overrides:
        for key, value in layer.items():
            if key not in limits:
                raise KeyError(key)
            limits[key] = value
    return limits
