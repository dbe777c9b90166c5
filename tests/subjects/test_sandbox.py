from __future__ import annotations

import os
from pathlib import Path

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.subjects.launch import Process, run_to_end
from virtlab.subjects.sandbox import (
    Folder,
    Limits,
    Plan,
    Sandbox,
    check_reachable,
    find_sandbox,
)

SUBMISSION = "/submission"


def run(
    sandbox: Sandbox,
    work: Path,
    *argv: str,
    limits: Limits | None = None,
    folders: tuple[Folder, ...] = (),
    env: dict[str, str] | None = None,
    timeout_s: float = 10,
) -> Process:
    plan = Plan(
        argv=argv,
        cwd=work,
        folders=(Folder(work, SUBMISSION), *folders),
        env=env or {},
        limits=limits or Limits(),
    )
    process, timed_out = run_to_end(plan, sandbox, timeout_s)
    assert not timed_out, process.stderr.text()
    return process


def shell(sandbox: Sandbox, work: Path, script: str, *, limits: Limits | None = None) -> str:
    process = run(sandbox, work, "/bin/sh", "-c", script, limits=limits)
    return process.stdout.text() + process.stderr.text()


def test_the_layers_are_what_the_program_meets(sandbox: Sandbox, work: Path) -> None:
    init = shell(sandbox, work, "readlink /proc/1/exe; id -u; ulimit -c; cat /proc/self/cgroup")
    layers = sandbox.layers()

    assert "rlimits" in layers
    assert ("bubblewrap" in layers) == ("bwrap" in init)
    assert any(layer.startswith("weaker: no bubblewrap") for layer in layers) == sandbox.weaker
    assert any("user 65534" in layer for layer in layers) == ("65534" in init.split())
    assert any(layer.startswith("cgroup") for layer in layers) == ("virtlab-" in init)
    assert "0" in init.split()  # no core files


def test_the_program_gets_a_known_set_of_variables_only(
    sandbox: Sandbox, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "not theirs")

    process = run(sandbox, work, "/usr/bin/env", env={"VIRTLAB_X": "1"})

    names = {line.split("=")[0] for line in process.stdout.text().splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        "PATH",
        "HOME",
        "LANG",
        "TZ",
        "PYTHONHASHSEED",
        "PYTHONDONTWRITEBYTECODE",
        "VIRTLAB_X",
    }


def test_what_is_preloaded_meets_the_program_only(sandbox: Sandbox, work: Path) -> None:
    process = run(sandbox, work, "/usr/bin/true", env={"LD_PRELOAD": "/no/such.so"})

    # The loader complains once: neither the shell before the program nor bubblewrap was touched.
    assert process.stderr.text().count("/no/such.so") == 1


def test_the_program_sees_its_folders_where_inside_says(sandbox: Sandbox, work: Path) -> None:
    (work / "given").mkdir()
    (work / "given" / "socket").write_text("here")
    folders = (Folder(work, SUBMISSION), Folder(work / "given", "/run/libvirt"))
    seen = sandbox.inside(work / "given" / "socket", folders[1:])

    process = run(sandbox, work, "/bin/cat", seen, folders=folders[1:])

    assert process.stdout.text() == "here"
    assert (seen == "/run/libvirt/socket") == (not sandbox.weaker)
    with pytest.raises(ValueError, match="is in none of the folders of the plan"):
        sandbox.inside(Path("/elsewhere"), folders)


def test_libvirt_is_in_var_run_too(bubblewrap: Sandbox, work: Path) -> None:
    (work / "libvirt-sock").write_text("here")
    folders = (Folder(work, "/run/libvirt"),)

    process = run(bubblewrap, work, "/bin/cat", "/var/run/libvirt/libvirt-sock", folders=folders)

    assert process.stdout.text() == "here"


def test_nothing_can_be_written_but_tmp(bubblewrap: Sandbox, work: Path) -> None:
    script = (
        "for at in / /usr /etc /run /submission /home /var; do touch $at/x 2>/dev/null "
        "&& echo wrote $at; done; touch /tmp/x && echo tmp; chmod u+w /submission; exit 0"
    )

    got = shell(bubblewrap, work, script)

    assert got.splitlines()[0] == "tmp"
    assert list(work.iterdir()) == []


def test_the_rest_of_the_machine_is_invisible(bubblewrap: Sandbox, work: Path) -> None:
    (work / "theirs").mkdir()
    script = "ls /; ls -d /root /home /proc/[0-9]* /sys /boot 2>/dev/null; cat /etc/passwd"

    got = shell(bubblewrap, work / "theirs", script)

    assert not {"root", "home", "boot", "/root", "/home", "/sys", "/boot"} & set(got.split())
    assert sum(word.startswith("/proc/") for word in got.split()) <= 4
    assert sum(":x:" in word for word in got.split()) <= 3
    assert "theirs" not in shell(bubblewrap, work / "theirs", "ls -R /tmp /submission")


def test_there_is_no_network(bubblewrap: Sandbox, work: Path) -> None:
    script = (
        "import socket\n"
        "for family, address in ((socket.AF_INET, ('127.0.0.1', 22)),"
        " (socket.AF_INET, ('192.0.2.1', 80))):\n"
        "    try: socket.create_connection(address, 1); print('reached', address)\n"
        "    except OSError as error: print(error.strerror)\n"
    )

    got = run(bubblewrap, work, "/usr/bin/python3", "-c", script).stdout.text()

    assert "reached" not in got
    assert "unreachable" in got


def test_other_processes_cannot_be_seen_or_signalled(bubblewrap: Sandbox, work: Path) -> None:
    got = shell(bubblewrap, work, f"kill -0 {os.getpid()} && echo seen")

    assert "No such process" in got


def test_what_the_other_user_may_not_enter_is_refused_with_its_name(tmp_path: Path) -> None:
    sandbox = find_sandbox()
    if sandbox.uid is None:
        pytest.skip("programs run as the same user here")
    private = tmp_path / "private"
    private.mkdir(mode=0o700)

    with pytest.raises(EnvironmentLackError, match=r"who may not enter .*\n  fix: use a work"):
        check_reachable(private / "x", sandbox)


def test_a_folder_handed_over_can_be_written_until_it_is_taken_back(
    sandbox: Sandbox, work: Path
) -> None:
    target = work / "copy"
    target.mkdir()
    script = "echo 1 > made && chmod 4777 made && ln -s /etc/shadow link && ln made twice"
    shadow_before = Path("/etc/shadow").stat()
    plan = Plan(
        argv=("/bin/sh", "-c", script + " && echo 1 > single && chmod 6777 single"),
        cwd=target,
        folders=(Folder(target, "/build", writable=True),),
    )

    sandbox.hand_over(target)
    first, _ = run_to_end(plan, sandbox, 10)
    sandbox.take_back(target)

    assert str(first.exit) == "exit code 0", first.stderr.text()
    assert (target / "single").stat().st_mode & 0o7777 == 0o755
    assert Path("/etc/shadow").stat() == shadow_before
    if sandbox.uid is not None:
        refused = run(sandbox, target, "/bin/sh", "-c", "touch new || echo 2 > single")
        assert str(refused.exit) != "exit code 0"
        assert (target / "made").stat().st_uid == sandbox.uid  # two names: left alone


def test_what_lies_in_memory_beside_tmp_is_bounded_too(bubblewrap: Sandbox, work: Path) -> None:
    fill = "for n in 1 2 3; do head -c 30M /dev/zero; done"

    said = shell(
        bubblewrap,
        work,
        f"touch /dev/file; {{ {fill}; }} >/dev/shm/file; echo x >/dev/null && echo null; "
        "stat -c %s /dev/shm/file",
    )

    assert "touch: cannot touch '/dev/file': Read-only file system" in said
    assert "No space left on device" in said
    assert said.splitlines()[:2] == ["null", str(64 * 1024 * 1024)]
