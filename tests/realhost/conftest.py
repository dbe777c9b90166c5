"""A real libvirtd of the tests' own, without KVM, where one can run."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from virtlab.subjects.sandbox import find_sandbox


def _load(name: str, path: Path) -> Any:
    """Return a module of the tests that is no package's."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def real_uri(tmp_path: Path) -> Iterator[str]:
    """Give the URI of a libvirtd; else skip, and say what to install."""
    libvirtd = _load(
        "virtlab_tests_libvirtd", Path(__file__).parents[1] / "conformance" / "libvirtd.py"
    )
    if reason := libvirtd.why_not():
        pytest.skip(f"no real host here: {reason}; scripts/setup realhost installs what it takes")
    if find_sandbox().weaker:
        pytest.skip("bubblewrap does not work here, and real runs need it")
    directory = tmp_path / "libvirtd"
    directory.mkdir()
    with libvirtd.private_libvirtd(directory) as uri:
        yield uri
