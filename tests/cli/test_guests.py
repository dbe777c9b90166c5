"""`virtlab guests` on a simulated host: what it shows, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
_MARKED = """<domain type='kvm'><name>{name}</name><memory unit='MiB'>512</memory>
<metadata><lab:guest xmlns:lab='urn:virtlab:guest:1' {notes}/></metadata><os><type>hvm</type></os>
</domain>"""
_NOTES = "kind='cloud' login='lab' identity='/k' public_key='a b' host_key='c d' pool='p' asked='0'"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a host with eight strangers, a micro-guest and a cloud guest that is off."""
    command = [
        Path(sys.executable).with_name("virtlab"), "serve", "cpu-1-all-on-one", "--socket", folder
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = process.stdout.readline().strip()
    for name, notes in (("lab_cloud", _NOTES), ("lab_micro", "")):
        path = folder / f"{name}.xml"
        path.write_text(_MARKED.format(name=name, notes=notes))
        subprocess.run(["virsh", "-q", "-c", found, "define", path], check=True)
    yield found
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a host that the tests leave as it is."""
    with served(tmp_path_factory.mktemp("host")) as found:
        yield found


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIRTLAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def test_the_labs_guests_are_listed_and_no_others(virtlab: Run, uri: str) -> None:
    done = virtlab("guests", "list", "--uri", uri, "--json")

    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["guests"]
    assert [(row["name"], row["kind"], row["running"], row["login"]) for row in rows] == [
        ("lab_cloud", "cloud", False, "lab"), ("lab_micro", "micro", False, None),
    ]  # fmt: skip
    assert "lab_cloud            cloud  shut off" in virtlab("guests", "list", "--uri", uri).stdout


@pytest.mark.parametrize(
    ("words", "said", "mend"),
    [
        (("ssh", "none"), "There is no guest none to log in to", "virtlab guests list"),
        (("ssh", "lab_cloud"), "lab_cloud has no address", "virtlab guests wait lab_cloud"),
        (("wait", "none"), "There is no guest none on this host", "virtlab guests create none"),
        (("wait", "lab_micro"), "into which nobody logs in", "virtlab guests list"),
        (("wait", "aos_vm1"), "aos_vm1 was not made by the lab", "virtlab guests list"),
        (("wait", "lab_cloud"), "stopped at stage 'running' after 0 s", "virsh start lab_cloud"),
        (("destroy", "aos_vm1"), "did not make aos_vm1", "virsh undefine aos_vm1"),
        (("create", "new"), "no image of any release for amd64 is kept", "virtlab images sync"),
    ],
)
def test_each_refusal_says_what_and_how_to_mend_it(
    virtlab: Run, uri: str, words: tuple[str, ...], said: str, mend: str
) -> None:
    done = virtlab("guests", words[0], "--uri", uri, *words[1:])

    assert done.returncode == 4
    assert said in done.stderr
    assert mend in done.stderr.split("fix:")[1]


def test_a_name_that_is_taken_is_refused_before_anything_is_made(
    virtlab: Run, uri: str, tmp_path: Path
) -> None:
    (tmp_path / "a.qcow2").write_bytes(b"QFI\xfb")

    done = virtlab("guests", "create", "aos_vm1", "--image", "a.qcow2", "--uri", uri)

    assert done.returncode == 4
    assert "There is a domain aos_vm1 on this host that the lab did not make" in done.stderr


@pytest.mark.parametrize("verb", ["create", "wait", "ssh", "destroy"])
def test_what_is_no_name_is_refused_by_each_command_before_anything_is_touched(
    virtlab: Run, uri: str, tmp_path: Path, verb: str
) -> None:
    victim = tmp_path / "victim" / "file"
    access = tmp_path / "state/guests/lab_other/ssh_config"
    for path in (victim, access):
        path.parent.mkdir(parents=True)
        path.touch()

    # Below the test's own folder, each of them: a check that fails must not cost more than that.
    for name in ("..", ".", str(victim.parent), "../guests", "a/b"):
        names = ("new", name) if verb in ("create", "destroy") else (name,)
        done = virtlab("guests", verb, "--uri", uri, *names)

        assert done.returncode == 2, (name, done.stderr)
        assert "a guest's name has letters" in done.stderr
    assert victim.exists() and access.exists()
    assert not (tmp_path / ".ssh").exists()  # no key was made for it either


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kind", "uvt", "--image", "a.qcow2"), "--kind uvt with --image"),
        (("--kind", "uvt", "--pool", "default"), "--kind uvt with --pool"),
        (("--arch", "arm64"), "guests are x86_64 machines"),
    ],
)
def test_options_that_would_not_be_heeded_are_refused(
    virtlab: Run, uri: str, words: tuple[str, ...], said: str
) -> None:
    done = virtlab("guests", "create", "new", *words, "--uri", uri)

    assert done.returncode == 2
    assert said in done.stderr


def test_sizes_that_cannot_be_are_refused_before_a_key_or_an_image_is_made(
    virtlab: Run, uri: str, tmp_path: Path
) -> None:
    words = ("--image", "debian", "--memory", "128", "--accelerator", "qemu")

    done = virtlab("guests", "create", "new", *words, "--uri", uri)

    assert done.returncode == 2
    assert "128 MiB are too few" in done.stderr
    assert not (tmp_path / ".ssh").exists()


def test_a_program_in_a_guest_keeps_its_own_options(virtlab: Run, uri: str) -> None:
    for option in ("--help", "--uri"):
        done = virtlab("guests", "ssh", "--uri", uri, "lab_cloud", "program", option)

        assert done.returncode == 4, done.stdout
        assert "lab_cloud has no address" in done.stderr


def test_a_check_makes_no_key(virtlab: Run, uri: str, tmp_path: Path) -> None:
    (tmp_path / "a.qcow2").write_bytes(b"QFI\xfb")
    words = ("--image", str(tmp_path / "a.qcow2"), "--accelerator", "qemu", "--check")

    done = virtlab("guests", "create", "new", *words, "--uri", uri)

    assert (done.returncode, done.stdout) == (0, "new would be made.\n"), done.stderr
    assert not (tmp_path / ".ssh").exists()


def test_a_key_that_is_none_is_bad_input(virtlab: Run, uri: str, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text("no key\n")

    done = virtlab("guests", "create", "new", "--key", "key.pub", "--uri", uri)

    assert done.returncode == 3
    assert "key.pub is no public key of OpenSSH's" in done.stderr


def test_where_no_libvirtd_answers_it_is_said_how_to_have_one(virtlab: Run, tmp_path: Path) -> None:
    done = virtlab("guests", "list", "--uri", f"qemu+unix:///system?socket={tmp_path}/none")

    assert done.returncode == 4
    assert "fix: virtlab host up" in done.stderr


def test_host_clean_knows_guests_with_a_system_of_their_own(virtlab: Run, tmp_path: Path) -> None:
    folder = tmp_path / "host"
    folder.mkdir()
    with served(folder) as uri:
        checked = virtlab("host", "clean", "--check", "--uri", uri)
        assert checked.stdout.splitlines() == ["would remove lab_cloud", "would remove lab_micro"]

        cleaned = virtlab("host", "clean", "--uri", uri)

        assert cleaned.stdout.splitlines() == ["removed lab_cloud", "removed lab_micro"]
        left = virtlab("guests", "list", "--uri", uri, "--json").stdout
        assert json.loads(left)["guests"] == []
        gone = virtlab("guests", "destroy", "lab_cloud", "--uri", uri)
        assert (gone.returncode, gone.stdout) == (0, "lab_cloud was not there\n")
