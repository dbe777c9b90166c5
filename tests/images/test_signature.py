"""Only what a key of the keyring has signed comes through."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mirror_lab import Signer

from virtlab.errors import EnvironmentLackError, InputError, VirtlabError
from virtlab.images.signature import check_keyring, unsigned_text, verified

TEXT = b'{"a": 1}\n- x\n-----y\nthe end'
KEYRING_FIX = "on Ubuntu: sudo apt-get install -y ubuntu-cloudimage-keyring"


def refusal(data: bytes, keyring: Path, now_s: float | None = None) -> VirtlabError:
    with pytest.raises(VirtlabError) as caught:
        verified(data, keyring, "index", time.time if now_s is None else lambda: now_s)
    return caught.value


def test_what_was_signed_comes_through_and_nothing_around_it(keys: Signer, keyring: Path) -> None:
    signed = keys.sign(TEXT, "mirror")

    assert verified(b"before\n" + signed + b"behind\n", keyring, "index").rstrip(b"\n") == TEXT
    assert unsigned_text(signed) == TEXT
    assert unsigned_text(TEXT) == TEXT


def test_a_changed_byte_is_found(keys: Signer, keyring: Path) -> None:
    signed = keys.sign(TEXT, "mirror").replace(b'"a": 1', b'"a": 2')

    error = refusal(signed, keyring)

    assert isinstance(error, InputError)
    assert str(error).startswith("index: it was changed after it was signed.\n  fix: ")


def test_a_text_behind_the_signed_one_does_not_come_with_it(keys: Signer, keyring: Path) -> None:
    keys.make("stranger")
    strange = keys.sign(b"evil", "stranger")

    for data in (keys.sign(TEXT, "mirror") + strange, strange + keys.sign(TEXT, "mirror")):
        assert "it is not one signed text" in str(refusal(data, keyring))


def test_a_second_signature_by_an_unknown_key_does_no_harm(keys: Signer, keyring: Path) -> None:
    keys.make("second")

    assert verified(keys.sign(TEXT, "mirror", "second"), keyring, "index").rstrip(b"\n") == TEXT


@pytest.mark.parametrize("data", [TEXT, b"", b"-----BEGIN PGP SIGNED MESSAGE-----\n\nx\n"])
def test_what_is_not_signed_is_refused(keyring: Path, data: bytes) -> None:
    error = refusal(data, keyring)

    assert str(error).startswith("index: it is not signed.")
    assert error.fix == "name a signed source, or say --no-authentication if you trust this one"


def test_a_key_that_the_keyring_lacks_is_named(keys: Signer, keyring: Path, tmp_path: Path) -> None:
    other = keys.export(keys.make("other"), tmp_path / "other.gpg")

    error = refusal(keys.sign(TEXT, "mirror"), other)

    assert f"which {other} does not have" in str(error)
    assert error.fix == "name the keyring of this source by --keyring"


def test_a_keyring_that_does_not_do_is_told_with_what_mends_it(
    keys: Signer, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentLackError, match="is not there") as missing:
        check_keyring(tmp_path / "none.gpg")
    text = keys.export("mirror", tmp_path / "key.asc", text=True)
    with pytest.raises(EnvironmentLackError, match="is text, which gpgv does not take") as armour:
        check_keyring(text)

    assert missing.value.fix is not None and missing.value.fix.startswith(KEYRING_FIX)
    assert armour.value.fix == f"gpg --dearmor < {text} > keyring.gpg, and name that"


def test_an_expired_key_is_told_with_this_machines_date(keys: Signer, tmp_path: Path) -> None:
    keys.make("old", at="20200101T000000", expires="1y")
    keyring = keys.export("old", tmp_path / "old.gpg")

    error = refusal(keys.sign(TEXT, "old", at="20200201T000000"), keyring)

    assert isinstance(error, EnvironmentLackError)
    assert "the key or the signature has expired on 2020-12-31" in str(error)
    assert "this machine's clock says 20" in str(error)


def test_a_signature_from_the_future_means_a_wrong_clock(keys: Signer, keyring: Path) -> None:
    now = datetime(2020, 1, 1, tzinfo=UTC).timestamp()

    error = refusal(keys.sign(TEXT, "mirror", at="21000101T000000"), keyring)
    behind = refusal(keys.sign(TEXT, "mirror"), keyring, now)

    assert "it was signed on 2100-01-01 00:00 UTC, and this machine's clock says 20" in str(error)
    assert "this machine's clock says 2020-01-01 00:00 UTC" in str(behind)
    assert error.fix == "set the clock: sudo timedatectl set-ntp true, or sudo date --set=..."


def test_a_key_from_the_future_means_a_wrong_clock(keys: Signer, tmp_path: Path) -> None:
    keys.make("future", at="21000101T000000")
    keyring = keys.export("future", tmp_path / "future.gpg")

    error = refusal(keys.sign(TEXT, "future", at="21000201T000000"), keyring)

    assert "it was signed on 2100-02-01 00:00 UTC" in str(error)
