"""A scenario's loads in the words of the guest's workload program."""

import json
import subprocess
from pathlib import Path

import pytest

import virtlab.hosts.real
from virtlab.hosts.real.loads import cpu_words, growth_words
from virtlab.model.units import KIB_PER_MIB, NS_PER_S
from virtlab.model.workload import Batch, Duty, MemoryGrowth

_SOURCE = Path(virtlab.hosts.real.__file__).parent / "guest" / "workload.c"


def test_each_load_says_what_the_scenario_says() -> None:
    assert cpu_words(Duty(0.21, 500_000), 1, 7e8) == [
        "duty", "--duty", "0.21", "--period-ms", "0.5", "--rate", "700000000", "--vcpu", "1",
    ]  # fmt: skip
    assert cpu_words(Batch(2 * NS_PER_S), 0, 7e8) == [
        "batch", "--work-s", "2", "--rate", "700000000", "--vcpu", "0",
    ]  # fmt: skip
    assert growth_words(MemoryGrowth(16 * KIB_PER_MIB, None)) == [
        "memory", "--mib-s", "16", "--hold-s", "0",
    ]  # fmt: skip
    kept = MemoryGrowth(16 * KIB_PER_MIB, 100 * KIB_PER_MIB, NS_PER_S, then_release=False)
    assert growth_words(kept) == [
        "memory", "--mib-s", "16", "--until-mib", "100", "--hold-s", "1", "--keep",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("workload") / "workload"
    subprocess.run(["gcc", "-O2", "-o", program, _SOURCE, "-lm"], check=True)
    return program


def test_the_workload_program_understands_them(workload: Path) -> None:
    for words in (
        cpu_words(Batch(NS_PER_S // 1000), 0, 1e6),
        growth_words(MemoryGrowth(4096 * KIB_PER_MIB, 8 * KIB_PER_MIB)),
    ):
        done = subprocess.run([workload, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["state"] in ("done", "released")
