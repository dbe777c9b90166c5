"""Logging in: what OpenSSH makes of the files that are written for a guest."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from virtlab.errors import UsageError
from virtlab.guests.access import Access, forget_access
from virtlab.guests.definition import Notes

from .conftest import Put

_NOTES = Notes(
    "cloud", "lab", "/home/a b/.ssh/id", "ssh-ed25519 AAAA", "ssh-ed25519 BBBB", "p", "0"
)
_SSH = """#!/bin/sh
for word; do last=$word; done
printf '%s\\n' "$*" >>"{calls}"
cat >/dev/null
{answer}
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIRTLAB_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def settings(access: Access) -> set[str]:
    """Return how OpenSSH's own client reads the configuration."""
    done = subprocess.run(
        ["ssh", "-F", access.write(), "-G", access.name], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines())


def test_one_key_alone_is_offered_and_one_host_key_alone_believed(state: Path) -> None:
    access = Access("aos_vm1", "192.0.2.7", _NOTES)

    found = settings(access)

    assert {
        "hostname 192.0.2.7", "user lab", "identitiesonly yes", "hostkeyalias aos_vm1",
        "identityfile /home/a b/.ssh/id", "stricthostkeychecking true",
        "passwordauthentication no", "globalknownhostsfile /dev/null",
        f"userknownhostsfile {state}/guests/aos_vm1/known_hosts",
    } <= found  # fmt: skip
    assert (state / "guests/aos_vm1/known_hosts").read_text() == "aos_vm1 ssh-ed25519 BBBB\n"


def test_where_only_the_agent_has_the_key_its_public_half_names_it(state: Path) -> None:
    access = Access("aos_vm1", "192.0.2.7", replace(_NOTES, identity=""))

    assert f"identityfile {state}/guests/aos_vm1/login.pub" in settings(access)
    assert (state / "guests/aos_vm1/login.pub").read_text() == "ssh-ed25519 AAAA\n"


def test_a_guest_that_did_not_tell_its_key_is_believed_once(state: Path) -> None:
    access = Access("aos_vm1", "192.0.2.7", replace(_NOTES, host_key=""))

    assert "stricthostkeychecking accept-new" in settings(access)
    assert not (state / "guests/aos_vm1/known_hosts").exists()


def test_a_program_in_the_guest_is_told_from_ssh_itself(put: Put, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    access = Access("aos_vm1", "192.0.2.7", _NOTES)
    access.write()
    denied = "echo 'lab@192.0.2.7: Permission denied (publickey).' >&2; exit 255"

    put("ssh", _SSH.format(calls=calls, answer="echo out; exit 3"))
    ran = access.run(["sh", "-c", "a 'b' c"], 10)
    put("ssh", _SSH.format(calls=calls, answer=denied))
    refused = access.run(["true"], 10)

    assert (ran.code, ran.output, ran.logged_in) == (3, "out\n", True)
    assert not refused.logged_in
    assert refused.said.endswith("Permission denied (publickey).")
    assert (
        calls.read_text()
        .splitlines()[0]
        .endswith("""-o BatchMode=yes aos_vm1 sh -c 'a '"'"'b'"'"' c'""")
    )


def test_what_was_written_goes_with_the_guest(state: Path) -> None:
    Access("aos_vm1", "192.0.2.7", _NOTES).write()

    forget_access("aos_vm1")

    assert not (state / "guests/aos_vm1").exists()


@pytest.mark.parametrize("name", ["..", ".", "", "../other", "a/b", "-rf", "a\n", "a" * 64])
def test_no_folder_is_made_of_what_is_no_guests_name(state: Path, name: str) -> None:
    kept = state / "guests/aos_vm1/ssh_config"
    kept.parent.mkdir(parents=True)
    kept.touch()
    beside = state / "other"
    beside.touch()

    # Below the test's own folder, each of them: a check that fails must not cost more than that.
    with pytest.raises(UsageError, match="a guest's name has letters"):
        forget_access(name)
    with pytest.raises(UsageError, match="a guest's name has letters"):
        Access(name, "192.0.2.7", _NOTES).write()

    assert kept.exists() and beside.exists()
