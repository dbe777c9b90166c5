from __future__ import annotations

import errno
import json
from dataclasses import asdict, replace
from pathlib import Path

import jsonschema
import pytest
from marked_runs import good_memory, submission
from timeline_builder import CpuLab

from virtlab.errors import EnvironmentLackError, InputError, UsageError
from virtlab.grading.results_folder import check_target
from virtlab.grading.store import (
    read_results,
    read_timeline,
    read_verdict,
    verdict_json,
    verdict_schema,
    write_results,
)
from virtlab.model.timeline import Timeline

_SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "verdict.schema.json"


def _write(path: Path, *, overwrite: bool = False) -> None:
    with write_results(path, overwrite=overwrite) as results:
        results.verdict(submission())
        results.run_info({"virtlab": "0.1.0", "wall_s": 1.5})
        results.build_log("vcpu_scheduler", "gcc\n")
        for timeline in (CpuLab().timeline(), good_memory().timeline()):
            results.run(timeline, monitor="-\n", stdout=b"\xff", stderr=b"")


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    _write(tmp_path / "out")

    results = read_results(tmp_path / "out")

    assert results.verdict == submission()
    assert results.info["virtlab"] == "0.1.0"
    timelines = [run.timeline for run in results.runs]
    assert timelines == [CpuLab().timeline(), good_memory().timeline()]
    assert [run.folder.name for run in results.runs] == ["cpu-made-seed-7", "memory-made-seed-7"]
    assert (results.runs[0].folder / "stdout.log").read_bytes() == b"\xff"
    assert (tmp_path / "out/build/vcpu_scheduler.log").read_bytes() == b"gcc\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_equal_verdicts_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _write(tmp_path / name)

    assert (tmp_path / "a/verdict.json").read_bytes() == (tmp_path / "b/verdict.json").read_bytes()


def test_the_published_schema_is_the_one_in_use_and_accepts_a_verdict() -> None:
    published = json.loads(_SCHEMA.read_text())

    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.Draft202012Validator(published).validate(json.loads(verdict_json(submission())))
    assert published == verdict_schema()


def test_a_folder_with_other_files_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")

    with pytest.raises(UsageError) as caught:
        _write(tmp_path, overwrite=True)

    assert str(caught.value) == (
        f"{tmp_path} holds files that are no results of virtlab.\n"
        "  fix: name a new or an empty folder."
    )


def test_older_results_are_replaced_only_when_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _write(out)
    (out / "old").write_text("x")

    with pytest.raises(UsageError, match="holds results already") as caught:
        check_target(out)
    _write(out, overwrite=True)

    assert "--overwrite" in str(caught.value)
    assert not (out / "old").exists()
    assert list(tmp_path.iterdir()) == [out]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    _write(tmp_path / "out")
    (tmp_path / "empty").mkdir()

    _write(tmp_path / "empty")

    assert (tmp_path / "empty/verdict.json").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")

    with pytest.raises(UsageError, match=r"out is a file\."):
        check_target(tmp_path / "out")


def test_a_full_disk_leaves_nothing_half_written_and_keeps_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    _write(out)
    before = (out / "run.json").read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)  # a real full disk needs root
    with pytest.raises(EnvironmentLackError) as caught:
        _write(out, overwrite=True)

    assert str(caught.value) == (
        f"The disk is full: the results in {out} could not be written.\n"
        "  fix: free some space, or name a folder on another disk."
    )
    assert (out / "run.json").read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="could not be written: "):
        _write(tmp_path / "file" / "out")


def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), write_results(tmp_path / "out") as results:
        results.verdict(submission())
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []


# --- broken files


def _stored(path: Path, timeline: Timeline) -> Path:
    path.write_text(timeline.to_json())
    return path


def test_a_broken_timeline_is_refused_with_the_place(tmp_path: Path) -> None:
    data = asdict(CpuLab().timeline())
    data["pcpus"] = "many"
    del data["seed"]
    file = tmp_path / "timeline.json"
    file.write_text(json.dumps(data))

    with pytest.raises(InputError) as caught:
        read_timeline(file)

    assert str(caught.value) == (
        f"{file} is no timeline:\n"
        "  seed: Field required\n"
        "  pcpus: Input should be a valid integer, unable to parse string as an integer\n"
        "  fix: run it again; these files are not meant to be edited."
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is no timeline:\n  it is no JSON: "),
        (b"\xff\xfe", "is no timeline:\n  it is no JSON: "),
        (b"[]", "is no timeline:\n  the file: "),
        (b'{"version": 9}', "a timeline of version 9; this virtlab reads version 1."),
    ],
)
def test_what_is_no_timeline_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "timeline.json"
    file.write_bytes(content)

    with pytest.raises(InputError) as caught:
        read_timeline(file)

    assert message in str(caught.value)


def test_columns_of_unequal_length_are_refused(tmp_path: Path) -> None:
    short = replace(CpuLab().timeline(), host_free_kib=(1, 2))

    with pytest.raises(InputError, match="host_free_kib: 2 entries for 31 moments"):
        read_timeline(_stored(tmp_path / "timeline.json", short))


def test_missing_files_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file or directory"):
        read_verdict(tmp_path / "verdict.json")
    with pytest.raises(InputError, match="is no folder of results"):
        read_results(tmp_path)
