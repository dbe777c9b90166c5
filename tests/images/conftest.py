"""Images of the tests' own, in plain folders; a real libvirtd where one can run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from virtlab.hosts.real.connection import HostConnection, socket_of

_HERE = str(Path(__file__).parent)
if _HERE not in sys.path:
    sys.path.append(_HERE)


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
