"""Published traces become scenarios that load, run, and keep the trace's means.

The traces in `traces/` are made up; only their formats are those of the published ones.
"""

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from virtlab.cli.scenarios import app
from virtlab.errors import InputError, ScenarioError, UsageError
from virtlab.model.scenario import Scenario, StartWorkload
from virtlab.model.workload import Trace
from virtlab.scenario.foreign_traces import converted, read_machines
from virtlab.scenario.loading import load_scenario
from virtlab.simulator.host import SimulatedHost

TRACES = Path(__file__).parent / "traces"
BITBRAINS = [TRACES / "bitbrains-1.csv", TRACES / "bitbrains-2.csv"]


def imported(folder: Path, *arguments: str | Path) -> Scenario:
    done = CliRunner().invoke(
        app, ["import", *map(str, arguments), "--out", str(folder)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return load_scenario(folder / "traced.yaml")


def trace_of(scenario: Scenario, guest: str) -> Trace:
    (load,) = [
        event.workload
        for event in scenario.events
        if isinstance(event, StartWorkload) and event.guest == guest
    ]
    assert isinstance(load, Trace)
    return load


def test_planetlab_machines_share_a_host_of_cores_of_three_gigahertz(tmp_path: Path) -> None:
    machines = read_machines([TRACES / "planetlab.csv"], "planetlab")
    scenario = imported(tmp_path, TRACES / "planetlab.csv", "--from", "planetlab", "--samples", 8)

    first = (TRACES / "planetlab.csv").read_text().splitlines()[0].split(",")
    assert [machine.name for machine in machines] == ["vm1", "vm2", "vm3"]
    assert machines[0].shares[0] == pytest.approx(float(first[3]) * float(first[4]) / 300_000)
    assert [guest.name for guest in scenario.guests] == ["vm1", "vm2", "vm3"]
    assert (scenario.host.pcpus, scenario.duration_s) == (4, 80)


def test_each_sample_keeps_its_mean_in_bursts(tmp_path: Path) -> None:
    machines = read_machines([TRACES / "planetlab.csv"], "planetlab", simulation="2")
    scenario = imported(
        tmp_path,
        *(TRACES / "planetlab.csv", "--from", "planetlab", "--simulation", "2"),
        *("--samples", "8", "--step-s", "12"),
    )

    for machine in machines:
        shares = [point.cpu_share for point in trace_of(scenario, machine.name).points]
        for sample, mean in enumerate(machine.shares):
            seconds = shares[12 * sample : 12 * (sample + 1)]
            assert math.fsum(seconds) / 12 == pytest.approx(mean, abs=2e-4)
        assert max(shares) > max(machine.shares)


def test_bitbrains_machines_have_their_cores_and_memory(tmp_path: Path) -> None:
    machines = read_machines(BITBRAINS, "bitbrains")
    scenario = imported(
        tmp_path,
        *(*BITBRAINS, "--from", "bitbrains", "--program", "memory_coordinator"),
        *("--samples", "8", "--step-s", "5"),
    )

    assert [guest.vcpus for guest in scenario.guests] == [1, 2]
    assert [guest.max_memory_kib for guest in scenario.guests] == [2 << 20, 4 << 20]
    for machine in machines:
        points = trace_of(scenario, machine.name).points
        assert machine.memory_mib is not None
        assert (points[0].memory_kib or 0) / 1024 == pytest.approx(
            machine.memory_mib[0] - 122, abs=0.1
        )
    host = SimulatedHost(scenario)
    host.advance(scenario.duration_ns)
    assert host.guests["vm-bitbrains-2"].memory.figures(host.now_ns).consumer_kib > 0


def test_the_same_seed_gives_the_same_files_and_another_one_others() -> None:
    machines = read_machines([TRACES / "planetlab.csv"], "planetlab")

    def files(seed: int) -> dict[str, str]:
        return converted(
            machines, "t", program="vcpu_scheduler", pcpus=4, samples=4, step_s=10, seed=seed
        )

    assert files(1) == files(1)
    assert files(1)["t-vm1.csv"] != files(2)["t-vm1.csv"]


def test_what_is_wrong_with_a_trace_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("1,1,0,2000,50\n1,1,1,2000,much\n1,1\n")
    (tmp_path / "empty.csv").write_text("")

    with pytest.raises(ScenarioError, match=r"bad.csv:2: this row is 1,1,1,2000,much") as refusal:
        read_machines([tmp_path / "bad.csv"], "planetlab")
    assert len(refusal.value.problems) == 2
    with pytest.raises(ScenarioError, match="the header has no column CPU cores"):
        read_machines([TRACES / "planetlab.csv"], "bitbrains")
    with pytest.raises(InputError, match="has no rows"):
        read_machines([tmp_path / "empty.csv"], "planetlab")
    with pytest.raises(UsageError, match="has no simulation 9"):
        read_machines([TRACES / "planetlab.csv"], "planetlab", simulation="9")
    with pytest.raises(UsageError, match="is one file, and 2 are named"):
        read_machines(BITBRAINS, "planetlab")
    with pytest.raises(UsageError, match="tells nothing of memory"):
        converted(
            read_machines([TRACES / "planetlab.csv"], "planetlab"),
            "t",
            program="memory_coordinator",
            pcpus=4,
            samples=2,
            step_s=5,
            seed=1,
        )
