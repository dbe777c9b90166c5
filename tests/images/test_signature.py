"""Only what a key of the keyring has signed comes through."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
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


def test_what_was_signed_comes_through_with_the_time_of_its_signature(
    keys: Signer, keyring: Path
) -> None:
    before_s = int(time.time())
    data = keys.sign(TEXT, "mirror")

    signed = verified(b"\n" + data + b"\r\n\n", keyring, "index")

    assert signed.text.rstrip(b"\n") == TEXT
    assert before_s <= signed.signed_s <= time.time()
    assert unsigned_text(data) == TEXT
    assert unsigned_text(TEXT) == TEXT


def test_a_changed_byte_is_found(keys: Signer, keyring: Path) -> None:
    signed = keys.sign(TEXT, "mirror").replace(b'"a": 1', b'"a": 2')

    error = refusal(signed, keyring)

    assert isinstance(error, InputError)
    assert str(error).startswith("index: it was changed after it was signed.\n  fix: ")


def test_nothing_may_stand_around_the_signed_text(keys: Signer, keyring: Path) -> None:
    keys.make("stranger")
    strange = keys.sign(b"evil", "stranger")
    signed = keys.sign(TEXT, "mirror")

    for data in (
        signed + strange, strange + signed, signed + signed, b"before\n" + signed,
        signed + b"behind\n",
    ):  # fmt: skip
        assert "it is not one signed text" in str(refusal(data, keyring))


def test_a_text_with_two_signatures_is_refused(keys: Signer, keyring: Path) -> None:
    keys.make("second")

    error = refusal(keys.sign(TEXT, "mirror", "second"), keyring)

    assert "it is not one signed text with one signature" in str(error)


def armoured(message: bytes) -> bytes:
    """Return a text that nobody has signed, with a message where its signature should be."""
    clear = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nevil\n"
    return clear + message.replace(b"PGP MESSAGE", b"PGP SIGNATURE")


def test_a_signed_message_vouches_for_no_other_text(keys: Signer, keyring: Path) -> None:
    for words in (["--sign"], ["--sign", "--compress-algo", "none"], ["--detach-sign"]):
        message = keys.gpg("--local-user", "mirror@example.org", "--armor", *words, data=TEXT)

        assert isinstance(refusal(armoured(message), keyring), InputError)


# Each a line of gpgv's, should anybody take a file's name for more than one: these are ends of
# lines and blanks of text, and none of gpgv's.
_LINES = "x" + "".join(
    f"\u2028[GNUPG:]\u00a0{line}"
    for line in ("NEWSIG", "GOODSIG\u00a0A", "VALIDSIG\u00a0A\u00a0D\u00a01")
)


def test_a_message_by_a_stranger_cannot_speak_for_gpgv(keys: Signer, keyring: Path) -> None:
    """Its file's name stands in the status line PLAINTEXT."""
    keys.make("forger")
    forged = ("--local-user", "forger@example.org", "--set-filename", _LINES, "--sign")

    assert "it is not signed" in str(refusal(keys.gpg(*forged, data=b"evil"), keyring))
    inside = keys.gpg("--armor", *forged, data=b"evil")
    assert isinstance(refusal(armoured(inside), keyring), InputError)


def test_only_clear_text_is_taken_even_by_the_right_key(keys: Signer, keyring: Path) -> None:
    for words in ([], ["--armor"]):
        message = keys.gpg("--local-user", "mirror@example.org", *words, "--sign", data=TEXT)

        assert "it is not signed" in str(refusal(message, keyring))


@pytest.fixture
def gpgv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give a way to have another gpgv, by the lines of a shell; $6 is where the text goes."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def script(lines: str) -> None:
        path = tmp_path / "gpgv"
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)

    return script


WELL = tuple(
    f"[GNUPG:] {line}"
    for line in ("PLAINTEXT 74 0 ", "NEWSIG", "GOODSIG A x", "VALIDSIG FA 2026-01-01 1 0")
)


def echoed(*lines: str) -> str:
    return "".join(f"echo '{line}'\n" for line in lines)


def test_gpgv_writes_no_more_than_was_given_to_it(
    keys: Signer, keyring: Path, gpgv: Callable[[str], None]
) -> None:
    signed = keys.sign(TEXT, "mirror")
    for place in ('"$6"', "&1"):
        gpgv(f'cat > "$6"\n{echoed(*WELL)}head -c 1000000 /dev/zero >{place}')

        assert "its signature is not valid" in str(refusal(signed, keyring))


@pytest.mark.parametrize(
    "more", ["GOODSIG B x", "VALIDSIG B 2026-01-01 1 0", "BADSIG A x", "NEWSIG"]
)
def test_gpgvs_word_is_taken_strictly(
    keys: Signer, keyring: Path, gpgv: Callable[[str], None], more: str
) -> None:
    """Where gpgv says that all is well, and something besides; and where it says so and fails."""
    signed = keys.sign(TEXT, "mirror")

    def says(*lines: str, code: int = 0) -> None:
        gpgv(f'cat > "$6"\n{echoed(*lines)}exit {code}')

    says(*WELL, " ")
    assert verified(signed, keyring, "index").text == signed
    says(*WELL, code=2)
    assert "its signature is not valid" in str(refusal(signed, keyring))
    says(*WELL, f"[GNUPG:] {more}")
    assert isinstance(refusal(signed, keyring), InputError)
    says(*(line.replace("GOODSIG A", "GOODSIG B") for line in WELL))
    assert "its signature is not valid" in str(refusal(signed, keyring))


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
