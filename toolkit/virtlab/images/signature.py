"""Signed text from a source: only what a key of the keyring vouches for comes through.

gpgv decides whether a signature fits. It ends with 0 for a key that has expired and for a signature
from the future, too; here both are refused, since they mean a stale keyring or a wrong clock.

Source: doc/DETAILS of GnuPG (status lines); RFC 9580, section 7 (cleartext signatures).
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError, InputError, VirtlabError

__all__ = ["UBUNTU_KEYRING", "check_keyring", "unsigned_text", "verified"]

UBUNTU_KEYRING: Final = Path("/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg")
_KEYRING_FIX: Final = (
    "on Ubuntu: sudo apt-get install -y ubuntu-cloudimage-keyring; elsewhere copy the file from "
    "there, or name the keyring of your mirror by --keyring"
)
_TIMEOUT_S: Final = 60
_FUTURE_MAX_S: Final = 3600  # by which two clocks may disagree
_BEGIN: Final = b"-----BEGIN PGP SIGNED MESSAGE-----"
_END: Final = b"-----BEGIN PGP SIGNATURE-----"
_ARMOUR: Final = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_FUTURE_KEY: Final = "6"  # the reason of an ERRSIG: a bad public key, as one is from the future

Clock = Callable[[], float]
_Status = dict[str, list[str]]  # the words behind each keyword


def check_keyring(keyring: Path) -> None:
    """Refuse a keyring that is not there, or that gpgv could not use.

    Raises:
        EnvironmentLackError: it says how to get one.
    """
    try:
        with keyring.open("rb") as file:
            start = file.read(len(_ARMOUR))
    except FileNotFoundError as err:
        raise EnvironmentLackError(
            f"the keyring {keyring} is not there, so nothing can be checked.", fix=_KEYRING_FIX
        ) from err
    except OSError as err:
        raise EnvironmentLackError(
            f"the keyring {keyring} cannot be read: {err.strerror}", fix=_KEYRING_FIX
        ) from err
    if start == _ARMOUR:
        raise EnvironmentLackError(
            f"the keyring {keyring} is text, which gpgv does not take.",
            fix=f"gpg --dearmor < {keyring} > keyring.gpg, and name that",
        )


def verified(data: bytes, keyring: Path, name: str, clock: Clock = time.time) -> bytes:
    """Return the text that a key of the keyring has signed, and nothing of what lies around it.

    Args:
        data: a clear-signed text.
        keyring: a file of public keys.
        name: by which messages speak of the text.
        clock: seconds since 1970.

    Raises:
        InputError: it is not signed, was changed, or is signed by another key.
        EnvironmentLackError: keyring, gpgv or this machine's clock does not do.
    """
    check_keyring(keyring)
    with tempfile.TemporaryDirectory(prefix="virtlab-gpgv-") as scratch:
        text = Path(scratch) / "text"
        # A home of its own: the user's keys have no say.
        command = ["gpgv", "--homedir", scratch, "--status-fd", "1", "--output", str(text)]
        command += ["--keyring", str(keyring.resolve()), "-"]
        try:
            done = subprocess.run(command, input=data, capture_output=True, timeout=_TIMEOUT_S)
        except FileNotFoundError as err:
            raise EnvironmentLackError(
                "gpgv is not installed, so no signature can be checked.",
                fix="sudo apt-get install -y gpgv (Fedora: dnf install gnupg2)",
            ) from err
        _judge(_status(done.stdout), keyring, name, clock())
        return text.read_bytes()


def unsigned_text(data: bytes) -> bytes:
    """Return the text of what may be clear-signed, without asking by whom."""
    if not data.startswith(_BEGIN):
        return data
    _head, _, rest = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    text = rest.partition(b"\n" + _END)[0]
    return b"\n".join(line.removeprefix(b"- ") for line in text.split(b"\n"))


def _status(output: bytes) -> list[_Status]:
    """Return gpgv's status lines: first those of the text, then those of each signature."""
    parts: list[_Status] = [{}]
    for line in output.decode(errors="replace").splitlines():
        mark, *words = line.split()
        if mark != "[GNUPG:]" or not words:
            continue
        if words[0] == "NEWSIG":
            parts.append({})
        parts[-1][words[0]] = words[1:]
    return parts


def _judge(parts: Sequence[_Status], keyring: Path, name: str, now_s: float) -> None:
    """Raise what is wrong with a text's signatures; one good one is enough, and no bad one."""
    _text, *signatures = parts
    if any("BADSIG" in found for found in signatures):
        raise InputError(
            f"{name}: it was changed after it was signed.",
            fix="try again later or name another source; do not use this one",
        )
    if not signatures or any("NODATA" in found for found in parts):
        raise InputError(
            f"{name}: it is not signed.",
            fix="name a signed source, or say --no-authentication if you trust this one",
        )
    # An error that is none of a signature means that another text lies behind the signed one.
    if any(found.get("ERROR", ["keydb"])[0].startswith("proc_pkt") for found in parts):
        raise InputError(f"{name}: it is not one signed text.", fix="name another source")
    good = [found for found in signatures if "GOODSIG" in found and "VALIDSIG" in found]
    if not good:
        raise _why_not(signatures[0], keyring, name, now_s)
    signed_s = min(float(found["VALIDSIG"][2]) for found in good)
    if signed_s > now_s + _FUTURE_MAX_S:
        raise _from_the_future(name, signed_s, now_s)


def _why_not(found: _Status, keyring: Path, name: str, now_s: float) -> VirtlabError:
    if "EXPKEYSIG" in found or "EXPSIG" in found:
        return EnvironmentLackError(
            f"{name}: the key or the signature has expired{_since(found)}; this machine's clock "
            f"says {_day(now_s)}.",
            fix="set the clock if it is wrong; else renew the keyring (on Ubuntu: sudo apt-get "
            "install -y ubuntu-cloudimage-keyring), or sign the mirror anew",
        )
    if "REVKEYSIG" in found:
        return InputError(f"{name}: its key was revoked.", fix="name another source")
    if "NO_PUBKEY" in found:
        return InputError(
            f"{name}: it is signed by the key {found['NO_PUBKEY'][0]}, which {keyring} does not "
            "have.",
            fix="name the keyring of this source by --keyring",
        )
    errsig = found.get("ERRSIG", [])
    if len(errsig) > 5 and errsig[5] == _FUTURE_KEY and float(errsig[4]) > now_s:
        return _from_the_future(name, float(errsig[4]), now_s)
    return InputError(f"{name}: its signature is not valid.", fix="name another source")


def _from_the_future(name: str, signed_s: float, now_s: float) -> EnvironmentLackError:
    return EnvironmentLackError(
        f"{name}: it was signed on {_day(signed_s)}, and this machine's clock says {_day(now_s)}.",
        fix="set the clock: sudo timedatectl set-ntp true, or sudo date --set=...",
    )


def _since(found: _Status) -> str:
    when = found.get("KEYEXPIRED", [""])[0]
    return f" on {_day(float(when))}" if when.isdigit() else ""


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
