"""The loads that run inside of real guests, run here as ordinary processes."""

import json
import subprocess
from pathlib import Path

import pytest

import virtlab.hosts.real

SOURCE = Path(virtlab.hosts.real.__file__).parent / "guest" / "workload.c"


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("workload") / "workload"
    subprocess.run(["gcc", "-O2", "-Werror", "-o", program, SOURCE, "-lm"], check=True)
    return program


def run(workload: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([workload, *words], capture_output=True, text=True, timeout=60)


def test_a_batch_ends_when_its_work_is_done(workload: Path) -> None:
    done = json.loads(run(workload, "batch", "--work-s", "0.01", "--rate", "1e9").stdout)
    assert (done["load"], done["state"], done["work_s"]) == ("batch", "done", 0.01)


def test_a_loop_reports_what_it_achieved_when_it_is_stopped(workload: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    words = ("duty", "--duty", "0.5", "--rate", "1000000", "--period-ms", "2")
    process = subprocess.Popen([workload, *words, "--report", str(report)])
    while not report.exists():  # the first report comes after a second
        assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=60) == 0
    last = json.loads(report.read_text())
    assert last["state"] == "stopped"
    # Each round sleeps as long as it works, or longer, so there is no more work than sleep.
    assert 0 < last["work_s"] <= last["elapsed_s"]


def test_a_loop_takes_the_rate_that_the_host_leaves_for_it(workload: Path, tmp_path: Path) -> None:
    report, left = tmp_path / "report", tmp_path / "report.rate"
    left.write_text("1000000000000")  # for a load that was here before
    words = ("duty", "--duty", "0.5", "--rate", "1000000", "--period-ms", "2")
    process = subprocess.Popen([workload, *words, "--report", str(report)])
    while not report.exists():
        assert process.poll() is None
    assert not left.exists()
    left.write_text("50000000\n")
    # At the rate that it began with there is no more work than sleep.
    while (last := json.loads(report.read_text()))["work_s"] <= last["elapsed_s"]:
        assert process.poll() is None and last["elapsed_s"] < 60
    process.terminate()
    assert process.wait(timeout=60) == 0


def test_memory_grows_to_its_size_is_held_and_released(workload: Path) -> None:
    done = run(workload, "memory", "--mib-s", "10000", "--until-mib", "24", "--hold-s", "0.01")
    held, released = [json.loads(line) for line in done.stdout.splitlines()]
    assert (held["state"], held["held_mib"]) == ("holding", 24)
    assert (released["state"], released["held_mib"]) == ("released", 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["duty", "--duty", "1.5", "--rate", "1"], "--duty 1.5: give a number from"),
        (["duty", "--duty", "nan", "--rate", "1"], "--duty nan: give a number from"),
        (["memory", "--mib-s", "x"], "--mib-s x: give a number from"),
        (["duty", "--duty", "0.5"], "usage:"),
        (["batch", "--vcpu", "1000", "--work-s", "1", "--rate", "9"], "vCPU 1000: "),
        ([], "usage:"),
    ],
)
def test_bad_options_are_refused_by_name(workload: Path, words: list[str], said: str) -> None:
    done = run(workload, *words)
    assert done.returncode == 2
    assert said in done.stderr
