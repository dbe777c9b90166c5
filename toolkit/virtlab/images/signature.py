"""Signed text from a source: only what a key of the keyring vouches for comes through.

What may come is narrow: one clear-signed text with one signature, and nothing around it. gpgv reads
all else that OpenPGP knows, too, such as compressed messages that take any room, and those whose
file names stand in its status lines; none of that gets as far as gpgv.

gpgv decides whether the signature fits. It ends with 0 for a key that has expired and for a
signature from the future, too; here both are refused, since they mean a stale keyring or a wrong
clock. What it says is read as bytes, since text has more ends of lines and blanks than gpgv knows.

Source: doc/DETAILS of GnuPG (status lines); RFC 9580, section 7 (cleartext signatures).
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from virtlab.errors import EnvironmentLackError, InputError, VirtlabError

__all__ = ["UBUNTU_KEYRING", "Signed", "check_keyring", "day", "unsigned_text", "verified"]

UBUNTU_KEYRING: Final = Path("/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg")
_KEYRING_FIX: Final = (
    "on Ubuntu: sudo apt-get install -y ubuntu-cloudimage-keyring; elsewhere copy the file from "
    "there, or name the keyring of your mirror by --keyring"
)
_TIMEOUT_S: Final = 60
_FUTURE_MAX_S: Final = 3600  # by which two clocks may disagree
_BEGIN: Final = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE: Final = b"-----BEGIN PGP SIGNATURE-----"
_END: Final = b"-----END PGP SIGNATURE-----"
_MARKS: Final = [_BEGIN, _SIGNATURE, _END]
_DASHES: Final = b"-----"  # of a text, lines with a dash are escaped by another one before it
_STATUS: Final = b"[GNUPG:] "
_SPARE_BYTES: Final = 1 << 16  # for status lines; gpgv writes no more than a text's length and this
_ARMOUR: Final = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_FUTURE_KEY: Final = "6"  # the reason of an ERRSIG: a bad public key, as one is from the future

Clock = Callable[[], float]
_Status = dict[str, list[list[str]]]  # for each line of a keyword the words behind it


@dataclass(frozen=True, slots=True)
class Signed:
    """A text that a key of the keyring vouches for."""

    text: bytes
    signed_s: int  # when it was signed, in seconds since 1970


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


def verified(data: bytes, keyring: Path, name: str, clock: Clock = time.time) -> Signed:
    """Return the text that a key of the keyring has signed.

    Args:
        data: a clear-signed text with one signature, and nothing around it.
        keyring: a file of public keys.
        name: by which messages speak of the text.
        clock: seconds since 1970.

    Raises:
        InputError: it is not signed, was changed, or is signed by another key.
        EnvironmentLackError: keyring, gpgv or this machine's clock does not do.
    """
    check_keyring(keyring)
    _refuse_unless_clear(data, name)
    with tempfile.TemporaryDirectory(prefix="virtlab-gpgv-") as scratch:
        text = Path(scratch) / "text"
        code, said = _gpgv(data, keyring, Path(scratch), text, name)
        signed_s = _judged(_status(said), keyring, name, clock())
        if code != 0:
            raise _invalid(name)
        return Signed(text.read_bytes(), signed_s)


def unsigned_text(data: bytes) -> bytes:
    """Return the text of what may be clear-signed, without asking by whom."""
    if not data.startswith(_BEGIN):
        return data
    _head, _, rest = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    text = rest.partition(b"\n" + _SIGNATURE)[0]
    return b"\n".join(line.removeprefix(b"- ") for line in text.split(b"\n"))


def _refuse_unless_clear(data: bytes, name: str) -> None:
    """Refuse what is another thing than one clear-signed text.

    Raises:
        InputError: it is.
    """
    lines = data.strip().split(b"\n")
    marks = [line.rstrip() for line in lines if line.startswith(_DASHES)]
    if _BEGIN not in marks or _SIGNATURE not in marks:
        raise _unsigned(name)
    if marks != _MARKS or [lines[0].rstrip(), lines[-1].rstrip()] != [_BEGIN, _END]:
        raise _several(name)


def _gpgv(data: bytes, keyring: Path, scratch: Path, text: Path, name: str) -> tuple[int, bytes]:
    """Have gpgv write a text to a file; return how it ended, and its status lines.

    Raises:
        EnvironmentLackError: it is not installed, or finds no end.
    """
    status = scratch / "status"
    # A home of its own: the user's keys have no say.
    command = ["gpgv", "--homedir", str(scratch), "--status-fd", "1", "--output", str(text)]
    command += ["--keyring", str(keyring.resolve()), "-"]
    with status.open("wb") as said:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.DEVNULL
            )
        except FileNotFoundError as err:
            raise EnvironmentLackError(
                "gpgv is not installed, so no signature can be checked.",
                fix="sudo apt-get install -y gpgv (Fedora: dnf install gnupg2)",
            ) from err
        with process:
            # It has nothing to write before it is given the first byte.
            most = len(data) + _SPARE_BYTES
            _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, hard))
            try:
                process.communicate(data, timeout=_TIMEOUT_S)
            except subprocess.TimeoutExpired as err:
                process.kill()
                raise EnvironmentLackError(
                    f"{name}: gpgv found no end in {_TIMEOUT_S} s.",
                    fix="look at this machine's load (uptime), and try again",
                ) from err
    return process.returncode, status.read_bytes()


def _status(output: bytes) -> _Status:
    """Return the words of gpgv's status lines by keyword."""
    found: _Status = {}
    for line in output.split(b"\n"):
        if line.startswith(_STATUS):
            words = line.removeprefix(_STATUS).decode(errors="replace").split(" ")
            found.setdefault(words[0], []).append(words[1:])
    return found


def _judged(found: _Status, keyring: Path, name: str, now_s: float) -> int:
    """Return when the text was signed; raise what is wrong with its signature.

    Raises:
        InputError, EnvironmentLackError: see `verified`.
    """
    if "BADSIG" in found:
        raise InputError(
            f"{name}: it was changed after it was signed.",
            fix="try again later or name another source; do not use this one",
        )
    if "NODATA" in found or "NEWSIG" not in found:
        raise _unsigned(name)
    # An error that is none of a signature means that the signature's place holds another text.
    errors = [words[0] for words in found.get("ERROR", []) if words]
    if any(error.startswith("proc_pkt") for error in errors):
        raise _several(name)
    if len(found["NEWSIG"]) > 1 or len(found.get("PLAINTEXT", [])) != 1:
        raise _several(name)
    good, valid = found.get("GOODSIG", []), found.get("VALIDSIG", [])
    if not good or not valid:
        raise _why_not(found, keyring, name, now_s)
    if len(good) > 1 or len(valid) > 1 or not _same_key(good[0], valid[0]):
        raise _invalid(name)
    signed_s = int(valid[0][2])
    if signed_s > now_s + _FUTURE_MAX_S:
        raise _from_the_future(name, signed_s, now_s)
    return signed_s


def _same_key(good: list[str], valid: list[str]) -> bool:
    """Tell whether both lines are of one key: its name is a fingerprint's end, or all of it."""
    return valid[0].endswith(good[0])


def _unsigned(name: str) -> InputError:
    return InputError(
        f"{name}: it is not signed.",
        fix="name a signed source, or say --no-authentication if you trust this one",
    )


def _several(name: str) -> InputError:
    return InputError(
        f"{name}: it is not one signed text with one signature and nothing around it.",
        fix="name another source; of a mirror of your own sign it by gpg --clearsign with one key",
    )


def _invalid(name: str) -> InputError:
    return InputError(f"{name}: its signature is not valid.", fix="name another source")


def _why_not(found: _Status, keyring: Path, name: str, now_s: float) -> VirtlabError:
    if "EXPKEYSIG" in found or "EXPSIG" in found:
        return EnvironmentLackError(
            f"{name}: the key or the signature has expired{_since(found)}; this machine's clock "
            f"says {day(now_s)}.",
            fix="set the clock if it is wrong; else renew the keyring (on Ubuntu: sudo apt-get "
            "install -y ubuntu-cloudimage-keyring), or sign the mirror anew",
        )
    if "REVKEYSIG" in found:
        return InputError(f"{name}: its key was revoked.", fix="name another source")
    if "NO_PUBKEY" in found:
        return InputError(
            f"{name}: it is signed by the key {found['NO_PUBKEY'][0][0]}, which {keyring} does not "
            "have.",
            fix="name the keyring of this source by --keyring",
        )
    errsig = found.get("ERRSIG", [[]])[0]
    if len(errsig) > 5 and errsig[5] == _FUTURE_KEY and float(errsig[4]) > now_s:
        return _from_the_future(name, float(errsig[4]), now_s)
    return _invalid(name)


def _from_the_future(name: str, signed_s: float, now_s: float) -> EnvironmentLackError:
    return EnvironmentLackError(
        f"{name}: it was signed on {day(signed_s)}, and this machine's clock says {day(now_s)}.",
        fix="set the clock: sudo timedatectl set-ntp true, or sudo date --set=...",
    )


def _since(found: _Status) -> str:
    when = found.get("KEYEXPIRED", [[""]])[0][0]
    return f" on {day(float(when))}" if when.isdigit() else ""


def day(seconds: float) -> str:
    """Return a moment as messages name it; `seconds` since 1970."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
