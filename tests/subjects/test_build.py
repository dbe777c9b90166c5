from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.subjects import launch
from virtlab.subjects.build import INSIDE, BuildResult, build, first_error
from virtlab.subjects.elf import read_elf
from virtlab.subjects.launch import run_to_end
from virtlab.subjects.layout import find_programs
from virtlab.subjects.sandbox import Folder, Plan, Sandbox, find_sandbox
from virtlab.subjects.trees import remove_tree

HELLO = '#include <stdio.h>\nint main(void) { puts("%s"); return 0; }\n'
MAKEFILE = "vcpu_scheduler: vcpu_scheduler.c\n\tcc -o $@ $^\n"


@pytest.fixture
def root(work: Path) -> Path:
    folder = work / "copy"
    folder.mkdir()
    return folder


def lay_out(root: Path, **files: str) -> None:
    for name, text in files.items():
        suffix = {"Makefile": "", "MakeFile": "", "program": ""}.get(name, ".c")
        (root / f"{name}{suffix}").write_text(text)


def build_scheduler(root: Path, *, timeout_s: float = 30) -> BuildResult:
    source = find_programs(root)["vcpu_scheduler"]
    return build(source, root, find_sandbox(), timeout_s=timeout_s)


def outputs_of_both(root: Path) -> tuple[dict[str, str], dict[str, BuildResult]]:
    """Build both programs, each in a copy of its own, and return what they print."""
    sandbox = find_sandbox()
    outputs, results = {}, {}
    for kind in find_programs(root):
        copy = root.with_name(f"{root.name}-{kind}")
        shutil.copytree(root, copy)
        results[str(kind)] = build(find_programs(copy)[kind], copy, sandbox)
        outputs[str(kind)] = output_of(results[kind], copy, sandbox)
    return outputs, results


def output_of(result: BuildResult, root: Path, sandbox: Sandbox) -> str:
    plan = Plan(result.argv, result.source.folder, (Folder(root, INSIDE),))
    return run_to_end(plan, sandbox, 10)[0].stdout.text()


def elf_for(machine: int) -> bytes:
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0)


def test_make_builds_and_the_program_runs(sandbox: Sandbox, root: Path) -> None:
    lay_out(root, vcpu_scheduler=HELLO % "built", Makefile=MAKEFILE)

    result = build(find_programs(root)["vcpu_scheduler"], root, sandbox)

    assert result.ok, result.log
    assert (result.argv, result.first_error) == (("./vcpu_scheduler",), None)
    assert result.out_of_reach is None
    assert result.log.startswith("$ make\ncc -o vcpu_scheduler vcpu_scheduler.c\n")
    assert output_of(result, root, sandbox) == "built\n"


def test_without_a_makefile_two_programs_of_one_folder_are_compiled(root: Path) -> None:
    lay_out(root, vcpu_scheduler=HELLO % "cpu", memory_coordinator=HELLO % "memory")

    outputs, results = outputs_of_both(root)

    assert outputs == {"vcpu_scheduler": "cpu\n", "memory_coordinator": "memory\n"}
    notes = results["vcpu_scheduler"].notes
    assert notes == ("there is no Makefile; it is built with the compiler directly",)


def test_what_was_built_before_is_removed_so_that_the_source_counts(root: Path) -> None:
    lay_out(root, vcpu_scheduler=HELLO % "from source", Makefile=MAKEFILE)
    sandbox = find_sandbox()
    (root / "vcpu_scheduler").write_bytes(elf_for(183))

    result = build_scheduler(root)

    assert output_of(result, root, sandbox) == "from source\n"
    assert result.notes == ("removed before the build, as the source is graded: vcpu_scheduler",)


def test_source_that_does_not_compile_shows_the_first_error(root: Path) -> None:
    lay_out(root, vcpu_scheduler="#include <local.h>\nint main(void) {}\n", Makefile=MAKEFILE)

    result = build_scheduler(root)

    assert not result.ok
    assert result.first_error == (
        "vcpu_scheduler.c:1:10: fatal error: local.h: No such file or directory"
    )
    assert "compilation terminated" in result.log


def test_a_makefile_that_hangs_is_ended_in_time(root: Path) -> None:
    lay_out(root, vcpu_scheduler=HELLO % "x", Makefile="all:\n\t@trap '' TERM INT; sleep 60\n")

    result = build_scheduler(root, timeout_s=0.3)

    assert (result.ok, result.timed_out) == (False, True)
    assert result.first_error == "the build did not end within 0.3 s, and was ended"
    assert result.duration_s < 5


def test_a_makefile_cannot_write_elsewhere_or_reach_the_network(
    bubblewrap: Sandbox, work: Path, root: Path
) -> None:
    steps = "\techo x > /etc/x || echo x > ../x || ls /root || getent hosts example.org\n"
    lay_out(root, vcpu_scheduler=HELLO % "x", Makefile="all:\n" + steps)

    result = build(find_programs(root)["vcpu_scheduler"], root, bubblewrap)

    assert not result.ok
    assert "Read-only file system" in result.log
    assert sorted(path.name for path in work.iterdir()) == ["copy"]


def test_a_makefile_under_an_odd_name_is_used_and_noted(root: Path) -> None:
    lay_out(root, vcpu_scheduler="", MakeFile="all:\n\tprintf '#!/bin/sh\\n' > vcpu_scheduler\n")

    result = build_scheduler(root)

    assert result.ok, result.log
    assert "rename it to Makefile" in result.notes[0]


@pytest.mark.parametrize(
    ("recipe", "argv"),
    [
        ("printf '#!/bin/sh\\n' > Scheduler", "./Scheduler"),
        ("mkdir -p bin; printf '#!/bin/sh\\n' > bin/sched; cp bin/sched bin/memory", "./bin/sched"),
        ("printf '#!/bin/sh\\n' > VCPU_scheduler; cp VCPU_scheduler cpu2", "./VCPU_scheduler"),
    ],
)
def test_a_product_of_another_name_is_found_and_noted(root: Path, recipe: str, argv: str) -> None:
    lay_out(root, vcpu_scheduler="", Makefile=f"all:\n\t{recipe}\n")

    result = build_scheduler(root)

    assert (result.argv, result.ok) == ((argv,), True)
    assert result.notes == (f"the build made {argv[2:]}; the course asks for vcpu_scheduler",)


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ("true", "the build ended well, but made no program; it should make vcpu_scheduler"),
        (
            "printf '#!/bin/sh\\n' > a; cp a b",
            "the build made several programs, none called vcpu_scheduler: a, b",
        ),
        ("false", "make: *** [Makefile:2: all] Error 1"),
        ("no-such-compiler -o x", "make: *** [Makefile:2: all] Error 127"),
        ("yes", "the build printed more than 8 MiB"),
    ],
)
def test_a_build_that_makes_no_program_says_why(root: Path, recipe: str, why: str) -> None:
    lay_out(root, vcpu_scheduler="", Makefile=f"all:\n\t{recipe}\n")

    result = build_scheduler(root)

    assert (result.ok, result.first_error) == (False, why)


def test_a_program_for_another_machine_is_refused(root: Path) -> None:
    (root / "vcpu_scheduler").write_bytes(elf_for(243))

    result = build_scheduler(root)

    assert not result.ok
    assert "vcpu_scheduler is a program for RISC-V, this machine is " in str(result.first_error)


def test_a_static_program_is_marked(root: Path) -> None:
    lay_out(root, vcpu_scheduler=HELLO % "x", Makefile=MAKEFILE.replace("cc", "cc -static"))

    result = build_scheduler(root)

    assert result.ok
    assert str(result.out_of_reach).startswith("it is linked statically")


def test_what_needs_no_build_is_run_as_it_is(root: Path) -> None:
    (root / "vcpu_scheduler.py").write_text("print('python')\n")
    (root / "memory_coordinator").write_text("#!/bin/sh\necho script\n")

    outputs, results = outputs_of_both(root)

    assert outputs == {"vcpu_scheduler": "python\n", "memory_coordinator": "script\n"}
    assert results["memory_coordinator"].notes == (
        "there is no source; the program is run as it was handed in",
    )


def test_a_link_in_the_products_place_is_not_taken(root: Path) -> None:
    lay_out(root, vcpu_scheduler="", Makefile="all:\n\tln -s /bin/true vcpu_scheduler\n")

    result = build_scheduler(root)

    assert not result.ok


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("a.c: In function 'f':\na.c:3:1: error: x\na.c:9:1: error: y", "a.c:3:1: error: x"),
        (
            "/usr/bin/ld: /tmp/ccX.o: in function `main':\n"
            "/home/a.c:3: undefined reference to `virConnectOpen'\ncollect2: error: ld returned 1",
            "/home/a.c:3: undefined reference to `virConnectOpen'",
        ),
        ("/usr/bin/ld: cannot find -lvirtx: No such file", "cannot find -lvirtx: No such file"),
        ("Makefile:2: *** missing separator.  Stop.", "Makefile:2: *** missing separator.  Stop."),
        ("make: *** No targets.  Stop.", "make: *** No targets.  Stop."),
        ("a.c:1:1: warning: x\nall well", None),
    ],
)
def test_the_first_error_of_a_log_is_found(log: str, line: str | None) -> None:
    assert first_error(log) == line


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"\x7fELF" + b"\xff" * 200, b"#!/bin/sh"])
def test_what_is_no_program_of_the_format_is_told_apart(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)

    header = read_elf(tmp_path / "x")

    assert header is None or not header.runs


@pytest.mark.parametrize(
    ("recipe", "made"),
    [
        ("mkdir -p $$(printf 'd/%.0s' $$(seq 70))", "folders that lie more than 64 deep"),
        ("truncate -s 150M a b c d", "more than 512 MiB of files"),
        ("truncate -s 150M a b c d; sleep 60", "more than 512 MiB of files"),
    ],
)
def test_a_build_that_makes_too_much_has_failed(root: Path, recipe: str, made: str) -> None:
    lay_out(root, vcpu_scheduler=HELLO % "", Makefile=f"{MAKEFILE}\t{recipe}\n")

    result = build_scheduler(root)
    remove_tree(root)

    assert (result.ok, result.first_error) == (False, f"the build made {made}"), result.log
    assert not root.exists()


def test_two_builds_that_fail_alike_say_the_same(root: Path) -> None:
    lay_out(root, vcpu_scheduler="int x = 1;\nint main(void) { return 0; }\n", b="int x = 2;\n")

    errors = [build_scheduler(root).first_error for _ in range(2)]

    assert errors[0] == errors[1] is not None
    assert "multiple definition of `x'" in errors[0]
    assert "/tmp" not in errors[0]


@pytest.mark.parametrize("makefile", [MAKEFILE, None])
def test_a_machine_without_a_compiler_costs_no_program_its_points(
    root: Path, monkeypatch: pytest.MonkeyPatch, makefile: str | None
) -> None:
    monkeypatch.setattr(launch, "ENVIRONMENT", {**launch.ENVIRONMENT, "PATH": "/nowhere"})
    lay_out(root, vcpu_scheduler=HELLO % "", **({"Makefile": makefile} if makefile else {}))

    with pytest.raises(EnvironmentLackError) as raised:
        build_scheduler(root)

    assert str(raised.value) == (
        "this machine cannot build programs: cc is missing\n  fix: apt-get install gcc libc6-dev"
    )
