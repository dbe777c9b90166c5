"""How large a scenario may be, and files that were never meant to be read as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from virtlab.errors import ScenarioError
from virtlab.scenario import load_scenario

_HEAD = """\
schema_version: 1
id: sound
title: A sound scenario
why: It catches nothing.
program: vcpu_scheduler
"""
_TAIL = """\
run: {duration_s: 60, interval_s: 2}
criteria:
  - {name: host-alive}
"""


def scenario(guests: str = "", host: str = "pcpus: 4", events: str = "") -> str:
    """Return a scenario file; each guest and event is a line in braces."""
    return (
        f"{_HEAD}host: {{{host}, memory_mib: 16000000}}\nguests: {'' if guests else '[]'}\n"
        f"{guests}{'events:' if events else ''}\n{events}{_TAIL}"
    )


def guest(names: int, vcpus: int = 1, more: str = "", prefix: str = "g") -> str:
    every = ", ".join(f"{prefix}{number}" for number in range(names))
    return f"  - {{names: [{every}], vcpus: {vcpus}, memory_mib: 400{more}}}\n"


def refusal(folder: Path, content: str | bytes) -> list[str]:
    """Return the lines in which a file is refused."""
    path = folder / "s.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    return str(caught.value).replace(f"{folder}/", "").split("\n")


@pytest.mark.parametrize(
    "content",
    [
        scenario(guest(512)),
        scenario(guest(1, vcpus=255)),
        scenario(host="pcpus: 1024"),
        scenario(guest(64, vcpus=255), host="pcpus: 32"),
        scenario(guest(2, vcpus=255, more=", start_in_turn: [0]")),
        scenario(guest(1), events="  - {at_s: 1, guest: g0, set_memory_mib: 300}\n" * 3000),
        scenario() + "#" * (256 * 1024 - len(scenario())),
        "\ufeff" + scenario(guest(1)),
        scenario(guest(1)).replace("\n", "\r\n"),
        scenario(guest(1)).replace("sound scenario", "sóund scenario 😀"),
    ],
    ids=[
        *("512 names", "255 vCPUs", "1024 pCPUs", "16320 vCPUs", "510 vCPUs on one pCPU"),
        *("3000 events", "256 KiB", "byte order mark", "Windows' lines", "any letters"),
    ],
)
def test_what_is_just_within_the_bounds_is_taken(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content.encode())

    assert load_scenario(path).id == "sound"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            scenario(guest(513)),
            ["s.yaml:8: guests[0].names: this has 513 entries.", "  fix: use at most 512."],
        ),
        (
            scenario(guest(1, vcpus=256)),
            [
                "s.yaml:8: guests[0].vcpus: 256 is out of range.",
                "  fix: use a value of at most 255.",
            ],
        ),
        (
            scenario(host="pcpus: 1025"),
            ["s.yaml:6: host.pcpus: 1025 is out of range.", "  fix: use a value of at most 1024."],
        ),
        (
            scenario("".join(guest(325, 255, prefix=f"g{n}-") for n in range(4)), "pcpus: 1024"),
            [
                "s.yaml:7: guests: the guests have 331500 vCPUs together, and a host is simulated "
                "with 16384.",
                "  fix: take fewer guests or vCPUs: 16384 in all at most.",
            ],
        ),
        (
            scenario(guest(9, vcpus=255)),
            [
                "s.yaml:7: guests: 574 vCPUs share pCPU 0, and who waits for whom is worked out at "
                "a bearable pace for 512.",
                "  fix: spread the guests over more pCPUs, or take fewer vCPUs.",
            ],
        ),
        (
            scenario(guest(3, vcpus=255, more=", start_in_turn: [7]"), host="pcpus: 1024"),
            [
                "s.yaml:7: guests: 765 vCPUs share pCPU 7, and who waits for whom is worked out at "
                "a bearable pace for 512.",
                "  fix: spread the guests over more pCPUs, or take fewer vCPUs.",
            ],
        ),
        (
            scenario(host=f"pcpus: {'9' * 5000}"),
            [
                f"s.yaml:6: host.pcpus: {'9' * 60}... is out of range.",
                "  fix: use a value of at most 1024.",
            ],
        ),
        (
            scenario(guest(1, more=", load: {duty: .nan}")),
            [
                "s.yaml:8: guests[0].load.duty: NaN is not a finite number.",
                "  fix: write it as `duty: 0.21`.",
            ],
        ),
        (
            scenario(guest(1, more=", load: {duty: 1e999}")),
            [
                "s.yaml:8: guests[0].load.duty: Infinity is not a finite number.",
                "  fix: write it as `duty: 0.21`.",
            ],
        ),
        (
            scenario(guest(1, more=', load: {trace: "a\\0b"}')),
            [
                "s.yaml:8: guests[0].load.trace: trace a\0b cannot be read: embedded null byte.",
                "  fix: put the CSV file beside this one; its path is relative to this file.",
            ],
        ),
        (
            scenario().replace("A sound scenario", '"\\e[31mA sound scenario"'),
            ["s.yaml:3: title: this has the control character U+001B.", "  fix: remove it."],
        ),
        (
            scenario().replace("A sound", "A \x1b[31msound"),
            [
                "s.yaml:3: this is not YAML: control characters are not allowed.",
                "  fix: mend the YAML; look at indentation, quotes, brackets and tabs on this line "
                "and above.",
            ],
        ),
        (
            scenario().replace("run: {", "\trun: {"),
            [
                "s.yaml:9: this is not YAML: found character that cannot start any token, while "
                "scanning for the next token.",
                "  fix: mend the YAML; look at indentation, quotes, brackets and tabs on this line "
                "and above.",
            ],
        ),
        (
            scenario().encode("utf-16"),
            ["s.yaml:1: byte 0xff is not UTF-8.", "  fix: save the file as UTF-8."],
        ),
        (
            scenario() + "~: a\n",
            ["s.yaml:12: key null is not a word.", "  fix: write a key of letters."],
        ),
        (
            scenario() + "x: " + "{a: " * 30 + "1" + "}" * 30,
            [
                "s.yaml:12: values are nested more than 24 deep.",
                "  fix: remove brackets or indentation.",
            ],
        ),
        (
            scenario() + "x: " + "[" * 100_000,
            [
                "s.yaml:12: this is not YAML: exceeded maximum nesting depth, while increasing "
                "flow level.",
                "  fix: mend the YAML; look at indentation, quotes, brackets and tabs on this line "
                "and above.",
            ],
        ),
    ],
)
def test_what_is_beyond_them_is_refused_with_its_line_and_mend(
    tmp_path: Path, content: str | bytes, said: list[str]
) -> None:
    assert refusal(tmp_path, content) == said


def test_merged_anchors_do_not_multiply(tmp_path: Path) -> None:
    lines = ["a0: &a0 {k: v, l: w}"]
    lines += [f"a{n}: &a{n} {{<<: [" + ",".join([f"*a{n - 1}"] * 100) + "]}" for n in range(1, 9)]

    said = refusal(tmp_path, "\n".join(lines))

    assert "more than 20000 values once its anchors are expanded" in said[0]


def test_of_very_many_mistakes_the_first_hundred_are_told(tmp_path: Path) -> None:
    # Once each was compared with all before it: 15,000 took more than a minute.
    said = refusal(tmp_path, scenario() + "id: again\n" * 15_000)

    assert len(said) == 201
    assert said[0] == "s.yaml:12: id: key id is given twice, first in line 2."
    assert said[-1] == "... and 14900 more mistakes; mend these first."
