"""Waiting by stages: in their order, by limits that suit the accelerator, and why it stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from virtlab.guests.stages import GuestNotReadyError, Stage, pass_stages

from .conftest import HandClock


def after(clock: HandClock, moment_s: float, lack: str) -> Callable[[float], str | None]:
    return lambda _left_s: None if clock.now_s >= moment_s else lack


def waited(
    clock: HandClock, accelerator: str, *, gone_at_s: float = 1e9, limit_s: float | None = None
) -> dict[str, float]:
    stages = [
        Stage("lease", 60, after(clock, 40, "it has no address yet"), "look at dnsmasq"),
        Stage("ssh", 60, after(clock, 130, "nothing answers"), "look at its ssh"),
    ]
    return pass_stages(
        "aos_vm1", stages, accelerator,
        gone=lambda: "it does not run" if clock.now_s >= gone_at_s else None,
        tail=lambda: "\n".join(f"line {number}" for number in range(20)),
        limit_s=limit_s, clock=clock.clock(),
    )  # fmt: skip


def test_an_emulated_guest_may_take_longer() -> None:
    assert waited(HandClock(), "qemu") == {"lease": 40.0, "ssh": 130.0}


def test_where_it_stopped_is_said_with_its_last_words_and_what_to_look_at() -> None:
    with pytest.raises(GuestNotReadyError) as caught:
        waited(HandClock(), "kvm")

    assert caught.value.stage == "ssh"
    said = str(caught.value)
    assert said.startswith("aos_vm1 stopped at stage 'ssh' after 60 s: nothing answers")
    assert "line 19" in said and "line 12" in said and "line 11" not in said
    assert said.endswith("fix: look at its ssh")


def test_a_limit_that_was_given_holds_for_each_stage() -> None:
    with pytest.raises(GuestNotReadyError, match="stage 'lease' after 30 s"):
        waited(HandClock(), "qemu", limit_s=30)


def test_who_runs_no_more_is_not_waited_for() -> None:
    clock = HandClock()

    with pytest.raises(GuestNotReadyError, match="stage 'lease' after 5 s: it does not run"):
        waited(clock, "qemu", gone_at_s=5)
    assert clock.now_s == 5


def test_one_look_may_take_what_is_left_of_the_limit_and_little_more() -> None:
    clock = HandClock()
    looks: list[float] = []

    def slow(left_s: float) -> str:
        looks.append(left_s)
        clock.sleep(min(left_s, 20))
        return "nobody can log in"

    with pytest.raises(GuestNotReadyError, match="stage 'login' after 60 s: nobody can"):
        pass_stages(
            "aos_vm1", [Stage("login", 60, slow, "look at its key")], "kvm",
            gone=lambda: None, tail=lambda: "", clock=clock.clock(),
        )  # fmt: skip
    assert looks == [60.0, 39.5, 19.0]
