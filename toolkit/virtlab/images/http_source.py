"""A mirror over HTTP: small files at once, images in pieces over several connections.

Whether the server serves ranges shows by its answers, mostly that to the first piece. One that does
not sends the whole file, over one connection, and such a download cannot be gone on with.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Final, Self

import httpx

from virtlab import __version__
from virtlab.errors import EnvironmentLackError, InputError, UsageError, VirtlabError
from virtlab.images.pieces import PartialFile
from virtlab.images.source import SMALL_MAX_BYTES, NotThereError, OnBytes, too_large

__all__ = ["HttpSource"]

_CONNECTIONS: Final = 4
_CHUNK: Final = 1 << 18
_TRIES: Final = 6  # for each piece; between them twice as long each time
_PAUSE_S: Final = 0.5
_TELL_S: Final = 0.25
_TIMEOUT: Final = httpx.Timeout(20.0)  # for each answer's next bytes
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_WHOLE: Final = {"Accept-Encoding": "identity"}


class _RangelessError(Exception):
    """The server sends whole files only."""


class _BrokenOffError(Exception):
    """An answer that ended too early, or a server that is busy: it may be tried again."""


class _StoppedError(Exception):
    """Another piece failed, or the user interrupted."""


class HttpSource:
    """Files below a URL."""

    def __init__(self, base: str) -> None:
        """Make a client, which connects when something is asked; `base` ends with a slash.

        Raises:
            UsageError: this is no URL.
        """
        try:
            url = httpx.URL(base)
        except httpx.InvalidURL as err:
            raise UsageError(
                f"--source: this is no URL: {err}",
                fix="such as https://mirror.example.org/releases/",
            ) from err
        # A password is for the server alone: neither for messages, nor for records.
        self._base = str(url.copy_with(userinfo=b""))
        self._client = httpx.Client(
            auth=(url.username, url.password) if url.userinfo else None,
            timeout=_TIMEOUT,
            follow_redirects=True,
            verify=ssl.create_default_context(),  # with the machine's own certificates
            headers={"User-Agent": f"virtlab/{__version__}"},
        )

    def __enter__(self) -> Self:
        """Use it for a while."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Close its connections."""
        self._client.close()

    def url(self, path: str) -> str:
        """Return the file's URL."""
        return self._base + path

    def read(self, path: str) -> bytes:
        """Return a small file; see `Source`."""
        url = self.url(path)
        return self._tried(url, threading.Event(), lambda: self._read(url))

    def _read(self, url: str) -> bytes:
        with self._client.stream("GET", url, headers=_WHOLE) as answer:
            _check(answer, url)
            if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                # Packed bytes may be many more than one can count before they are unpacked.
                raise InputError(
                    f"{url} comes packed, though it was not asked for so.",
                    fix="name another source, or look at the proxy in between",
                )
            found = bytearray()
            for chunk in answer.iter_raw(_CHUNK):
                found += chunk
                if len(found) > SMALL_MAX_BYTES:
                    raise too_large(url)
            return bytes(found)

    def fetch(self, path: str, part: PartialFile, on_bytes: OnBytes) -> None:
        """Bring what a partial file lacks; see `Source`."""
        missing = part.missing()
        if missing:
            _Download(self, self.url(path), part, on_bytes).run(missing)

    @contextmanager
    def asked(self, url: str, first: int, last: int) -> Iterator[httpx.Response]:
        """Give the answer to a question for a range, which may be the whole file."""
        headers = {**_WHOLE, "Range": f"bytes={first}-{last - 1}"}
        with self._client.stream("GET", url, headers=headers) as answer:
            _check(answer, url)
            yield answer

    def _tried(self, url: str, stop: threading.Event, act: Callable[[], bytes]) -> bytes:
        """Return what an act brings, tried again where the network fails it."""
        for tries in range(_TRIES):
            try:
                return act()
            except (httpx.TransportError, _BrokenOffError) as err:
                if tries == _TRIES - 1 or isinstance(err, httpx.ConnectError):
                    raise _unreachable(url, err) from err
            except httpx.HTTPError as err:
                raise _unreachable(url, err) from err
            self.pause(tries, stop)
        raise AssertionError("the last try returns or raises")

    def pause(self, tries: int, stop: threading.Event) -> None:
        """Wait before the next try, twice as long each time."""
        stop.wait(_PAUSE_S * 2**tries)


class _Download:
    """One file on its way, by several threads; this one tells how far it is."""

    def __init__(self, source: HttpSource, url: str, part: PartialFile, on_bytes: OnBytes) -> None:
        self._source = source
        self._url = url
        self._part = part
        self._on_bytes = on_bytes
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._done_bytes = part.done_bytes

    def run(self, missing: list[tuple[int, int]]) -> None:
        pieces = [partial(self._piece, *piece) for piece in missing]
        try:
            self._at_once(pieces[:1])
            self._at_once(pieces[1:])
        except _RangelessError:  # of several servers behind one name any may be such a one
            self._part.restart()
            self._done_bytes = 0
            self._at_once([self._whole])

    def _at_once(self, work: Sequence[Callable[[], None]]) -> None:
        """Have work done by threads, all of which have ended when this returns or raises."""
        self._stop = threading.Event()
        with ThreadPoolExecutor(_CONNECTIONS, "virtlab-download") as pool:
            try:
                self._follow([pool.submit(one) for one in work])
            finally:
                self._stop.set()
                pool.shutdown(cancel_futures=True)

    def _follow(self, work: list[Future[None]]) -> None:
        """Wait for work, and tell how far it is; the first failure ends all."""
        pending = set(work)
        while pending:
            done, pending = wait(pending, timeout=_TELL_S)
            self._on_bytes(self._done_bytes)
            for one in done:
                one.result()

    def _piece(self, first: int, last: int) -> None:
        self._repeated(first, last, self._part_of_piece)
        self._part.note(first)

    def _part_of_piece(self, at: int, last: int) -> Iterator[tuple[int, bytes]]:
        with self._source.asked(self._url, at, last) as answer:
            if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                raise _RangelessError
            found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != at:
                raise _RangelessError
            self._check_size(found[3])
            yield from _placed(answer, at)

    def _whole(self) -> None:
        self._repeated(0, self._part.size_bytes, self._rest_of_whole)
        for first, _last in self._part.missing():
            self._part.note(first)

    def _rest_of_whole(self, at: int, last: int) -> Iterator[tuple[int, bytes]]:
        with self._source.asked(self._url, 0, last) as answer:
            self._check_size(answer.headers.get("Content-Length"))
            for place, chunk in _placed(answer, 0):
                if place + len(chunk) > at:  # what an earlier try brought comes again
                    yield max(place, at), chunk[max(at - place, 0) :]

    def _repeated(
        self, first: int, last: int, ask: Callable[[int, int], Iterator[tuple[int, bytes]]]
    ) -> None:
        """Have a range written, asked for again from where it broke off."""
        at, tries = first, 0
        while True:
            try:
                for place, chunk in ask(at, last):
                    if self._stop.is_set():
                        raise _StoppedError
                    kept = chunk[: last - place]
                    self._part.write(place, kept)
                    at = place + len(kept)
                    with self._lock:
                        self._done_bytes += len(kept)
                    if at >= last:
                        return
                raise _BrokenOffError("it ended too early")
            except (httpx.TransportError, _BrokenOffError) as err:
                tries += 1
                if tries == _TRIES:
                    raise _unreachable(self._url, err) from err
                self._source.pause(tries, self._stop)
                if self._stop.is_set():
                    raise _StoppedError from err

    def _check_size(self, told: str | None) -> None:
        if told is not None and told.isdigit() and int(told) != self._part.size_bytes:
            raise InputError(
                f"{self._url} has {told} bytes where its index says {self._part.size_bytes}.",
                fix="the source is being changed or is damaged: try later, or name another",
            )


def _placed(answer: httpx.Response, first: int) -> Iterator[tuple[int, bytes]]:
    """Yield an answer's pieces with the places where they belong."""
    at = first
    for chunk in answer.iter_raw(_CHUNK):
        yield at, chunk
        at += len(chunk)


def _check(answer: httpx.Response, url: str) -> None:
    """Refuse what is no file.

    Raises:
        NotThereError, InputError, EnvironmentLackError: there is none, or it may not be had.
        _BrokenOffError: it may be there later.
    """
    if any(one.url.scheme == "https" for one in answer.history) and answer.url.scheme != "https":
        raise InputError(
            f"{url} leads from https to {answer.url.scheme}, which anybody may read and change.",
            fix="name another source",
        )
    if answer.is_success:
        return
    status = f"{answer.status_code} {answer.reason_phrase}".strip()
    if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        raise NotThereError(
            f"{url} is not there ({status}).", fix="name the URL above streams/v1/ of a mirror"
        )
    if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise InputError(
            f"{url} is shorter than its index says.",
            fix="the source is being changed or is damaged: try later, or name another",
        )
    if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise _BrokenOffError(status)
    raise EnvironmentLackError(
        f"{url} is refused ({status}).", fix="look at the proxy and the rights that the source asks"
    )


def _unreachable(url: str, err: Exception) -> VirtlabError:
    reason = str(err) or type(err).__name__
    if "CERTIFICATE" in reason:
        fix = "compare this machine's clock (date), and install ca-certificates"
    else:
        fix = "check the network and its proxy (https_proxy), or name a mirror by --source"
    return EnvironmentLackError(f"{url} cannot be read: {reason}", fix=fix)
