"""A simplestreams mirror of the tests' own: signed, served on loopback, and broken on demand.

As a program it makes one in a folder: FOLDER/mirror with an image of noble, and FOLDER/mirror.gpg.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

INDEX = "streams/v1/index"
PRODUCTS = "streams/v1/com.ubuntu.cloud:released:download"
_CONTENT = "com.ubuntu.cloud:released:download"


class Signer:
    """Keys in a GnuPG home of their own."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def make(self, name: str, *, at: str | None = None, expires: str = "never") -> str:
        """Make a key, as if it were the moment `at` (such as 20200101T000000); return its name."""
        self.gpg("--quick-generate-key", f"{name} <{name}@example.org>", "ed25519", "sign",
                  expires, at=at)  # fmt: skip
        return name

    def export(self, name: str, path: Path, *, text: bool = False) -> Path:
        """Write a key's public part."""
        words = ["--armor"] if text else []
        path.write_bytes(self.gpg(*words, "--export", f"{name}@example.org"))
        return path

    def sign(self, text: bytes, *names: str, at: str | None = None) -> bytes:
        """Return a text clear-signed by keys."""
        users = [word for name in names for word in ("--local-user", f"{name}@example.org")]
        return self.gpg(*users, "--clearsign", "--output", "-", "-", at=at, data=text)

    def gpg(self, *words: str, at: str | None = None, data: bytes = b"") -> bytes:
        """Return what gpg brings."""
        command = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
        if at is not None:
            command += ["--faked-system-time", at]
        command += ["--homedir", str(self._home), *words]
        return subprocess.run(
            command, input=data, capture_output=True, check=True, timeout=60
        ).stdout


@contextmanager
def signer() -> Iterator[Signer]:
    """Give keys; their home has a short path, as a socket lies in it."""
    home = Path(tempfile.mkdtemp(prefix="vl-gpg-"))
    try:
        yield Signer(home)
    finally:
        words = ["gpgconf", "--homedir", str(home), "--kill", "all"]
        subprocess.run(words, capture_output=True, timeout=60)
        shutil.rmtree(home, ignore_errors=True)


def random_image(path: Path, size_mib: int, seed: int = 1) -> Path:
    """Make a qcow2 that holds this much of what cannot be compressed."""
    raw = path.with_suffix(".raw")
    raw.write_bytes(random.Random(seed).randbytes(size_mib << 20))
    command = ["qemu-img", "convert", "-q", "-O", "qcow2", str(raw), str(path)]
    subprocess.run(command, check=True, timeout=60)
    raw.unlink()
    return path


@dataclass
class Mirror:
    """A mirror's folder; what was added is there once it is published."""

    folder: Path
    signer: Signer
    products: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(
        self, image: Path, release: str = "noble", number: str = "24.04",
        version: str = "20260101", *, arch: str = "amd64", lts: bool = True,
        aliases: str = "", **item: object,
    ) -> None:  # fmt: skip
        """Add a version of an image; `item` are what the index is to say of it instead."""
        path = f"server/releases/{release}/release-{version}/ubuntu-{number}-{arch}.img"
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, file)
        product = self.products.setdefault(
            f"com.ubuntu.cloud:server:{number}:{arch}",
            {
                "arch": arch, "os": "ubuntu", "release": release, "version": number,
                "release_title": f"{number} LTS" if lts else number, "supported": True,
                "aliases": aliases or f"{number},{release}", "versions": {},
            },
        )  # fmt: skip
        said: dict[str, object] = {
            "ftype": "disk1.img", "path": path, "size": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), **item,
        }  # fmt: skip
        versions = product["versions"]
        assert isinstance(versions, dict)
        versions[version] = {
            "label": "release", "pubname": f"ubuntu-{release}-{number}-{arch}-server-{version}",
            "items": {"disk1.img": said, "manifest": {"ftype": "manifest", "path": "m", "size": 1}},
        }  # fmt: skip

    def publish(self, *keys: str, at: str | None = None) -> None:
        """Write index and products, unsigned and signed."""
        products = {
            "format": "products:1.0", "datatype": "image-downloads", "content_id": _CONTENT,
            "products": self.products,
        }  # fmt: skip
        self._write(PRODUCTS, products, keys, at)
        for ending in (".json", ".sjson"):
            entry = {
                "datatype": "image-downloads", "format": "products:1.0",
                "path": PRODUCTS + ending, "products": sorted(self.products),
            }  # fmt: skip
            other = {"datatype": "image-ids", "format": "products:1.0", "path": "aws.json"}
            index = {"format": "index:1.0", "index": {"aws": other, _CONTENT: entry}}
            self._write(INDEX, index, keys, at, ending)

    def _write(
        self, name: str, value: object, keys: tuple[str, ...], at: str | None, only: str = ""
    ) -> None:
        text = json.dumps(value, indent=1).encode()
        path = self.folder / (name + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        if only != ".sjson":
            path.write_bytes(text)
        if only != ".json" and keys:
            path.with_suffix(".sjson").write_bytes(self.signer.sign(text, *keys, at=at))


Answering = Callable[[str, "tuple[int, int] | None"], "int | None"]


class Server:
    """Serves a folder; `answering` sees each question and may cut an answer short."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ranges = True
        self.users: list[str | None] = []  # who asked, by the header of each question
        self.encoding: str | None = None  # told of all that is sent
        self.asked: list[tuple[str, tuple[int, int] | None]] = []
        self.statuses: dict[str, list[int]] = {}  # what is answered next to questions for a path
        # Returns how many bytes of an answer are sent before the connection ends; None is all.
        self.answering: Answering = lambda _path, _range: None
        # Called between the two halves of an image's answer.
        self.half_sent: Callable[[], object] = lambda: None

    @cached_property
    def url(self) -> str:
        """Return the base, as a source is named."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    def images(self) -> list[tuple[int, int] | None]:
        """Return the ranges of images that were asked for, in the order of questions."""
        return [where for path, where in self.asked if path.endswith(".img")]

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Serve for a while."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *words: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_words: object) -> None:
                pass  # clients that were killed

        self._server = Quiet(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, one: BaseHTTPRequestHandler) -> None:
        path = one.path.lstrip("/")
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", one.headers.get("Range", ""))
        where = (int(found[1]), int(found[2])) if found and self.ranges else None
        self.asked.append((path, where))
        self.users.append(one.headers.get("Authorization"))
        if waiting := self.statuses.get(path):
            self._head(one, waiting.pop(0), 0, {})
            return
        file = self.folder / path
        if not file.is_file():
            self._head(one, 404, 0, {})
            return
        data = file.read_bytes()
        status, headers = 200, {}
        if where is not None:
            total = len(data)
            data = data[where[0] : where[1] + 1]
            status = 206
            headers = {"Content-Range": f"bytes {where[0]}-{where[0] + len(data) - 1}/{total}"}
        cut = self.answering(path, where)
        self._head(one, status, len(data), headers)
        data = data if cut is None else data[:cut]
        one.wfile.write(data[: len(data) // 2])
        if path.endswith(".img"):
            self.half_sent()
        one.wfile.write(data[len(data) // 2 :])
        if cut is not None:
            one.close_connection = True

    def _head(
        self, one: BaseHTTPRequestHandler, status: int, length: int, headers: dict[str, str]
    ) -> None:
        one.send_response(status)
        if self.encoding is not None:
            headers = {**headers, "Content-Encoding": self.encoding}
        for name, value in {**headers, "Content-Length": str(length)}.items():
            one.send_header(name, value)
        one.end_headers()


def make_mirror(folder: Path) -> None:
    """Make a signed mirror with one small image, and its keyring."""
    with signer() as keys:
        keys.make("mirror")
        mirror = Mirror(folder / "mirror", keys)
        mirror.add(random_image(folder / "image.qcow2", 1))
        mirror.publish("mirror")
        keys.export("mirror", folder / "mirror.gpg")


if __name__ == "__main__":
    make_mirror(Path(sys.argv[1]))
