"""What environment variables make of a box, and the line that a bad one is answered with."""

from __future__ import annotations

import pytest

from .conftest import ruby

READ = """
given.map do |environment|
  settings = VirtlabBox::Settings.from(environment)
  settings.to_h.merge(
    needed: settings.memory_needed_mib, scenario_guests: settings.scenario_guests,
    virtualbox: settings.box_for(:virtualbox), libvirt: settings.box_for(:libvirt)
  )
rescue VirtlabBox::Mistake => e
  e.message
end
"""


def test_without_variables_the_box_holds_every_test_of_the_course() -> None:
    (box,) = ruby(READ, [{}])

    assert (box["ubuntu"], box["cpus"], box["guests"], box["memory_mib"]) == ("24.04", 4, 8, 10240)
    assert (box["virtualbox"], box["libvirt"]) == ("bento/ubuntu-24.04", "cloud-image/ubuntu-24.04")
    names = [guest["name"] for guest in box["scenario_guests"]]
    assert names == [f"aos_vm{number}" for number in range(1, 9)]
    assert {guest["max_memory_mib"] for guest in box["scenario_guests"]} == {512}


def test_memory_follows_the_tests_and_guests_that_are_asked_for() -> None:
    cpu, memory, many = ruby(
        READ,
        [
            {"VIRTLAB_TESTS": "cpu"},
            {"VIRTLAB_TESTS": "memory"},
            {"VIRTLAB_TESTS": "cpu", "VIRTLAB_GUESTS": "16", "VIRTLAB_CPUS": "8"},
        ],
    )

    assert cpu["memory_mib"] == 6144  # as in the course's own box
    assert (memory["memory_mib"], memory["guests"]) == (10240, 4)
    assert {guest["max_memory_mib"] for guest in memory["scenario_guests"]} == {2048}
    assert (many["memory_mib"], many["cpus"]) == (11264, 8)
    assert all(box["memory_mib"] >= box["needed"] for box in (cpu, memory, many))


def test_guests_that_may_grow_are_counted_as_large_as_they_may_be() -> None:
    eight, none = ruby(
        READ,
        [
            {"VIRTLAB_TESTS": "memory", "VIRTLAB_GUESTS": "8"},
            {"VIRTLAB_TESTS": "memory", "VIRTLAB_GUESTS": "0"},
        ],
    )

    assert eight["needed"] == 8 * (2048 + 100) + 400 + 600
    assert none["needed"] == 4 * (2048 + 100) + 400 + 600  # the tests have guests of their own


def test_what_is_set_is_taken_and_what_is_empty_is_not() -> None:
    (box,) = ruby(
        READ,
        [{"VIRTLAB_UBUNTU": "22.04", "VIRTLAB_CPUS": "", "VIRTLAB_MEMORY_MIB": "8192",
          "VIRTLAB_GUESTS": "0", "VIRTLAB_BOX": "mine"}],
    )  # fmt: skip

    assert (box["ubuntu"], box["cpus"], box["memory_mib"]) == ("22.04", 4, 8192)
    assert box["scenario_guests"] == []
    assert box["virtualbox"] == box["libvirt"] == "mine"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VIRTLAB_CPUS", "0", "not a whole number from 1 to 32; fix: VIRTLAB_CPUS=4, or leave"),
        ("VIRTLAB_CPUS", "33", "not a whole number from 1 to 32; fix: VIRTLAB_CPUS=4, or leave"),
        ("VIRTLAB_CPUS", "four", "not a whole number from 1 to 32; fix: VIRTLAB_CPUS=4, or leave"),
        ("VIRTLAB_CPUS", "4\n4", "not a whole number from 1 to 32"),
        ("VIRTLAB_CPUS", "-2", "not a whole number from 1 to 32"),
        ("VIRTLAB_MEMORY_MIB", "6g", "not a whole number from 1024 to 262144; fix: VIRTLAB_MEMO"),
        ("VIRTLAB_MEMORY_MIB", "9" * 30, "not a whole number from 1024 to 262144"),
        ("VIRTLAB_GUESTS", "65", "not a whole number from 0 to 64; fix: VIRTLAB_GUESTS=8, or"),
        ("VIRTLAB_UBUNTU", "20.04", "not one of 24.04, 22.04; fix: VIRTLAB_UBUNTU=24.04, or leave"),
        ("VIRTLAB_TESTS", "disk", "not one of all, cpu, memory; fix: VIRTLAB_TESTS=all, or leave"),
        ("VIRTLAB_GUESTS_KIND", "lxc", "not one of micro, cloud, uvt; fix: VIRTLAB_GUESTS_KIND="),
        ("VIRTLAB_ACCELERATOR", "xen", "not one of auto, kvm, qemu; fix: VIRTLAB_ACCELERATOR=auto"),
    ],
)
def test_a_bad_value_is_answered_by_one_line_with_its_mend(
    name: str, value: str, said: str
) -> None:
    (line,) = ruby(READ, [{name: value}])

    assert line.startswith(f"{name}={value}: {said}")
    assert "\n" not in line.removeprefix(f"{name}={value}")
