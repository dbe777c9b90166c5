"""How call times, bytes, simulated seconds a second and memory grow with the size of a host.

    python -m benchmarks.scale             print the table
    python -m benchmarks.scale --write     write it, with the plot, into docs/explanation

A host of n guests has 4 vCPUs a guest and 20 vCPUs a pCPU, loaded as `crowd` says. The server's
and the client's time are processor time of their processes, kernel included, of the same calls;
what the server spends on simulating meanwhile was measured beforehand and taken off.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.crowd import crowd
from benchmarks.figure import Figure
from virtlab.hosts.simulated.driver.driver import SimulatedDriver
from virtlab.hosts.simulated.driver.events import Subscriptions
from virtlab.hosts.simulated.recorder import Recorder
from virtlab.libvirt_rpc.procedures import BY_NAME
from virtlab.model.units import NS_PER_S
from virtlab.simulator.host import SimulatedHost

SIZES = (10, 100, 1000, 2560, 10_000)
PROMISED = 2560  # guests: 10,240 vCPUs on 512 pCPUs
VCPUS = 4
VCPUS_A_PCPU = 20
STATE_CPU_BALLOON_VCPU = 15
ALL_GROUPS = 0
CALLS = 60
INFO_CALLS = 4000
ROUNDS = 3
_HERE = Path(__file__).parent
_DOCS = _HERE.parent / "docs" / "explanation"


@dataclass(frozen=True)
class Row:
    """One size of host, as measured."""

    guests: int
    vcpus: int
    pcpus: int
    values: int  # of statistics of all groups
    reply_kib: int
    server_ms: float  # groups state, cpu, balloon, vcpu
    client_ms: float
    server_all_ms: float  # all groups
    client_all_ms: float
    info_us: float  # virDomainGetInfo, p50
    simulated_s: float  # in one second of processor time
    recorded_s: float  # the same with the recorder, as a run has it
    unpinned_s: float  # the same where each vCPU may run on every pCPU
    memory_mib: int  # most of the process that simulated


def measure(guests: int) -> Row:
    """Measure one size, in processes of their own."""
    pcpus = pcpus_of(guests)
    alone = _alone(guests, "bare")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for client in ("statistics", "roundtrip"):
            source = _HERE / f"{client}.c"
            subprocess.run(["cc", "-O2", "-o", folder / client, source, "-lvirt"], check=True)
        size = [str(guests), str(VCPUS), str(pcpus)]
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.crowd", *size, str(folder / "sockets")],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            uri = server.stdout.readline().strip()
            ours, theirs, _ = _statistics(server.pid, folder, uri, STATE_CPU_BALLOON_VCPU)
            ours_all, theirs_all, values = _statistics(server.pid, folder, uri, ALL_GROUPS)
            done = subprocess.run(
                [folder / "roundtrip", uri, "info", str(INFO_CALLS)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
        finally:
            server.terminate()
            server.wait()
    return Row(
        guests=guests,
        vcpus=guests * VCPUS,
        pcpus=pcpus,
        values=values,
        reply_kib=int(alone["reply_bytes"]) // 1024,
        server_ms=ours,
        client_ms=theirs,
        server_all_ms=ours_all,
        client_all_ms=theirs_all,
        info_us=int(done.stdout.split()[0]) / 1000,
        simulated_s=alone["simulated_s"],
        recorded_s=_alone(guests, "recorded")["simulated_s"],
        unpinned_s=_alone(guests, "unpinned")["simulated_s"],
        memory_mib=int(alone["memory_mib"]),
    )


def _alone(guests: int, how: str) -> dict[str, float]:
    """Simulate in a process of its own, several times; return the medians."""
    command = [sys.executable, "-m", "benchmarks.scale", "--simulate", str(guests), "--how", how]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(ROUNDS)
    ]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def pcpus_of(guests: int) -> int:
    """Return how many pCPUs carry so many guests."""
    return max(guests * VCPUS // VCPUS_A_PCPU, 2)


def growth() -> list[Figure]:
    """Measure the size that is promised, for `make bench`."""
    row = measure(PROMISED)
    note = f"server {row.server_ms:.1f} ms, client {row.client_ms:.1f} ms"
    everything = f"server {row.server_all_ms:.1f} ms, client {row.client_all_ms:.1f} ms"
    simulated = [
        Figure(f"10,240 vCPUs: {what}", figure, "", budget, aim, more_is_better=True)
        for what, figure, budget, aim in (
            ("simulated s a second", row.simulated_s, 100, 150),
            ("the same, recorded", row.recorded_s, 100, 150),
            ("the same, unpinned", row.unpinned_s, 25, 50),
        )
    ]
    return [
        *simulated,
        Figure("10,240 vCPUs: memory", row.memory_mib, "MiB", 256),
        Figure("10,240 vCPUs: statistics, server of client", row.server_ms / row.client_ms, "",
               0.5, 0.25, note=note),
        Figure("the same, all groups", row.server_all_ms / row.client_all_ms, "",
               0.5, 0.25, note=everything),
    ]  # fmt: skip


def _statistics(pid: int, folder: Path, uri: str, groups: int) -> tuple[float, float, int]:
    """Return the server's and the client's time a call in ms, and the number of values."""
    idle_share = _idle_share(pid)
    client = [folder / "statistics", uri, str(groups)]
    subprocess.run([*client, "3"], check=True, capture_output=True)
    began, ran_ns = time.monotonic_ns(), _ran_ns(pid)
    done = subprocess.run([*client, str(CALLS)], check=True, capture_output=True, text=True)
    ran_ns = _ran_ns(pid) - ran_ns
    ran_ns -= int(idle_share * (time.monotonic_ns() - began))
    *calls, totals = done.stdout.splitlines()
    own = statistics.fmean(int(line.split()[1]) for line in calls)
    return max(ran_ns, 0) / CALLS / 1e6, own / 1e6, int(totals.split()[1])


def _idle_share(pid: int) -> float:
    """Return what share of a processor the server takes while nobody calls."""
    ran_ns, began = _ran_ns(pid), time.monotonic_ns()
    time.sleep(2.0)
    return (_ran_ns(pid) - ran_ns) / (time.monotonic_ns() - began)


def _ran_ns(pid: int) -> int:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def simulate(guests: int, how: str) -> None:
    """Print what one size costs in process: the child of `measure`."""
    seconds = 30 if guests >= 1000 else 300
    pinned = how != "unpinned"
    scenario = crowd(guests, VCPUS, pcpus_of(guests), seconds=seconds + 2, pinned=pinned)
    host = SimulatedHost(scenario)
    mover = Recorder(host, scenario) if how == "recorded" else host
    mover.advance(2 * NS_PER_S)
    began = time.process_time()
    mover.advance((seconds + 2) * NS_PER_S)
    spent = time.process_time() - began
    handlers = SimulatedDriver(host).handlers_for(Subscriptions())
    name = "CONNECT_GET_ALL_DOMAIN_STATS"
    reply = BY_NAME[name].encode_results(handlers[name]([], ALL_GROUPS, 0))
    print(
        json.dumps(
            {
                "simulated_s": seconds / spent,
                "reply_bytes": len(reply),
                "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [
        "| guests | vCPUs | pCPUs | values | reply, KiB | server, ms | client, ms "
        "| server all, ms | client all, ms | GetInfo, us | simulated s/s "
        "| recorded s/s | unpinned s/s | memory, MiB |",
        "|" + "---:|" * 14,
    ]
    for row in rows:
        lines.append(
            f"| {row.guests:,} | {row.vcpus:,} | {row.pcpus:,} | {row.values:,} "
            f"| {row.reply_kib:,} | {row.server_ms:.2f} | {row.client_ms:.2f} "
            f"| {row.server_all_ms:.2f} | {row.client_all_ms:.2f} | {row.info_us:.0f} "
            f"| {row.simulated_s:,.0f} | {row.recorded_s:,.0f} | {row.unpinned_s:,.0f} "
            f"| {row.memory_mib:,} |"
        )
    return "\n".join(lines)


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw the growth as four curves, both axes logarithmic."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "virtlab"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(9, 7), layout="constrained")
    guests = [row.guests for row in rows]
    panels = (
        ("statistics of all guests, one call, ms", ("server_ms", "client_ms")),
        ("virDomainGetInfo, p50, us", ("info_us",)),
        ("simulated seconds a second", ("simulated_s", "recorded_s", "unpinned_s")),
        ("memory of the process, MiB", ("memory_mib",)),
    )
    for axis, (title, columns) in zip(axes.flat, panels, strict=True):
        for column in columns:
            label = column.partition("_")[0]
            axis.loglog(guests, [asdict(row)[column] for row in rows], marker="o", label=label)
        axis.set(title=title, xlabel="guests, 4 vCPUs each")
        axis.grid(visible=True, which="major", alpha=0.4)
        axis.set_ylim(bottom=max(axis.get_ylim()[0] / 2, 0.01), top=axis.get_ylim()[1] * 2)
        if len(columns) > 1:
            axis.legend()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--write", action="store_true", help="write table and plot into the docs")
    parser.add_argument("--simulate", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--how", default="bare", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.simulate:
        simulate(options.simulate, options.how)
        return
    rows = []
    for guests in SIZES:
        print(f"measuring {guests} guests ...", file=sys.stderr)
        rows.append(measure(guests))
    print(table(rows))
    if options.write:
        page = _DOCS / "scale.md"
        head, _, rest = page.read_text().partition(_BEGIN)
        tail = rest.partition(_END)[2]
        page.write_text(f"{head}{_BEGIN}\n{table(rows)}\n{_END}{tail}")
        plot(rows, _DOCS / "scale.svg")


_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"

if __name__ == "__main__":
    main()
