"""`virtlab fidelity` without a host: what a contribution says, a page, and wrong usage."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., "subprocess.CompletedProcess[str]"]
RECORDED = Path(__file__).parents[1] / "fidelity" / "recorded.json"
PAGE = "# A page\n\n<!-- table: begin -->\n<!-- table: end -->\n"


def small(tmp_path: Path) -> Path:
    """Return a file with one recorded run of a real host."""
    data = json.loads(RECORDED.read_text())
    data["runs"] = data["runs"][:1]
    path = tmp_path / "small.json"
    path.write_text(json.dumps(data))
    return path


def test_a_recorded_run_is_compared_and_a_page_written(virtlab: Run, tmp_path: Path) -> None:
    path, page = small(tmp_path), tmp_path / "page.md"
    page.write_text(PAGE)

    done = virtlab("fidelity", "--from", path, "--write", page)

    assert done.returncode in (0, 1), done.stderr  # 1: beyond an aim, which the page tells
    assert "cpu-1-all-on-one-2pcpu" in done.stdout
    assert "CPU share: worst" in done.stdout
    assert "| cpu-1-all-on-one-2pcpu | reference-c |" in page.read_text()
    assert page.read_text().startswith("# A page\n")


def test_json_has_every_vcpu(virtlab: Run, tmp_path: Path) -> None:
    done = virtlab("fidelity", "--from", small(tmp_path), "--json")

    (machine,) = json.loads(done.stdout)["machines"]
    (run,) = machine["runs"]
    assert len({(one["guest"], one["vcpu"]) for one in run["vcpus"]}) == 4
    assert {line["name"] for line in machine["aims"]} >= {"CPU share", "settle time"}
    assert "runs" not in machine["contribution"]


def test_a_page_stays_where_no_run_counts(virtlab: Run, tmp_path: Path) -> None:
    path, page = small(tmp_path), tmp_path / "page.md"
    data = json.loads(path.read_text())
    data["runs"][0]["disturbed"] = "others took 40 %"
    path.write_text(json.dumps(data))
    page.write_text(PAGE)

    done = virtlab("fidelity", "--from", path, "--write", page)

    assert done.returncode == 4
    assert "page.md stays as it is, as no run counts" in done.stderr
    assert page.read_text() == PAGE


def test_reading_and_measuring_are_not_mixed(virtlab: Run, tmp_path: Path) -> None:
    done = virtlab("fidelity", "--from", "a.json", "--share", "b.json")

    assert done.returncode == 2
    assert "--from measures nothing.\n  fix: leave --share" in done.stderr


def test_a_page_without_a_place_is_refused_before_anything_is_done(
    virtlab: Run, tmp_path: Path
) -> None:
    (tmp_path / "page.md").write_text("# A page\n")

    done = virtlab("fidelity", "--write", "page.md")

    assert done.returncode == 3
    assert "page.md has no place for a table." in done.stderr


def test_without_a_host_it_says_how_to_get_one(virtlab: Run, tmp_path: Path) -> None:
    done = virtlab("fidelity", "--uri", f"qemu+unix:///system?socket={tmp_path}/none")

    assert done.returncode == 4
    assert "libvirtd does not answer" in done.stderr
    assert "virtlab host up" in done.stderr
