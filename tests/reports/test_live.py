"""A run as it goes by: the scene of a moment, its lines, and the terminal view."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from marked_runs import ANYWHERE, DEALT, IDLE, good_memory, starved_memory
from timeline_builder import CpuLab, MemoryGuest, MemoryLab

from virtlab.errors import EnvironmentLackError
from virtlab.grading.marks import plain_run
from virtlab.model.timeline import CallRecord, EventRecord, Timeline
from virtlab.model.units import NS_PER_S
from virtlab.model.verdict import CriterionResult, FailedSpan, RunVerdict
from virtlab.reports.live.host_view import HostView
from virtlab.reports.live.lines import PLAIN_GLYPHS, guest_lines, pcpu_lines
from virtlab.reports.live.scene import acts_of, scene_of
from virtlab.reports.live.view import RunView


def cpu_run() -> Timeline:
    return CpuLab(start=ANYWHERE, pins=DEALT).timeline()


def verdict_of(timeline: Timeline, *spans: tuple[float, float]) -> RunVerdict:
    """Return a verdict in which `balanced` fails at these times."""
    failed = CriterionResult(
        "balanced", "failed", 9.0, 5.0, "points", None, None, "it is not", None,
        spans=tuple(FailedSpan(start, end, None) for start, end in spans),
    )  # fmt: skip
    return replace(plain_run(timeline, program="ann", replay=""), criteria=(failed,))


def test_a_scene_tells_who_ran_where_since_the_sample_before() -> None:
    timeline = cpu_run()

    scene = scene_of(timeline, verdict_of(timeline), 10)

    for pcpu in scene.pcpus:
        assert pcpu.used == pytest.approx(sum(vcpu.run for vcpu in pcpu.vcpus), abs=0.01)
        assert all(vcpu.bound for vcpu in pcpu.vcpus)
    assert sorted(vcpu.name for pcpu in scene.pcpus for vcpu in pcpu.vcpus) == [
        f"aos_vm{number}" for number in range(1, 9)
    ]
    first = scene_of(timeline, verdict_of(timeline), 0)
    assert {pcpu.used for pcpu in first.pcpus} == {0.0}
    assert not any(vcpu.bound for pcpu in first.pcpus for vcpu in pcpu.vcpus)


def test_a_scene_names_the_criteria_that_fail_at_that_moment_only() -> None:
    timeline = cpu_run()
    verdict = verdict_of(timeline, (4, 6))

    failing = [bool(scene_of(timeline, verdict, index).failing) for index in (3, 4, 6, 7)]

    assert failing == [False, True, True, False]


def test_acts_are_told_in_order_with_what_was_refused_and_what_happened() -> None:
    events = (EventRecord(9 * NS_PER_S, "oom_kill", "aos_vm1", "stress"),)
    lab = MemoryLab(guests=(IDLE,), events=events, set_by_scenario=((2, 0, 700),))
    refused = CallRecord(NS_PER_S, "virDomainSetMemory", "aos_vm1", "aos_vm1 memory=9", "too much")
    granted = replace(refused, error=None)
    timeline = replace(lab.timeline(), calls=(refused, granted))

    assert [(act.time_s, act.text, act.alarming) for act in acts_of(timeline)] == [
        (1.0, "virDomainSetMemory aos_vm1 memory=9: too much", True),
        (4.0, "aos_vm1 is to have 700 MiB (scenario)", False),
        (9.0, "aos_vm1: oom kill, stress", True),
    ]


def test_lines_show_shares_and_waiting_and_fit_the_width() -> None:
    timeline = cpu_run()
    scene = scene_of(timeline, verdict_of(timeline), 10)

    lines = [line.text for line in pcpu_lines(scene, 78, PLAIN_GLYPHS)]

    assert len(lines) == 4
    used = scene.pcpus[0].used
    assert lines[0].startswith(f"  0 {'#' * round(used / 100 * 23)}.")
    assert "=aos_vm1 " in lines[0]
    for width in (30, 50, 78, 200):
        assert all(len(line.text) <= width for line in pcpu_lines(scene, width))
    assert all(line.text.isascii() for line in pcpu_lines(scene, 78, PLAIN_GLYPHS))


@pytest.mark.parametrize(("unused", "alarming"), [(150, False), (100, False), (99, True)])
def test_a_guest_that_runs_short_stands_out(unused: float, alarming: bool) -> None:
    guest = MemoryGuest(actual=((0, 1024),), unused=((0, unused),))
    timeline = MemoryLab(guests=(guest, MemoryGuest(running=lambda _: False))).timeline()

    short, off = guest_lines(scene_of(timeline, verdict_of(timeline), 5), 80, PLAIN_GLYPHS)

    assert short.alarming is alarming
    assert f"1024 MiB, {unused} unused" in short.text
    assert off.text == "aos_vm2 shut off"


def played(timeline: Timeline, verdict: RunVerdict, keys: Sequence[str]) -> tuple[int, bool, str]:
    """Return sample, whether it plays, and the screen's text after some keys, at 80 x 24."""

    async def play() -> tuple[int, bool, str]:
        view = RunView(timeline, verdict, glyphs=PLAIN_GLYPHS)
        async with view.run_test(size=(80, 24)) as pilot:
            await pilot.press("space", *keys)  # it stands still while keys are tried
            await pilot.pause()
            strips = view.screen._compositor.render_strips()
            text = "\n".join(strip.text.rstrip() for strip in strips)
            return view.index, view.playing, text

    return asyncio.run(play())


def test_the_view_fits_80_by_24_and_shows_bars_acts_and_keys() -> None:
    timeline = cpu_run()

    index, playing, text = played(timeline, verdict_of(timeline, (6, 8)), ["end", "home", "f"])

    assert (index, playing) == (6, False)
    lines = text.splitlines()
    assert len(lines) == 24
    assert "cpu-made - ann" in lines[0]
    assert "6 of 30 s, paused, x5" in lines[0]
    assert "not met: balanced: it is not" in text
    assert "aos_vm8:0 to pCPU 3" in text
    assert "q Quit" in lines[-1]


def test_steps_failures_and_acts_are_reached_by_keys() -> None:
    timeline = cpu_run()
    verdict = verdict_of(timeline, (6, 8), (20, 21))

    def after(*keys: str) -> int:
        return played(timeline, verdict, keys)[0]

    assert after("right", "right", "left") == 1
    assert after("left") == 0
    assert after("end", "right") == 30
    assert after("f", "f") == 20
    assert after("f", "f", "f") == 6  # from the last back to the first
    assert after("a") == 5  # pins at 4.001 s are seen in the next sample


def test_a_view_of_memory_shows_guests_and_without_failures_says_so() -> None:
    timeline = good_memory().timeline()
    silent = replace(plain_run(timeline, program="ann", replay=""), criteria=())

    index, _, text = played(timeline, silent, ["right", "f"])

    assert index == 1
    assert "no criterion names a moment" in text
    assert "aos_vm4" in text


def test_a_run_that_ends_stays_at_its_last_moment_and_can_be_played_again() -> None:
    timeline = starved_memory().timeline()

    index, playing, _ = played(timeline, verdict_of(timeline), ["end", "space"])

    assert index == 0 or playing
    assert played(timeline, verdict_of(timeline), ["end"])[:2] == (240, False)


def test_a_timeline_without_samples_is_refused() -> None:
    timeline = replace(cpu_run(), times_ns=())

    with pytest.raises(ValueError, match="without samples"):
        RunView(timeline, verdict_of(cpu_run()))


def test_a_recorded_run_shows_memory_on_request() -> None:
    timeline = cpu_run()

    assert "512 MiB, 300 unused" in played(timeline, verdict_of(timeline), ["m"])[2]
    assert "512 MiB" not in played(timeline, verdict_of(timeline), ["m", "m"])[2]


def seen_until(timeline: Timeline, samples: int) -> Timeline:
    """Return the record as it was after so many samples."""
    return replace(timeline, times_ns=timeline.times_ns[:samples])


def test_a_host_is_followed_until_it_is_stopped_and_its_troubles_are_shown() -> None:
    timeline = cpu_run()
    looks = [seen_until(timeline, 3), seen_until(timeline, 4), None, seen_until(timeline, 6)]

    def look() -> Timeline:
        seen = looks.pop(0)
        if seen is None:
            raise EnvironmentLackError("libvirtd does not answer", fix="start it")
        return seen

    async def follow() -> list[tuple[int, str]]:
        view = HostView(
            seen_until(timeline, 2),
            look,
            verdict_of(timeline),
            interval_s=3600,  # looks are taken by hand
            glyphs=PLAIN_GLYPHS,
        )
        shown = []

        def text() -> str:
            strips = view.screen._compositor.render_strips()
            return "\n".join(strip.text.rstrip() for strip in strips)

        async with view.run_test(size=(80, 24)) as pilot:
            for key in ("", "space", "", "space"):
                view._tick()
                await view.workers.wait_for_complete()
                await pilot.press(*[key] if key else [])
                await pilot.pause()
                shown.append((view.index, text()))
        return shown

    first, stopped, troubled, again = asyncio.run(follow())

    assert first[0] == 2
    assert "2 s, now" in first[1]
    assert "Faster" not in first[1]
    assert stopped[0] == 3
    assert "3 s, stopped" in stopped[1]
    assert troubled[0] == 3
    assert "libvirtd does not answer; trying again" in troubled[1]
    assert again[0] == 5
    assert "5 s, now" in again[1]
