"""Whose key is taken, and that none is taken with which nobody could log in."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from virtlab.errors import EnvironmentLackError, InputError
from virtlab.guests.keys import Invoker, invoker, login_key, new_host_key


@pytest.fixture(autouse=True)
def no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def who(tmp_path: Path) -> Invoker:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    return Invoker(home, os.geteuid(), os.getegid())


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    socket = tmp_path / "agent"
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", socket], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.readline()  # it says where it listens once it does
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    yield
    process.terminate()
    process.communicate(timeout=10)


def make(path: Path, kind: str = "ed25519", secret: str = "") -> str:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", secret, "-C", "somebody", "-f", path], check=True
    )
    return Path(f"{path}.pub").read_text().strip()


def add(path: Path) -> None:
    subprocess.run(["ssh-add", "-q", path], check=True, stderr=subprocess.DEVNULL)


def test_a_key_in_the_home_is_taken_and_ed25519_before_others(who: Invoker) -> None:
    make(who.home / ".ssh/id_ecdsa", "ecdsa")
    public = make(who.home / ".ssh/zz")

    found = login_key(who=who)

    assert found.public == public
    assert found.identity == who.home / ".ssh/zz"


def test_a_public_key_without_its_other_half_is_passed_over(who: Invoker) -> None:
    make(who.home / ".ssh/a")
    (who.home / ".ssh/a").unlink()
    kept = make(who.home / ".ssh/b", "ecdsa")

    assert login_key(who=who).public == kept


def test_a_public_key_beside_anothers_private_key_is_passed_over(who: Invoker) -> None:
    make(who.home / ".ssh/a")
    other = make(who.home / ".ssh/b")
    (who.home / ".ssh/a.pub").write_text(other + "\n")

    assert login_key(who=who).identity == who.home / ".ssh/b"


def test_an_encrypted_key_counts_only_where_the_agent_holds_it(
    who: Invoker, agent: None, tmp_path: Path
) -> None:
    locked = who.home / ".ssh/id_ed25519"
    public = make(locked, secret="word of mouth")
    with pytest.raises(InputError, match=r"Nobody could log in with .*is encrypted"):
        login_key(locked, who=who)

    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "word of mouth", "-N", "", "-f", locked],
                   check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    add(locked)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "another word", "-f", locked],
                   check=True, stdout=subprocess.DEVNULL)  # fmt: skip

    assert login_key(who=who).public == public


def test_where_only_the_agent_has_a_key_it_is_asked_for_it(
    who: Invoker, agent: None, tmp_path: Path
) -> None:
    public = make(tmp_path / "elsewhere")
    add(tmp_path / "elsewhere")

    found = login_key(who=who)

    assert (found.public, found.identity, found.source) == (public, None, "ssh-agent")


def test_without_any_key_one_is_made_for_whoever_called_and_kept(who: Invoker) -> None:
    made = login_key(who=who)

    assert made.identity == who.home / ".ssh/virtlab_ed25519"
    assert made.identity.stat().st_mode & 0o777 == 0o600
    assert login_key(who=who) == made  # and not another one


def test_a_private_key_whose_public_half_went_is_kept_and_made_whole(who: Invoker) -> None:
    made = login_key(who=who)
    assert made.identity is not None
    private = made.identity.read_bytes()
    Path(f"{made.identity}.pub").unlink()

    again = login_key(who=who)

    assert made.identity.read_bytes() == private  # which opens all guests so far
    assert again.public.split()[:2] == made.public.split()[:2]
    assert not list((who.home / ".ssh").glob(".virtlab-*"))


def test_a_private_key_of_that_name_that_is_locked_is_refused_and_not_replaced(
    who: Invoker,
) -> None:
    path = who.home / ".ssh/virtlab_ed25519"
    make(path, secret="word of mouth")
    private = path.read_bytes()
    Path(f"{path}.pub").unlink()

    with pytest.raises(EnvironmentLackError, match=r"cannot be used to log in[\s\S]*--key"):
        login_key(who=who)

    assert path.read_bytes() == private


def test_a_public_half_that_opens_nothing_gives_way_to_a_new_pair(who: Invoker) -> None:
    made = login_key(who=who)
    assert made.identity is not None
    made.identity.unlink()

    again = login_key(who=who)

    assert again.public.split()[1] != made.public.split()[1]
    assert login_key(made.identity).public == again.public


def test_a_look_makes_no_key(who: Invoker) -> None:
    (who.home / ".ssh").rmdir()

    assert "which is made then" in login_key(who=who, make=False).source

    assert not (who.home / ".ssh").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else under sudo")
def test_under_sudo_it_is_the_users_key_and_not_roots(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")

    found = invoker({"SUDO_UID": str(nobody.pw_uid), "HOME": "/root"})
    assert (found.uid, found.home) == (nobody.pw_uid, Path(nobody.pw_dir))

    made = login_key(who=Invoker(tmp_path, nobody.pw_uid, nobody.pw_gid))
    assert made.identity is not None
    assert {path.stat().st_uid for path in (made.identity, made.identity.parent)} == {nobody.pw_uid}


def test_a_file_that_is_no_key_is_refused_with_how_to_mend_it(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_text("ssh-ed25519 bm90IGEga2V5 me\n")

    with pytest.raises(InputError, match=r"no public key of OpenSSH's[\s\S]*ssh-keygen -y -f"):
        login_key(path)


def test_a_guests_own_key_is_new_each_time() -> None:
    first, second = new_host_key("a"), new_host_key("a")

    assert first.public.startswith("ssh-ed25519 ")
    assert "OPENSSH PRIVATE KEY" in first.private
    assert first.public != second.public
