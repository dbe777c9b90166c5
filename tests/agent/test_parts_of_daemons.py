"""What daemons read and keep beside their ticks: notes, topologies, places, moments, allowances."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from virtlab.agent.allowance import Allowance
from virtlab.agent.guest_notes import GuestNotes, notes_of, pcpus_of_list
from virtlab.agent.host_topology import topology_of_capabilities
from virtlab.agent.launching import settings_from
from virtlab.agent.metrics import PrometheusMeter, address_of
from virtlab.agent.moments import moment_of, shown, span_of
from virtlab.agent.single import hold_alone
from virtlab.errors import EnvironmentLackError, UsageError
from virtlab.hosts.simulated.driver.descriptions import capabilities_xml
from virtlab.model.topology import Cell, Topology, flat
from virtlab.model.units import NS_PER_S, mib
from virtlab.scenario import find_scenario


def described(inside: str = "", agent: str = "") -> str:
    element = f'<lab:agent xmlns:lab="urn:virtlab:agent:1" {agent}/>' if agent else ""
    return (
        f"<domain><metadata>{element}</metadata>{inside}"
        "<devices><memballoon model='virtio'><stats period='5'/></memballoon></devices></domain>"
    )


@pytest.mark.parametrize(
    ("xml", "notes"),
    [
        (described(), GuestNotes(stats_period_s=5)),
        (
            described(agent='schedule="off" floor-mib="512" shares="2000" pcpus="0-2,^1"'),
            GuestNotes(
                schedule=False,
                floor_kib=mib(512),
                shares=2000,
                pcpus=frozenset({0, 2}),
                stats_period_s=5,
            ),
        ),
        (
            described("<numatune><memory mode='strict' nodeset='1'/></numatune>"),
            GuestNotes(memory_cells=frozenset({1}), stats_period_s=5),
        ),
        (
            described("<memtune><min_guarantee unit='MiB'>300</min_guarantee></memtune>"),
            GuestNotes(floor_kib=mib(300), stats_period_s=5),
        ),
        (
            "<domain><devices><memballoon model='none'/></devices></domain>",
            GuestNotes(has_balloon=False),
        ),
        # A note that cannot be read was meant to keep somebody away.
        (described(agent='schedule="maybe"'), GuestNotes(schedule=False, coordinate=False)),
        (described(agent='pcpus="all"'), GuestNotes(schedule=False, coordinate=False)),
        (described(agent='shares="-1000"'), GuestNotes(schedule=False, coordinate=False)),
        (described(agent='floor-mib="-1"'), GuestNotes(schedule=False, coordinate=False)),
        ("<domain", GuestNotes(schedule=False, coordinate=False)),
    ],
)
def test_notes_are_read_from_a_description(xml: str, notes: GuestNotes) -> None:
    assert notes_of(xml) == notes


def test_lists_of_pcpus_are_as_libvirt_writes_them() -> None:
    assert pcpus_of_list("0-3,6,^2") == frozenset({0, 1, 3, 6})


def test_a_topology_is_read_as_it_was_shown(tmp_path: Path) -> None:
    host = find_scenario("topology-1-near-memory").host

    found = topology_of_capabilities(
        capabilities_xml(host, bytes(16)), host.pcpus, host.memory_kib, tmp_path
    )

    assert (found.cells, found.cores) == (host.layout.cells, host.layout.cores)


def test_the_kernel_tells_how_fast_pcpus_are(tmp_path: Path) -> None:
    host = find_scenario("cpu-1-all-on-one").host
    (tmp_path / "cpu2").mkdir()
    (tmp_path / "cpu2" / "cpu_capacity").write_text("512\n")

    found = topology_of_capabilities(capabilities_xml(host, bytes(16)), 4, 1024, tmp_path)

    assert found.capacity == (1024, 1024, 512, 1024)


def test_pcpus_that_are_offline_keep_the_numbers_of_the_others(tmp_path: Path) -> None:
    host = find_scenario("cpu-1-all-on-one").host
    found = topology_of_capabilities(capabilities_xml(host, bytes(16)), 6, 1024, tmp_path)

    assert found.cells == (Cell((0, 1, 2, 3, 4, 5), host.memory_kib, (10,)),)
    assert len(found.capacity) == 6


def test_what_cannot_be_read_makes_no_difference(tmp_path: Path) -> None:
    assert topology_of_capabilities("<no", 2, 1024, tmp_path) == flat(2, 1024)
    assert isinstance(topology_of_capabilities("<capabilities/>", 2, 1024, tmp_path), Topology)


def test_one_daemon_of_a_kind_serves_a_host(tmp_path: Path) -> None:
    socket = tmp_path / "libvirt-sock"
    with hold_alone("schedule", socket):
        with pytest.raises(EnvironmentLackError, match=f"already \\(process {os.getpid()}\\)"):
            hold_alone("schedule", socket)
        for _ in range(6):  # however often somebody insists
            with pytest.raises(EnvironmentLackError, match="already"):
                hold_alone("schedule", socket)
        hold_alone("coordinate", socket).close()
        hold_alone("schedule", tmp_path / "other").close()

    hold_alone("schedule", socket).close()


def test_no_more_than_so_many_in_any_hour() -> None:
    allowance = Allowance(3)
    allowance.take(0, 2)
    allowance.take(1800 * NS_PER_S, 1)

    assert allowance.left(1800 * NS_PER_S) == 0
    assert allowance.left(3600 * NS_PER_S) == 2
    assert Allowance(None).left(0) is None


NOON = moment_of("2026-03-01T12:00:00", 0)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("03:00", "2026-03-01 03:00:00"),
        ("13:30:10", "2026-02-28 13:30:10"),
        ("90m", "2026-03-01 10:30:00"),
        ("2d", "2026-02-27 12:00:00"),
        ("2026-01-31T03:00", "2026-01-31 03:00:00"),
    ],
)
def test_moments_are_read_as_people_write_them(text: str, meant: str) -> None:
    assert shown(moment_of(text, NOON)) == meant


def test_a_minute_is_as_long_as_it_was_written() -> None:
    assert [span_of(text) for text in ("03:00", "03:00:01", "5m", "2026-01-31T03:00")] == [
        60.0,
        1.0,
        1.0,
        60.0,
    ]


@pytest.mark.parametrize("text", ["25:00", "yesterday", "2026-13-01T00:00", ""])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="that is no moment"):
        moment_of(text, NOON)


def test_settings_are_read_from_texts() -> None:
    assert settings_from(["gain-min=0.1", "x= 2 "]) == {"gain_min": "0.1", "x": "2"}
    with pytest.raises(UsageError, match="--set gain: that sets nothing"):
        settings_from(["gain"])


def test_places_to_listen_are_addresses_and_ports() -> None:
    assert address_of("127.0.0.1:9750") == ("127.0.0.1", 9750)
    assert address_of("[::1]:1") == ("::1", 1)
    assert address_of(":9750") == address_of("9750") == ("127.0.0.1", 9750)
    for text in ("host:9750", "127.0.0.1:0", "127.0.0.1:70000"):
        with pytest.raises(UsageError, match="that is no address and port"):
            address_of(text)


def test_prometheus_reads_the_figures_of_a_daemon(rig: Callable[..., Any]) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = free.getsockname()
    one = rig("cpu-1-all-on-one")
    one.daemon.meter = PrometheusMeter("schedule", place)
    one.run(10.5)

    with urllib.request.urlopen(f"http://{place[0]}:{place[1]}/metrics") as answer:
        text = answer.read().decode()
    assert 'virtlab_ticks_total{daemon="schedule"} 11.0' in text
    assert 'virtlab_changes_total{daemon="schedule"} 6.0' in text
    assert 'virtlab_guests{daemon="schedule"} 8.0' in text
    with pytest.raises(EnvironmentLackError, match="nobody can listen at"):
        PrometheusMeter("schedule", place)


def test_without_the_library_metrics_say_what_to_install() -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from virtlab.agent.metrics import PrometheusMeter\n"
        "try: PrometheusMeter('schedule', ('127.0.0.1', 1))\n"
        "except Exception as error: print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == (
        "--metrics needs prometheus-client\n  fix: pip install 'virtlab[metrics]'\n"
    )
