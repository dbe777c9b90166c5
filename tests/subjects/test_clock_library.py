from __future__ import annotations

from pathlib import Path

import pytest

from virtlab.errors import EnvironmentLackError
from virtlab.kept import cache_directory
from virtlab.subjects.clock_library import clock_library


def test_given_a_built_library_when_asked_again_then_it_is_not_built_again(tmp_path: Path) -> None:
    first = clock_library(tmp_path)
    built_ns = first.stat().st_mtime_ns

    assert clock_library(tmp_path) == first
    assert first.stat().st_mtime_ns == built_ns
    assert list(tmp_path.iterdir()) == [first]


def test_given_no_compiler_then_the_package_to_install_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EnvironmentLackError, match="no C compiler was found") as caught:
        clock_library(tmp_path / "cache")

    assert caught.value.fix == "sudo apt install gcc libc6-dev"


def test_given_a_compiler_that_fails_then_its_words_are_shown_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'no headers here' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    cache = tmp_path / "cache"

    with pytest.raises(EnvironmentLackError, match="no headers here"):
        clock_library(cache)

    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"VIRTLAB_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/virtlab"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    environment: dict[str, str], expected: str
) -> None:
    assert cache_directory(environment) == Path(expected)
