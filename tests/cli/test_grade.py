"""`virtlab grade`, `run` and `judge` from the shell to the files that they leave."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from virtlab.model.timeline import Timeline
from virtlab.model.verdict import Verdict

ROOT = Path(__file__).parents[2]
SUBMISSIONS = ROOT / "examples" / "submissions"
REFERENCE = SUBMISSIONS / "reference-c"
FLAWED = SUBMISSIONS / "flawed"
VIRTLAB = Path(sys.executable).with_name("virtlab")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def results(folder: Path) -> dict[str, bytes]:
    """Return all that may not differ between two equal gradings."""
    paths = [folder / "verdict.json", *folder.glob("runs/*/timeline.json")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_good_submission_gets_full_marks_and_leaves_its_evidence(
    virtlab: Run, tmp_path: Path
) -> None:
    done = virtlab("grade", REFERENCE)

    assert done.returncode == 0
    assert "16 of 16 points" in done.stdout
    folder = tmp_path / "virtlab-results" / "reference-c"
    verdict = json.loads((folder / "verdict.json").read_text())
    schema = json.loads((ROOT / "docs" / "reference" / "verdict.schema.json").read_text())
    jsonschema.validate(verdict, schema)
    assert (verdict["points"], verdict["points_max"]) == (16, 16)
    assert len(verdict["runs"]) == 11
    run = folder / "runs" / "memory-1-one-consumes-seed-1"
    assert {path.name for path in run.iterdir()} == {
        "timeline.json",
        "monitor.txt",
        "stdout.log",
        "stderr.log",
    }
    assert "Memory (VM: aos_vm1)  Actual [" in (run / "monitor.txt").read_text()
    info = json.loads((folder / "run.json").read_text())
    assert info["builds"]["vcpu_scheduler"]["ok"]
    assert "rlimits" in info["sandbox"]


def test_one_job_and_two_give_the_same_bytes(virtlab: Run, tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        assert virtlab("grade", REFERENCE, "--jobs", jobs, "--out", jobs).returncode == 0

    assert results(tmp_path / "1" / "reference-c") == results(tmp_path / "2" / "reference-c")


def test_judging_again_gives_the_same_verdict_and_runs_nothing(
    virtlab: Run, tmp_path: Path
) -> None:
    submission = SUBMISSIONS / "flawed" / "swaps-for-ever"
    graded = virtlab("grade", submission, "--only", "vcpu_scheduler", "--json")
    judged = virtlab("judge", "virtlab-results/swaps-for-ever", "--json")

    assert graded.returncode == judged.returncode == 1
    first, again = json.loads(graded.stdout), json.loads(judged.stdout)
    assert first["version"] == again["version"] == 1
    assert first["verdicts"] == again["verdicts"]


def test_a_lost_point_comes_with_reason_hint_and_the_command_that_repeats_it(virtlab: Run) -> None:
    done = virtlab("grade", SUBMISSIONS / "flawed" / "repins-on-noise", "--only", "vcpu_scheduler")

    assert done.returncode == 1
    assert "lost: stable" in done.stdout
    assert "hint" in done.stdout
    assert "virtlab run cpu-1-all-on-one repins-on-noise --seed 1" in done.stdout


def test_a_zip_of_the_course_is_graded_like_its_folder(virtlab: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "First_Last_p1.zip", "w") as archive:
        for part in ("cpu/vcpu_scheduler.c", "cpu/Makefile"):
            archive.write(REFERENCE / part, f"First_Last_p1/{part}")

    done = virtlab("run", "cpu-3-balanced", "First_Last_p1.zip", "--json")

    assert done.returncode == 0, done.stderr
    assert [c["status"] for c in json.loads(done.stdout)["criteria"]] == ["passed"] * 3


def test_what_does_not_compile_is_scored_with_the_compilers_first_error(virtlab: Run) -> None:
    done = virtlab("grade", SUBMISSIONS / "flawed" / "does-not-compile", "--only", "vcpu_scheduler")

    assert done.returncode == 1
    assert "local.h: No such file or directory" in " ".join(done.stdout.split())
    assert "0 of 8 points" in done.stdout


def test_output_is_json_alone_and_text_has_no_colour_without_a_terminal(virtlab: Run) -> None:
    as_json = virtlab("run", "cpu-3-balanced", REFERENCE, "--json")
    as_text = virtlab("run", "cpu-3-balanced", REFERENCE)

    assert json.loads(as_json.stdout)["scenario"] == "cpu-3-balanced"
    assert "\x1b[" not in as_text.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["grade", "nothing-here"], 3, "nothing-here: does not exist"),
        (["grade", "empty"], 3, "empty: there is no file in it"),
        (["grade", "notes"], 3, "notes: there is no source, no Makefile and no program in it"),
        (["grade", "slip.zip"], 3, "slip.zip: ../evil.c: leads out of the archive"),
        (["run", "cpu-1-al-on-one", REFERENCE], 2, "did you mean cpu-1-all-on-one?"),
        (["grade", REFERENCE, "--rubric", "fall-2062"], 2, "did you mean fall-2026?"),
        (["grade", REFERENCE, "--seeds", "0"], 2, "--seeds"),
        (["grade", REFERENCE, "--seed", "-1"], 2, "--seed"),
        (["grade", REFERENCE, "--jobs", "none"], 2, "--jobs"),
        (["grade", REFERENCE, "--out", "foreign"], 2, "holds files that are no results of virtlab"),
        (["grade", REFERENCE, "--out", "notes/readme.txt"], 2, "could not be written"),
        (["judge", "notes"], 3, "notes is no folder of results"),
        (["run", "memory-1-one-consumes", "alone"], 3, "there is no memory_coordinator in it"),
        (["run", "broken.yaml", REFERENCE], 3, "broken.yaml:2: "),
    ],
    ids=lambda value: " ".join(map(str, value))[-40:] if isinstance(value, list) else "",
)
def test_bad_input_is_told_where_it_is_and_what_to_do(
    virtlab: Run, tmp_path: Path, arguments: list[str | Path], code: int, message: str
) -> None:
    for name in ("empty", "notes", "foreign/reference-c", "alone"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "notes" / "readme.txt").write_text("nothing to run")
    (tmp_path / "foreign" / "reference-c" / "mine.txt").write_text("do not touch")
    (tmp_path / "alone" / "vcpu_scheduler.c").write_text("int main(void) { return 0; }")
    (tmp_path / "broken.yaml").write_text("schema_version: 1\nid: 7\n")
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        archive.writestr("../evil.c", "x")
    before = sorted(tmp_path.rglob("*"))

    done = virtlab(*arguments)

    said = " ".join(done.stderr.split())
    assert done.returncode == code, done.stderr
    assert message in said or message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before  # nothing half-written


def test_a_full_disk_is_told_and_nothing_is_left(virtlab: Run, tmp_path: Path) -> None:
    def small_files() -> None:
        import resource

        # The kernel's other way of saying that a file cannot grow.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = virtlab("grade", REFERENCE, "--jobs", "1", "--out", "full", preexec_fn=small_files)

    assert done.returncode in (2, 4)
    assert "could not be written" in done.stderr or "could not" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "full").glob("*")) if (tmp_path / "full").exists() else True


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_keeps_what_is_done_and_says_that_it_is_partial(jobs: str, tmp_path: Path) -> None:
    command = [VIRTLAB, "grade", SUBMISSIONS / "reference-python", "--seeds", "200"]
    grading = subprocess.Popen(
        [*command, "--jobs", jobs, "--out", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while len(list(tmp_path.glob("out/.*/new/runs/*/stderr.log"))) < 2:  # so one is taken in
        assert grading.poll() is None
    grading.send_signal(signal.SIGINT)
    grading.send_signal(signal.SIGINT)  # people press it twice
    stdout, stderr = grading.communicate(timeout=60)

    assert grading.returncode == 130, stderr
    assert "Not everything was run" in stdout
    verdict = json.loads((tmp_path / "out" / "reference-python" / "verdict.json").read_text())
    assert verdict["partial"]
    assert not list(tmp_path.glob("out/.*"))


def test_a_class_that_was_cut_short_is_resumed_where_it_was(virtlab: Run, tmp_path: Path) -> None:
    flawed = SUBMISSIONS / "flawed"
    first, second = flawed / "all-on-pcpu-0", SUBMISSIONS / "reference-python"
    options = ("--only", "vcpu_scheduler", "--out", "marks", "--json")
    begun = virtlab("grade", first, *options)
    before = (tmp_path / "marks" / first.name / "run.json").read_bytes()

    resumed = virtlab("grade", first, second, *options, "--resume")
    other = virtlab("grade", first, *options, "--resume", "--seeds", "2")

    assert begun.returncode == resumed.returncode == 1, resumed.stderr
    points = [verdict["points"] for verdict in json.loads(resumed.stdout)["verdicts"]]
    assert points == [json.loads(begun.stdout)["verdicts"][0]["points"], 8]
    assert f"virtlab: {first}: graded before, marks/{first.name}\n" in resumed.stderr
    assert (tmp_path / "marks" / first.name / "run.json").read_bytes() == before
    assert other.returncode == 2
    assert "holds results already" in other.stderr


def test_sanitisers_are_told_of_and_cost_nothing(virtlab: Run, tmp_path: Path) -> None:
    submission = tmp_path / "careless"
    shutil.copytree(REFERENCE / "cpu", submission)
    source = submission / "vcpu_scheduler.c"
    text = source.read_text().replace(
        "if (argc != 2 ||", "if (argc + 0x7fffffff == 9 || argc != 2 ||"
    )
    assert text != source.read_text()
    source.write_text(text)
    options = ["--only", "vcpu_scheduler", "--sanitize", "--json"]

    graded = [virtlab("grade", submission, *options, "--jobs", jobs) for jobs in ("1", "2")]
    judged = virtlab("judge", "virtlab-results/careless", "--json")

    first, second = (json.loads(done.stdout)["verdicts"] for done in graded)
    assert first == second == json.loads(judged.stdout)["verdicts"]
    assert {run["points"] - run["points_max"] for run in first[0]["runs"]} == {0}
    findings = [run["sanitiser"]["findings"] for run in first[0]["runs"]]
    assert {finding["kind"].partition(":")[0] for one in findings for finding in one} == {
        "signed integer overflow"
    }
    assert all(len(one) == 1 for one in findings)
    log = tmp_path / "virtlab-results/careless/runs/cpu-6-idle-seed-1/sanitiser.log"
    assert "runtime error: signed integer overflow" in log.read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["run", "memory-1-one-consumes", "coordinator"],
        ["grade", "coordinator", "--only", "memory_coordinator", "--jobs", "1"],
        ["grade", "coordinator", "--only", "memory_coordinator", "--jobs", "2"],
    ],
)
def test_ctrl_c_ends_a_run_on_the_paced_clock_at_once(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "coordinator").mkdir()
    source = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"
    (tmp_path / "coordinator" / "memory_coordinator.c").write_text(source)
    makefile = "memory_coordinator: memory_coordinator.c\n\t$(CC) -static -o $@ $<\n"
    (tmp_path / "coordinator" / "Makefile").write_text(makefile)
    running = subprocess.Popen(
        [VIRTLAB, *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stderr is not None
    told = running.stderr.readline()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)  # the run alone would take 240 s

    assert re.fullmatch(r"virtlab: memory-\d-[a-z-]+: on the paced clock, 0 of 240 s\n", told)
    assert running.returncode == 130


def test_values_that_travel_are_those_of_the_schema() -> None:
    """Guard the golden rule of verdict.json: nothing in it may differ between two equal runs."""
    names = {name for kind in (Verdict, Timeline) for name in kind.__dataclass_fields__}

    assert not names & {"time", "date", "path", "folder", "machine", "real_s"}


def test_the_command_that_repeats_a_run_names_the_archive_and_works(
    virtlab: Run, tmp_path: Path
) -> None:
    archive = tmp_path / "a b.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(FLAWED / "all-on-pcpu-0" / "vcpu_scheduler.py", "vcpu_scheduler.py")
    told = virtlab("run", "cpu-1-all-on-one", str(archive), "--json")

    command = json.loads(told.stdout)["replay"]
    assert shlex.split(command)[1:] == ["run", "cpu-1-all-on-one", "a b.zip", "--seed", "1"]
    again = virtlab(*shlex.split(command)[1:], "--json")
    assert again.stdout == told.stdout


def test_a_name_that_is_no_pattern_of_files_is_told_as_one_that_is_not_there(virtlab: Run) -> None:
    told = virtlab("run", "a**", str(FLAWED / "all-on-pcpu-0"))

    assert told.returncode in (2, 3)
    assert "Traceback" not in told.stderr
