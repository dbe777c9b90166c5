"""Faults of a scenario, as unmodified programs under the lockstep clock see them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from virtlab.grading.run import RunRecord, run_program
from virtlab.scenario import load_scenario
from virtlab.subjects.build import build
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import find_sandbox
from virtlab.subjects.unpack import open_submission
from virtlab.subjects.work_directory import make_work_directory

_STOPPED, _SHUTDOWN = 5, 6  # virDomainEventType

SCENARIO = """\
schema_version: 1
id: faults
title: Something breaks
why: A program that trusts all it is told goes wrong.
program: memory_coordinator
host: {pcpus: 2, memory_mib: 8192}
guests:
  - names: [one, two]
    memory_mib: 512
    max_memory_mib: 1024
  - {name: late, memory_mib: 512, defined: false, running: false}
run: {duration_s: 60, interval_s: 2}
criteria:
  - {name: no-crash}
events:
"""

# `say(what, ...)` prints one line of JSON with the time since the start by the monotonic clock.
PRELUDE = """
import json, os, sys, threading, time, libvirt
libvirt.registerErrorHandler(lambda context, error: None, None)
start = time.monotonic()
def say(*what):
    print(json.dumps([round(time.monotonic() - start, 1), *what]), flush=True)
def ask(label, question):
    try:
        say(label, question())
    except libvirt.libvirtError as error:
        say(label, list(error.err[:3]))
def leave():
    # Python takes itself apart for a while, and threads that sleep would go on meanwhile.
    os._exit(0)
conn = libvirt.open("qemu:///system")
one, two = conn.lookupByName("one"), conn.lookupByName("two")
"""


@pytest.fixture
def work() -> Iterator[Path]:
    """Give a folder that the program's user can reach; pytest's own folders are private."""
    folder = make_work_directory()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


Ran = Callable[..., RunRecord]


@pytest.fixture
def ran(work: Path) -> Ran:
    """Run a program with events of a scenario, three times, and hold the runs to be equal."""

    def run(name: str, source: str, events: str, *, times: int = 3) -> RunRecord:
        (work / "scenario.yaml").write_text(SCENARIO + events)
        scenario = load_scenario(work / "scenario.yaml")
        (work / name).write_text(source)
        root = work / "copy"
        open_submission(work / name, root)
        sandbox = find_sandbox()
        program = build(find_programs(root)["memory_coordinator"], root, sandbox)
        assert program.ok, program.log
        runs = [run_program(scenario, program, root, sandbox, seed=1) for _ in range(times)]
        assert len({(one.timeline.to_json(), one.stdout) for one in runs}) == 1
        return runs[0]

    return run


@pytest.fixture
def python(ran: Ran) -> Callable[..., tuple[list[list[Any]], RunRecord]]:
    def run(source: str, events: str) -> tuple[list[list[Any]], RunRecord]:
        record = ran("memory_coordinator.py", PRELUDE + source, events)
        lines = [json.loads(line) for line in record.stdout.decode().splitlines()]
        assert record.stderr == b"", record.stderr.decode()
        return lines, record

    return run


def told(record: RunRecord) -> list[tuple[float, str, str | None, str]]:
    return [
        (event.time_ns / 1e9, event.kind, event.guest, event.detail)
        for event in record.timeline.events
        if event.kind.startswith("fault")
    ]


LOCKED = (
    "Timed out during operation: cannot acquire state change lock "
    "(held by monitor=remoteDispatchDomainBlockStatsFlags)"
)


def test_a_stuck_balloon_accepts_targets_and_stays_where_it_is(python: Any) -> None:
    lines, record = python(
        """
time.sleep(6)
one.setMemory(400 * 1024)
for second in range(5):
    time.sleep(4)
    say(one.memoryStats()["actual"] // 1024)
""",
        "  - {at_s: 5, guest: one, fault: balloon-stuck, for_s: 10}\n",
    )

    assert [mib for _, mib in lines] == [512, 512, 400, 400, 400]
    assert told(record) == [
        (5.0, "fault", "one", "balloon-stuck: its balloon stands still"),
        (15.0, "fault_end", "one", "balloon-stuck: its balloon moves again"),
    ]


def test_stale_statistics_keep_their_date_and_missing_ones_vanish(python: Any) -> None:
    lines, record = python(
        """
one.setMemoryStatsPeriod(1)
two.setMemoryStatsPeriod(1)
begun = one.memoryStats()["last_update"]
for second in range(5):
    time.sleep(4)
    say(one.memoryStats()["last_update"] - begun, sorted(two.memoryStats()))
""",
        "  - {at_s: 5.5, guest: one, fault: statistics-stale, for_s: 7}\n"
        "  - {at_s: 6, guest: two, fault: statistics-missing, fields: [unused, usable], for_s: 4}\n"
        "  - {at_s: 14, guest: two, fault: statistics-missing}\n",
    )

    assert [since for _, since, _ in lines] == [4, 5, 5, 16, 20]
    every = set(lines[0][2])
    assert [every - set(names) for _, _, names in lines[1:3]] == [{"unused", "usable"}, set()]
    assert lines[3][2] == lines[4][2] == ["actual", "last_update", "rss"]
    assert len(told(record)) == 5


def test_calls_on_a_blocked_guest_fail_after_thirty_seconds_and_others_answer(python: Any) -> None:
    lines, record = python(
        """
time.sleep(2)
ask("state", one.state)
ask("info", lambda: one.info()[:2])
ask("vcpus", lambda: len(one.vcpus()[0]))
ask("other", lambda: two.setMemory(500 * 1024))
ask("setMemory", lambda: one.setMemory(400 * 1024))
ask("memoryStats", lambda: sorted(one.memoryStats()))
""",
        "  - {at_s: 1, guest: one, fault: blocked, for_s: 40}\n",
    )

    assert lines == [
        [2.0, "state", [1, 1]],
        [2.0, "info", [1, 1048576]],
        [2.0, "vcpus", 1],
        [2.0, "other", 0],
        [32.0, "setMemory", [68, 0, LOCKED]],
        # The lock is let go while this one waits.
        [41.0, "memoryStats", sorted(lines[-1][2])],
    ]
    assert "unused" in lines[-1][2]
    call = next(call for call in record.timeline.calls if call.error == LOCKED)
    assert (call.procedure, call.guest) == ("virDomainSetMemory", "one")
    assert [line[1:3] for line in told(record)] == [("fault", "one"), ("fault_end", "one")]


def test_bulk_statistics_wait_for_a_blocked_guest_and_go_without_what_only_qemu_knows(
    python: Any,
) -> None:
    lines, _ = python(
        """
one.setMemoryStatsPeriod(1)
time.sleep(2)
groups = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_BLOCK
def fields(flags=0):
    return [sorted(stats) for _, stats in conn.getAllDomainStats(groups, flags)]
say("nowait", fields(libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT))
say("wait", fields())
say("state", len(conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE)))
""",
        "  - {at_s: 1, guest: one, fault: blocked}\n",
    )

    assert [(time, label) for time, label, _ in lines] == [
        (2.0, "nowait"),
        (32.0, "wait"),
        (32.0, "state"),
    ]
    blocked, other = lines[1][2]
    assert blocked == [
        "balloon.current",
        "balloon.maximum",
        "block.0.name",
        "block.0.path",
        "block.count",
    ]
    assert lines[0][2] == [blocked, other]
    assert {"balloon.unused", "block.0.rd.reqs"} < set(other)


def test_a_second_thread_goes_on_while_the_first_waits_for_a_lock(python: Any) -> None:
    lines, _ = python(
        """
def tick():
    while True:
        time.sleep(10)
        ask("tick", lambda: two.info()[0])
threading.Thread(target=tick, daemon=True).start()
time.sleep(5)
ask("pin", lambda: one.pinVcpu(0, (True, False)))
leave()
""",
        "  - {at_s: 1, guest: one, fault: blocked}\n",
    )

    assert [(time, label) for time, label, _ in lines] == [
        (10.0, "tick"),
        (20.0, "tick"),
        (30.0, "tick"),
        (35.0, "pin"),
    ]


def test_a_program_that_waits_for_a_lock_beyond_the_end_is_ended_there(python: Any) -> None:
    lines, record = python(
        """
time.sleep(50)
ask("pin", lambda: one.pinVcpu(0, (True, False)))
""",
        "  - {at_s: 1, guest: one, fault: blocked}\n",
    )

    assert [line for line in lines if line[0] < 60] == []
    assert record.timeline.times_ns[-1] == 60 * 10**9


def test_a_destroyed_guest_has_a_free_lock_again(python: Any) -> None:
    lines, _ = python(
        """
time.sleep(2)
ask("destroy", one.destroy)
ask("create", one.create)
ask("memoryStats", lambda: len(one.memoryStats()))
""",
        "  - {at_s: 1, guest: one, fault: blocked}\n",
    )

    assert [(time, label) for time, label, _ in lines] == [
        (2.0, "destroy"),
        (2.0, "create"),
        (2.0, "memoryStats"),
    ]


RECONNECTING = """
def open_again():
    while True:
        try:
            return libvirt.open("qemu:///system")
        except libvirt.libvirtError as error:
            say("refused", list(error.err[:2]), error.err[2][-18:])
            time.sleep(1)
time.sleep(4)
ids = [one.ID(), two.ID()]
time.sleep(4)
ask("stale", one.info)
ask("again", one.info)
conn = open_again()
say("back", ids == [conn.lookupByName(name).ID() for name in ("one", "two")])
"""


def test_libvirtd_restarts_and_the_program_finds_it_again(python: Any) -> None:
    lines, record = python(RECONNECTING, "  - {at_s: 5, fault: libvirtd-restart, for_s: 6}\n")

    (_, _, stale), (_, _, again), *refused, back = lines
    assert stale[0] in (1, 38)
    assert again[0] in (1, 38)
    assert [line[1:] for line in refused] == [["refused", [38, 7], "Connection refused"]] * 3
    assert back == [11.0, "back", True]
    assert told(record) == [
        (5.0, "fault", None, "libvirtd-restart: libvirtd went down"),
        (11.0, "fault_end", None, "libvirtd-restart: libvirtd serves again"),
    ]


def test_a_restart_wakes_who_watches_and_event_registrations_are_gone(python: Any) -> None:
    lines, _ = python(
        """
libvirt.virEventRegisterDefaultImpl()
def loop():
    while True:
        libvirt.virEventRunDefaultImpl()
threading.Thread(target=loop, daemon=True).start()
def connected():
    conn = libvirt.open("qemu:///system")
    conn.registerCloseCallback(lambda conn, reason, data: say("closed", reason), None)
    return conn
first = connected()
first.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
    lambda conn, dom, event, detail, data: say("event", dom.name(), event), None)
time.sleep(3)
first.lookupByName("two").destroy()
time.sleep(6)
second = connected()
second.lookupByName("one").destroy()
time.sleep(3)
say("done")
leave()
""",
        "  - {at_s: 5, fault: libvirtd-restart, for_s: 2}\n",
    )

    assert lines == [
        [3.0, "event", "two", _SHUTDOWN],
        [3.0, "event", "two", _STOPPED],
        [5.0, "closed", 1],
        [9.0 + 3.0, "done"],
    ]


C_PROGRAM = r"""
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void quiet(void *data, virErrorPtr error) { (void)data; (void)error; }

int main(int argc, char **argv) {
    virSetErrorFunc(NULL, quiet);
    signal(SIGPIPE, SIG_IGN);
    int interval = argc > 1 ? atoi(argv[1]) : 1;
    virConnectPtr conn = virConnectOpen("qemu:///system");
    time_t before = time(NULL);
    for (int round = 0; round < 10; round++) {
        virDomainPtr dom = conn ? virDomainLookupByName(conn, "one") : NULL;
        int done = dom ? virDomainSetMemory(dom, 512 * 1024 + round) : -1;
        int code = done < 0 ? virGetLastErrorCode() : 0;
        printf("%d %d %ld\n", round, code, (long)(time(NULL) - before));
        fflush(stdout);
        if (dom) virDomainFree(dom);
        if (done < 0 && conn && !virConnectIsAlive(conn)) { virConnectClose(conn); conn = NULL; }
        if (!conn) conn = virConnectOpen("qemu:///system");
        sleep(interval);
    }
    return 0;
}
"""


def test_a_c_program_lives_through_a_lock_a_restart_and_a_jump_of_the_calendar(ran: Ran) -> None:
    record = ran(
        "memory_coordinator.c",
        C_PROGRAM,
        "  - {at_s: 3, guest: one, fault: blocked, for_s: 33}\n"
        "  - {at_s: 38, fault: libvirtd-restart, for_s: 3}\n"
        "  - {at_s: 43, fault: clock-step, step_s: -3600}\n",
    )

    rounds = [line.split() for line in record.stdout.decode().splitlines()]
    assert [(int(code), int(since)) for _, code, since in rounds] == [
        (0, 0),
        (0, 2),
        (68, 34),  # waited for 30 seconds
        (0, 36),  # the lock was let go meanwhile
        (38, 38),  # libvirtd was gone
        (38, 40),
        (38, 42),  # it connects again at the end of this round
        (0, 44 - 3600),
        (0, 46 - 3600),
        (0, 48 - 3600),
    ]


def test_a_c_program_that_leaves_sigpipe_as_it_is_dies_of_a_restart(ran: Ran) -> None:
    # So it does on a real host: libvirt's client writes to the connection that is gone.
    record = ran(
        "memory_coordinator.c",
        C_PROGRAM.replace("signal(SIGPIPE, SIG_IGN);", ""),
        "  - {at_s: 3, fault: libvirtd-restart, for_s: 3}\n",
    )

    outcome = record.timeline.outcome
    assert (outcome.kind, outcome.signal) == ("crashed", "SIGPIPE")


def test_the_calendar_jumps_and_what_counts_time_does_not(python: Any) -> None:
    lines, record = python(
        """
one.setMemoryStatsPeriod(1)
first = time.time()
for second in range(4):
    time.sleep(2)
    say(round(time.time() - first), round(one.memoryStats()["last_update"] - first))
""",
        "  - {at_s: 3, fault: clock-step, step_s: 100}\n"
        "  - {at_s: 7, fault: clock-step, step_s: -50}\n",
    )

    assert lines == [[2.0, 2, 2], [4.0, 104, 104], [6.0, 106, 106], [8.0, 58, 58]]
    assert [line[3] for line in told(record)] == [
        "clock-step: the calendar clock jumped 100 s forwards",
        "clock-step: the calendar clock jumped 50 s back",
    ]


def test_a_guest_goes_and_another_takes_its_name(python: Any) -> None:
    lines, record = python(
        """
first = one.UUIDString()
def seen():
    return sorted((d.name(), d.isActive()) for d in conn.listAllDomains())
time.sleep(4)
say(seen())
ask("undefined", lambda: one.info()[0])
time.sleep(4)
say(seen())
ask("gone", one.state)
time.sleep(4)
say(seen())
ask("gone", one.state)
again = conn.lookupByName("one")
say(again.UUIDString() != first, again.ID() > two.ID(), again.memoryStats()["actual"] // 1024)
""",
        "  - {at_s: 3, guest: one, power: undefine}\n"
        "  - {at_s: 5, guest: one, power: stop}\n"
        "  - {at_s: 9, guest: one, power: define}\n"
        "  - {at_s: 10, guest: one, power: start}\n",
    )

    assert [line[1:] for line in lines[:3]] == [
        [[["one", 1], ["two", 1]]],
        ["undefined", 1],  # a running guest goes on until it stops
        [[["two", 1]]],
    ]
    assert lines[3][2][0] == lines[5][2][0] == 42
    assert lines[4][1:] == [[["one", 1], ["two", 1]]]
    assert lines[6][1:] == [True, True, 512]
    kinds = [event.kind for event in record.timeline.events]
    assert kinds == ["guest_undefined", "guest_stop", "guest_defined", "guest_start"]
    running = record.timeline.guest("one").running
    assert [running[second] for second in (2, 6, 8, 9, 11)] == [True, True, False, False, True]


def test_a_guest_that_comes_later_is_not_there_before(python: Any) -> None:
    lines, _ = python(
        """
for second in range(3):
    say(sorted(d.name() for d in conn.listAllDomains()))
    time.sleep(4)
""",
        "  - {at_s: 3, guest: late, power: define}\n  - {at_s: 3, guest: late, power: start}\n",
    )

    assert [names for _, names in lines] == [["one", "two"]] + [["late", "one", "two"]] * 2
