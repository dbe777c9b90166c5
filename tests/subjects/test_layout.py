from __future__ import annotations

from pathlib import Path

import pytest

from virtlab.errors import SubmissionError
from virtlab.model.scenario import ProgramKind
from virtlab.subjects.layout import find_programs

MAIN = "int main(int argc, char **argv) { %s return 0; }\n"
SCHEDULER = MAIN % "virDomainPinVcpu(0, 0, 0, 0);"
COORDINATOR = MAIN % "virDomainSetMemoryStatsPeriod(0, 1, 0); virDomainSetMemory(0, 0);"
MAKEFILE = "all:\n\tcc x.c\n"


def lay_out(root: Path, *files: tuple[str, str]) -> Path:
    for name, text in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def found(root: Path) -> dict[str, tuple[str, str]]:
    return {
        kind: (str(source.folder.relative_to(root)), source.way)
        for kind, source in find_programs(root).items()
    }


@pytest.mark.parametrize(
    ("cpu", "memory"),
    [
        ("cpu", "memory"),
        ("CPU", "Memory"),
        ("First_Last_p1/cpu", "First_Last_p1/memory"),
        ("a/b/c/CPU", "a/b/c/MEM"),
        ("vcpu_scheduler", "memory_coordinator"),
    ],
)
def test_each_years_folders_are_found(tmp_path: Path, cpu: str, memory: str) -> None:
    lay_out(
        tmp_path,
        (f"{cpu}/vcpu_scheduler.c", SCHEDULER),
        (f"{cpu}/Makefile", MAKEFILE),
        (f"{memory}/memory_coordinator.c", COORDINATOR),
        (f"{memory}/Makefile", MAKEFILE),
    )

    got = found(tmp_path)

    assert got == {"vcpu_scheduler": (cpu, "make"), "memory_coordinator": (memory, "make")}


def test_sources_below_a_makefile_belong_to_it(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        ("cpu/Makefile", MAKEFILE),
        ("cpu/src/main.c", SCHEDULER),
        ("cpu/src/balance/stats.c", "int x;"),
        ("Memory/src/Makefile", MAKEFILE),
        ("Memory/src/mem.cpp", COORDINATOR),
    )

    got = found(tmp_path)

    assert got["vcpu_scheduler"] == ("cpu", "make")
    assert got["memory_coordinator"] == ("Memory/src", "make")


def test_one_makefile_may_build_both(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        ("Makefile", MAKEFILE),
        ("src/vcpu_scheduler.c", SCHEDULER),
        ("src/memory_coordinator.c", COORDINATOR),
    )

    assert found(tmp_path) == {
        "vcpu_scheduler": (".", "make"),
        "memory_coordinator": (".", "make"),
    }


def test_a_makefile_that_make_does_not_find_is_used_and_noted(tmp_path: Path) -> None:
    lay_out(tmp_path, ("cpu/MakeFile", MAKEFILE), ("cpu/vcpu_scheduler.c", SCHEDULER))

    source = find_programs(tmp_path)["vcpu_scheduler"]

    assert source.makefile == "MakeFile"
    assert source.notes == ("make does not look for a file called MakeFile; rename it to Makefile",)


@pytest.mark.parametrize(
    ("name", "text", "kind", "way"),
    [
        ("vcpu_scheduler.c", MAIN, "vcpu_scheduler", "compile"),
        ("solution.c", SCHEDULER, "vcpu_scheduler", "compile"),
        ("solution.c", COORDINATOR, "memory_coordinator", "compile"),
        ("solution.cpp", COORDINATOR, "memory_coordinator", "compile"),
        ("a.py", "dom.pinVcpu(0, (True,))\n", "vcpu_scheduler", "python"),
        ("memory_coordinator.py", "", "memory_coordinator", "python"),
        ("memory-coordinator", "#!/bin/sh\n", "memory_coordinator", "executable"),
    ],
)
def test_one_file_is_known_by_its_name_or_its_calls(
    tmp_path: Path, name: str, text: str, kind: str, way: str
) -> None:
    lay_out(tmp_path, (name, text))

    assert found(tmp_path) == {kind: (".", way)}


@pytest.mark.parametrize("kind", ["vcpu_scheduler", "memory_coordinator"])
def test_a_file_that_tells_nothing_is_what_the_caller_says(
    tmp_path: Path, kind: ProgramKind
) -> None:
    lay_out(tmp_path, ("solution.c", MAIN))

    with pytest.raises(SubmissionError, match="neither a name nor a libvirt call tells"):
        find_programs(tmp_path)
    assert list(find_programs(tmp_path, kind=kind)) == [kind]


def test_a_scheduler_is_no_coordinator_even_where_one_is_asked_for(tmp_path: Path) -> None:
    lay_out(tmp_path, ("cpu/Makefile", MAKEFILE), ("cpu/vcpu_scheduler.c", SCHEDULER))

    assert find_programs(tmp_path, kind="memory_coordinator") == {}


def test_two_mains_in_one_folder_are_compiled_apart(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        ("vcpu_scheduler.c", SCHEDULER),
        ("memory_coordinator.c", COORDINATOR),
        ("shared.c", "int x;"),
    )

    got = find_programs(tmp_path)

    assert [path.name for path in got["vcpu_scheduler"].sources] == ["shared.c", "vcpu_scheduler.c"]
    assert [path.name for path in got["memory_coordinator"].sources] == [
        "memory_coordinator.c",
        "shared.c",
    ]


def test_one_program_alone_leaves_the_other_out(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        ("cpu/Makefile", MAKEFILE),
        ("cpu/vcpu_scheduler.c", SCHEDULER),
        ("memory/Readme.md", "# to do"),
    )

    assert list(find_programs(tmp_path)) == ["vcpu_scheduler"]


def test_no_source_is_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, ("cpu/Readme.md", "# scheduler"), ("memory/logs/1.log", "x"))

    with pytest.raises(SubmissionError, match="there is no source, no Makefile and no program"):
        find_programs(tmp_path)
