"""Images of the tests' own, in plain folders; a real libvirtd where one can run."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from virtlab.hosts.real.connection import HostConnection, socket_of

_HERE = str(Path(__file__).parent)
if _HERE not in sys.path:
    sys.path.append(_HERE)

from mirror_lab import Mirror, Server, Signer, random_image, signer  # noqa: E402  # of this folder


def _load(name: str, path: Path) -> Any:
    """Return a module of the tests that is no package's."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="module")
def libvirtd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URI of a libvirtd; else skip, and say what to install."""
    tests = Path(__file__).parents[1]
    real = _load("virtlab_tests_libvirtd", tests / "conformance" / "libvirtd.py")
    if reason := real.why_not():
        pytest.skip(f"no libvirtd here: {reason}; scripts/setup realhost installs what it takes")
    with real.private_libvirtd(tmp_path_factory.mktemp("libvirtd")) as uri:
        yield uri


@pytest.fixture
def calls(libvirtd: str) -> Iterator[HostConnection]:
    """Give a connection to that libvirtd."""
    with HostConnection(socket_of(libvirtd)) as connection:
        yield connection


@pytest.fixture(scope="session")
def keys() -> Iterator[Signer]:
    """Give keys of the tests' own; the mirror's is called `mirror`."""
    if shutil.which("gpg") is None or shutil.which("gpgv") is None:
        pytest.skip("gpg and gpgv are not installed; scripts/setup tests installs them")
    with signer() as made:
        made.make("mirror")
        yield made


@pytest.fixture(scope="session")
def keyring(keys: Signer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the keyring of the mirror's key."""
    return keys.export("mirror", tmp_path_factory.mktemp("keyring") / "mirror.gpg")


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an image of three pieces, the last one not full."""
    return random_image(tmp_path_factory.mktemp("image") / "image.qcow2", 18)


@pytest.fixture(scope="session")
def small_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an image of one piece."""
    return random_image(tmp_path_factory.mktemp("small") / "small.qcow2", 1, seed=2)


@pytest.fixture
def mirror(tmp_path: Path, keys: Signer) -> Mirror:
    """Give an empty mirror."""
    return Mirror(tmp_path / "mirror", keys)


@pytest.fixture
def server(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve that mirror on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server(mirror.folder).running() as running:
        yield running
