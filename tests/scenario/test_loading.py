"""Scenario files: what they mean, and what each mistake in them is told as."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtlab.errors import InputError, ScenarioError, UsageError
from virtlab.model.scenario import HostSpec, PinVcpu, SetMemory, StartWorkload
from virtlab.model.timeline import EventRecord
from virtlab.model.topology import Cell
from virtlab.model.units import mib, seconds
from virtlab.model.workload import Duty, MemoryGrowth, Trace, TracePoint
from virtlab.scenario import find_scenario, load_scenario
from virtlab.simulator.host import SimulatedHost


def _neighbour(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_DATA = _neighbour("mistakes")
SOUND: str = _DATA.SOUND
MISTAKES: list[tuple[str, str, list[str]]] = _DATA.MISTAKES


def _written(folder: Path, text: str) -> Path:
    path = folder / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_a_sound_file_becomes_the_models_values(tmp_path: Path) -> None:
    scenario = load_scenario(_written(tmp_path, SOUND))

    assert [guest.name for guest in scenario.guests] == ["web", "db", "mail", "spare"]
    assert scenario.guests[0].affinity == ((0,), (1, 2))
    assert scenario.guests[1].affinity == (None,)
    assert scenario.guests[1].max_memory_kib == 512 * 1024
    assert scenario.events == (
        StartWorkload(0, "web", Duty(0.25, 500_000)),
        StartWorkload(5 * 10**9, "db", MemoryGrowth(16 * 1024, 200 * 1024)),
        SetMemory(9 * 10**9, "web", 400 * 1024),
        SetMemory(9 * 10**9, "db", 400 * 1024),
        PinVcpu(10 * 10**9, "web", 1, (3,)),
    )
    assert scenario.criteria[1].limits == {"settle_intervals": 5.0}


def _with_topology(folder: Path, keys: str) -> HostSpec:
    text = SOUND.replace("memory_mib: 8192", f"memory_mib: 8192, topology: {{{keys}}}", 1)
    return load_scenario(_written(folder, text)).host


def test_cells_that_only_have_a_number_share_the_host_out_evenly(tmp_path: Path) -> None:
    topology = _with_topology(tmp_path, "cells: 2, threads: 2").topology

    assert topology is not None
    assert topology.cells == (Cell((0, 1), mib(4096), (10, 20)), Cell((2, 3), mib(4096), (20, 10)))
    assert topology.cores == ((0, 1), (2, 3))
    assert topology.capacity == (1024,) * 4


def test_a_topology_may_say_everything_itself(tmp_path: Path) -> None:
    cells = (
        "[{pcpus: [0, 2, 3], memory_mib: 6144, distances: [10, 21]}, "
        "{pcpus: [1], memory_mib: 2048, distances: [31, 10]}]"
    )
    topology = _with_topology(
        tmp_path,
        f"cells: {cells}, siblings: [[3, 0]], smt_yield: 1.3, remote_latency: 2, "
        "capacity: [1024, 512, 512, 1024]",
    ).topology

    assert topology is not None
    assert topology.cells[0] == Cell((0, 2, 3), mib(6144), (10, 21))
    assert topology.cells[1].distances == (31, 10)
    assert topology.cell_of() == (0, 1, 0, 0)
    assert topology.cores == ((0, 3), (1,), (2,))
    assert (topology.smt_yield, topology.remote_latency) == (1.3, 2.0)


def test_a_host_without_a_topology_has_one_cell_and_a_thread_a_core(tmp_path: Path) -> None:
    host = load_scenario(_written(tmp_path, SOUND)).host

    assert host.topology is None
    assert host.layout == _with_topology(tmp_path, "sockets: 1").topology


def test_a_cell_must_hold_the_guests_whose_memory_lies_in_it(tmp_path: Path) -> None:
    text = SOUND.replace("memory_mib: 8192", "memory_mib: 8192, topology: {cells: 4}", 1)
    text = text.replace("names: [db, mail]", "names: [db, mail, www, ftp]\n    memory_cell: 3")

    assert _refusal(_written(tmp_path, text)) == (
        "s.yaml:15: guests[1].memory_cell: the guests of cell 3 start with 2048 MiB, "
        "and 1792 are free there.\n"
        "  fix: let some lie in another cell."
    )


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES)
def test_each_mistake_is_told_with_its_line_and_mend(
    tmp_path: Path, old: str, new: str, said: list[str]
) -> None:
    assert old in SOUND

    assert _refusal(_written(tmp_path, SOUND.replace(old, new, 1))).split("\n") == said


def test_all_mistakes_of_a_file_are_told_at_once_in_file_order(tmp_path: Path) -> None:
    text = SOUND
    for old, new in [
        ("titl", "tytl"),
        ("[0, [1, 2]]", "[0, 9]"),
        ("at_s: 10", "at_s: soon"),
        ("guest: db", "guest: dbb"),
        ("host-alive", "host-alife"),
    ]:
        text = text.replace(old, new, 1)

    with pytest.raises(ScenarioError) as caught:
        load_scenario(_written(tmp_path, text))

    assert [(p.line, p.path) for p in caught.value.problems] == [
        (3, "tytle"),
        (12, "guests[0].start_on[1]"),
        (20, "events[0].guest"),
        (22, "events[2].at_s"),
        (25, "criteria[0].name"),
    ]


def test_a_criterion_that_could_never_be_met_is_refused(tmp_path: Path) -> None:
    idle = SOUND.replace("start_load: {rate_mib_s: 16, until_mib: 200}", "set_memory_mib: 400")
    text = idle.replace("name: host-alive", "name: takes-gradually")

    assert _refusal(_written(tmp_path, text)) == (
        "s.yaml:25: criteria[0].name: no guest consumes memory, so takes-gradually could never be "
        "met.\n  fix: start a load with rate_mib_s, or ask for guest-alive and host-alive only."
    )


def test_a_host_may_be_without_guests(tmp_path: Path) -> None:
    head, _, rest = SOUND.partition("guests:\n")
    text = f"{head}guests: []\n{rest[rest.index('run:') :]}"

    assert load_scenario(_written(tmp_path, text)).guests == ()


def test_anchors_and_merge_keys_are_expanded_and_mistakes_in_them_keep_their_line(
    tmp_path: Path,
) -> None:
    text = SOUND.replace("  - name: spare\n", "  - &spare\n    name: spare\n").replace(
        "events:\n", "  - {<<: *spare, name: spare2}\nevents:\n"
    )

    assert load_scenario(_written(tmp_path, text)).guests[-1].name == "spare2"
    wrong = text.replace("running: false", "running: never")
    assert _refusal(_written(tmp_path, wrong)).count("s.yaml:19: guests") == 2


def test_a_bomb_of_anchors_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 9)]

    said = _refusal(_written(tmp_path, "\n".join(lines)))

    assert "more than 20000 values once its anchors are expanded" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "s.yaml:1: the file is empty.\n  fix: write a scenario."),
        (
            b"- a\n",
            "s.yaml:1: a scenario is a mapping of keys, and this is not one.\n"
            "  fix: write it as lines of `key: value`.",
        ),
        (
            b"id: x\nwhy: \xff\n",
            "s.yaml:2: byte 0xff is not UTF-8.\n  fix: save the file as UTF-8.",
        ),
        (
            b"#" * 300_000,
            "s.yaml:1: the file has more than 256 KiB.\n"
            "  fix: keep it short; long series belong into a trace file.",
        ),
    ],
)
def test_what_is_no_scenario_at_all_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)

    assert _refusal(path) == said


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"scenario .*none\.yaml cannot be read: No such file"):
        load_scenario(tmp_path / "none.yaml")


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        find_scenario("cpu-1-all-in-one")

    assert str(caught.value) == (
        "There is no scenario cpu-1-all-in-one, neither shipped nor as a file.\n"
        "  fix: did you mean cpu-1-all-on-one?"
    )


def test_a_trace_is_read_beside_its_scenario(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("time_s,cpu,memory_mib\n0,0.5,100\n2.5,1,\n")
    text = SOUND.replace("{duty: 0.25, period_ms: 0.5}", "{trace: t.csv}")

    scenario = load_scenario(_written(tmp_path, text))

    trace = Trace((TracePoint(0, 0.5, 102_400), TracePoint(2_500_000_000, 1.0, None)))
    assert scenario.events[0] == StartWorkload(0, "web", trace)


def test_mistakes_in_a_trace_are_told_by_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("time_s,cpu\n1,0.5\n1,2\n2\n")
    text = SOUND.replace("{duty: 0.25, period_ms: 0.5}", "{trace: t.csv}")

    assert _refusal(_written(tmp_path, text)) == (
        't.csv:3: cpu: "2" is not a number from 0 to 1.\n  fix: mend the field.\n'
        "t.csv:4: this row has 1 fields and the header has 2.\n"
        "  fix: give one field a column."
    )


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, len(SOUND)), piece=st.text(max_size=6))
def test_any_damage_is_a_problem_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, cut: int, piece: str
) -> None:
    path = tmp_path_factory.mktemp("s") / "s.yaml"
    text = SOUND[:cut] + piece + SOUND[cut:]
    path.write_bytes(text.encode("utf-8", "surrogatepass"))

    try:
        load_scenario(path)
    except ScenarioError as err:
        assert err.problems


def _full_host(memory_mib: int, swap: str = "") -> str:
    host = "{pcpus: 4, memory_mib: 8192}"
    full = SOUND.replace(host, f"{{pcpus: 4, memory_mib: {memory_mib}, used_mib: 1024{swap}}}")
    return full.replace("memory_mib: 512\n  - name: spare", FULL_GUESTS, 1).replace(
        "    max_memory_mib: 2048\n", "    max_memory_mib: 2048\n    cache_mib: 860\n", 1
    )


FULL_GUESTS = "memory_mib: 512\n    cache_mib: 350\n  - name: spare"
HELD_MIB = 64 + 88 + 860 + 2 * (64 + 88 + 350)


def test_a_host_that_would_freeze_at_once_is_refused_and_one_that_just_fits_runs(
    tmp_path: Path,
) -> None:
    least_mib = 1024 + HELD_MIB + 64
    refused = _refusal(_written(tmp_path, _full_host(least_mib - 1)))
    fits = load_scenario(_written(tmp_path, _full_host(least_mib)))
    swaps = load_scenario(_written(tmp_path, _full_host(least_mib - 1, ", swap_mib: 1")))

    assert refused.split("\n") == [
        "s.yaml:6: host.memory_mib: the host freezes at once: it uses 1024 MiB, its guests hold "
        f"{HELD_MIB} as soon as they run, and below 64 it swaps.",
        f"  fix: raise host.memory_mib to {least_mib} or more, give it swap, or shrink the guests.",
    ]
    assert not SimulatedHost(fits).frozen
    assert not SimulatedHost(swaps).frozen


def test_mistakes_on_one_line_are_told_by_the_number_of_their_entry(tmp_path: Path) -> None:
    pcpus = ", ".join(str(pcpu) for pcpu in range(150))
    said = _refusal(_written(tmp_path, SOUND.replace("pcpus: [3]", f"pcpus: [{pcpus}]")))

    told = [line for line in said.split("\n") if line.startswith("s.yaml")]
    assert [line.split(": ")[1] for line in told] == [
        f"events[2].pin.pcpus[{at}]" for at in range(4, 104)
    ]


def test_long_lists_of_pcpus_and_large_merges_are_read(tmp_path: Path) -> None:
    # Both once took a time that grows with the square: 8 s for the merge, 2 s for the list.
    keys = ", ".join(f"a{number}: {{b: 1}}" for number in range(4500))
    merges = ", ".join(["*m"] * 100)
    text = SOUND + f"x: &m {{{keys}}}\ny: {{<<: [{merges}]}}\n"
    many = ", ".join(str(pcpu % 4) for pcpu in range(15_000))

    listed = _refusal(_written(tmp_path, SOUND.replace("pcpus: [3]", f"pcpus: [{many}]")))
    merged = _refusal(_written(tmp_path, text))

    assert "pCPU 0 is listed twice" in listed
    assert merged.startswith("s.yaml:")


def test_merged_mappings_keep_the_lines_of_what_is_in_them(tmp_path: Path) -> None:
    text = SOUND.replace(
        "  - {name: host-alive}\n",
        "  - &first\n    name: stable\n    limits:\n      settle_intervals: -1\n",
    ).replace("  - {name: stable, limits: {settle_intervals: 5}}", "  - {<<: *first, hint: h}")

    said = _refusal(_written(tmp_path, text)).split("\n")

    assert said[0].startswith("s.yaml:28: criteria[0].limits.settle_intervals")
    assert said[2].startswith("s.yaml:28: criteria[1].limits.settle_intervals")


def test_a_load_just_as_large_as_the_guest_has_room_for_reaches_its_size(tmp_path: Path) -> None:
    room_mib = 512 - 64 - 88 - 24
    text = SOUND.replace("until_mib: 200", f"until_mib: {room_mib}").replace(
        "memory_mib: 512\n  - name: spare",
        "memory_mib: 512\n    cache_mib: 170\n  - name: spare",
        1,
    )
    text = text.replace("guests: [web, db], set_memory", "guests: [web], set_memory")
    simulated = SimulatedHost(load_scenario(_written(tmp_path, text)))
    records: list[EventRecord] = []
    simulated.on_event = records.append

    simulated.advance(seconds(60))

    of_memory = [record.kind for record in records if record.guest == "db"]
    assert of_memory == ["load_start", "load_done", "load_end"]
    assert "never reached" in _refusal(
        _written(tmp_path, text.replace(f"until_mib: {room_mib}", f"until_mib: {room_mib + 1}"))
    )
