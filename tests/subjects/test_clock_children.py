"""Children of a program under the virtual clock: started in every way, and never losing it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from clock_lab import Lab

PYTHON = os.path.realpath(sys.executable)
HEAD = (
    "import ctypes, os, subprocess, sys, time\ndef now(): return round(time.monotonic()-100, 3)\n"
)
CASES = {
    "posix_spawn": (
        "child = os.posix_spawn('/bin/sleep', ['sleep', '5'], {})\n"
        "time.sleep(2); print(now()); os.waitpid(child, 0); print(now())",
        "2.0\n5.0\n",
    ),
    "posix_spawnp": (
        "child = os.posix_spawnp('sleep', ['sleep', '5'], os.environ)\n"
        "time.sleep(7); print(now()); print(os.waitpid(child, 0)[1], now())",
        "7.0\n0 7.0\n",
    ),
    "exec chain": (
        "inner = 'exec env -i sh -c \"sleep 2; date +%s\"'\n"
        "os.execlp('env', 'env', '-i', 'sh', '-c', 'sleep 1; ' + inner)",
        "1767225603\n",
    ),
    "cleared environment": (
        "subprocess.run(['sleep', '3'], env={}); print(now())",
        "3.0\n",
    ),
    "other preloads stay": (
        "print(subprocess.run(['sh', '-c', 'sleep 1; echo $LD_PRELOAD'], capture_output=True,"
        " text=True, env={'LD_PRELOAD': '/lib/x86_64-linux-gnu/libm.so.6'}).stdout"
        ".strip().partition(':')[2], now())",
        "/lib/x86_64-linux-gnu/libm.so.6 1.0\n",
    ),
    "nobody there": (
        "for start in (os.execve, os.posix_spawn):\n"
        "    try: start('/no/such', ['x'], {})\n"
        "    except OSError as error: print(error.strerror)\n"
        "time.sleep(1); print(now())",
        "No such file or directory\nNo such file or directory\n1.0\n",
    ),
    "shell": ("os.system('sleep 4; (sleep 2 & wait)'); print(now())", "6.0\n"),
    "pipe": ("print(os.popen('sleep 4; echo done').read().strip(), now())", "done 4.0\n"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_child_runs_in_the_same_virtual_time(lab: Lab, name: str) -> None:
    program, output = CASES[name]

    runs = [lab(PYTHON, "-I", "-c", HEAD + program) for _ in range(2)]

    assert [run.output for run in runs] == [output, output]
    assert runs[0].advanced == runs[1].advanced
    assert runs[0].left == []


@pytest.fixture(scope="module")
def static_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("static")
    (folder / "nothing.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["gcc", "-static", "nothing.c", "-o", "nothing"], cwd=folder, check=True)
    (folder / "script").write_text(f"#! {folder}/nothing -x\n")
    (folder / "script").chmod(0o755)
    return folder / "nothing"


STARTS = {
    "exec": "os.execv(path, ['x'])",
    "exec on the path": "os.environ['PATH'] = os.path.dirname(path); os.execlp('nothing', 'x')",
    "exec of a descriptor": "os.execve(os.open(path, os.O_RDONLY), ['x'], {})",
    "subprocess": "subprocess.run([path])",
    "posix_spawn": "os.waitpid(os.posix_spawn(path, ['x'], {}), 0)",
    "a shell's child": "os.system(path + '; true')",
}


@pytest.mark.parametrize("start", STARTS)
def test_a_static_program_is_told_before_it_starts(
    lab: Lab, start: str, static_program: Path
) -> None:
    run = lab(PYTHON, "-I", "-c", f"{HEAD}path = sys.argv[1]\n{STARTS[start]}", str(static_program))

    told = [(Path(path).name, reach) for path, reach in run.left]
    assert told == [("3" if start == "exec of a descriptor" else "nothing", 1)]


def test_a_script_is_told_as_its_interpreter_is(lab: Lab, static_program: Path) -> None:
    script = static_program.with_name("script")

    run = lab(PYTHON, "-I", "-c", f"{HEAD}subprocess.run(sys.argv[1])", str(script))

    assert run.left == [(str(script), 1)]
