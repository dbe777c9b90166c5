"""The way of uvtool, with a stand-in for its command: what it says is not believed.

uvtool itself cannot be installed where these tests run; the stand-in has its arguments, its lines
and its exit codes, those that mislead among them.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from image_lab import make_qcow2
from mirror_lab import Mirror, Server

from virtlab.errors import EnvironmentLackError
from virtlab.images.http_source import HttpSource
from virtlab.images.lock import SyncLock, at_work
from virtlab.images.pool import FolderPool
from virtlab.images.progress import Step
from virtlab.images.source import Location, offered
from virtlab.images.streams import chosen
from virtlab.images.sync import chosen_way
from virtlab.images.uvtool import UVT_SYNC, QueryLine, parse_query, sync_uvtool
from virtlab.images.uvtool_images import uvtool_images, uvtool_volume
from virtlab.images.verify import damage
from virtlab.images.wanted import Synced, Wanted

STANDIN = Path(__file__).with_name("standins") / UVT_SYNC
Bring = Callable[..., Synced]


@pytest.fixture
def uvtool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-in on PATH; give the folder of its pool and its notes."""
    home = tmp_path / "uvtool"
    for folder in ("images", "metadata"):
        (home / folder).mkdir(parents=True)
    monkeypatch.setenv("UVT_STANDIN", str(home))
    monkeypatch.setenv("PATH", f"{STANDIN.parent}:{os.environ['PATH']}")
    return home


@pytest.fixture
def pool(uvtool: Path) -> FolderPool:
    return FolderPool("uvtool", uvtool / "images")


@pytest.fixture
def bring(
    mirror: Mirror, server: Server, keyring: Path, uvtool: Path, pool: FolderPool, tmp_path: Path,
    small_image: Path,
) -> Bring:  # fmt: skip
    """Give a sync of the mirror's noble."""
    mirror.add(small_image)
    mirror.publish("mirror")
    location = Location.named(server.url, keyring)

    def run(
        on_step: Callable[[Step], None] = lambda _step: None,
        held: tuple[int, ...] = (),
        **changes: object,
    ) -> Synced:
        with HttpSource(server.url) as source:
            offer = chosen(offered(source, location), "noble", "amd64", server.url)
        given = {"keyring": keyring, **changes}
        wanted = Wanted("amd64", "noble", server.url, **given)  # type: ignore[arg-type]
        return sync_uvtool(
            wanted, offer, pool, tmp_path / "scratch", on_step,
            metadata=uvtool / "metadata", held=held,
        )  # fmt: skip

    return run


def volume(version: str = "20260101") -> str:
    return uvtool_volume("com.ubuntu.cloud:server:24.04:amd64", version)


def test_an_image_is_brought_and_found_in_all_three_places(
    bring: Bring, uvtool: Path, pool: FolderPool, tmp_path: Path
) -> None:
    result = bring()

    assert result.changed and result.image is not None
    assert (result.image.release, result.image.version) == ("noble", "20260101")
    assert result.image.volume == volume()
    assert [result.image] == uvtool_images(pool, uvtool / "metadata")
    assert damage(result.image) is None
    assert not (tmp_path / "scratch").exists()


def test_a_second_sync_does_not_ask_uvtool(bring: Bring, server: Server) -> None:
    bring()
    before = len(server.images())

    assert not bring().changed
    assert len(server.images()) == before


def test_looking_only_does_not_ask_uvtool(bring: Bring, server: Server) -> None:
    result = bring(check=True)

    assert result.changed and result.image is None
    assert server.images() == []


def test_success_without_an_image_is_told(bring: Bring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UVT_STANDIN_FAULT", "brings nothing")

    with pytest.raises(EnvironmentLackError) as caught:
        bring()

    assert "ended without a complaint, and its query does not list noble for amd64." in str(
        caught.value
    )


def test_a_note_without_its_volume_is_told(bring: Bring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UVT_STANDIN_FAULT", "loses the volume")

    with pytest.raises(EnvironmentLackError, match="lacks its volume in the pool uvtool"):
        bring()

    monkeypatch.delenv("UVT_STANDIN_FAULT")
    assert bring().changed  # the note that misleads is gone


def test_a_failure_is_told_by_the_tracebacks_last_line(
    bring: Bring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UVT_STANDIN_FAULT", "traceback")

    with pytest.raises(EnvironmentLackError) as caught:
        bring()

    assert str(caught.value) == (
        f"{UVT_SYNC} failed: RuntimeError: libvirt: Storage error: no storage pool with matching "
        "name 'uvtool'\n"
        "  fix: virtlab host up starts libvirtd; virsh pool-list --all shows its pools"
    )


def test_a_sync_that_was_killed_is_cleaned_up_by_the_next_one(
    bring: Bring, uvtool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UVT_STANDIN_FAULT", "killed before the note")
    with pytest.raises(EnvironmentLackError, match="failed: "):
        bring()
    assert (uvtool / "images" / volume()).exists()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "tmpabc").write_bytes(b"of a sync whose whole process tree was killed")
    monkeypatch.delenv("UVT_STANDIN_FAULT")

    assert bring().changed
    assert not (tmp_path / "scratch").exists()


def test_a_keyring_that_is_missing_is_told_before_uvtool_runs(
    bring: Bring, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentLackError, match="ubuntu-cloudimage-keyring"):
        bring(keyring=tmp_path / "none.gpg")
    assert server.images() == []


def test_how_far_it_is_shows_by_the_files_that_grow(
    bring: Bring, server: Server, small_image: Path
) -> None:
    size = small_image.stat().st_size
    steps: list[Step] = []
    seen = threading.Event()

    def take(step: Step) -> None:
        steps.append(step)
        if step.done_bytes >= size // 3:
            seen.set()

    # The second half is sent once the first one was seen in uvtool's temporary file.
    server.half_sent = lambda: seen.wait(30)

    bring(take)

    assert seen.is_set()
    assert steps[0].what == "uvtool downloads noble amd64 20260101"
    assert steps[0].total_bytes == size


def test_the_lock_holds_as_long_as_uvtool_runs_whatever_becomes_of_us(
    bring: Bring, server: Server, tmp_path: Path
) -> None:
    lock = SyncLock(tmp_path / "home")
    lock.note("uvtool downloads noble")
    found: list[str | None] = []

    def we_are_gone() -> None:
        os.close(lock.number)  # as it is closed where this process is killed
        found.append(at_work(tmp_path / "home"))

    server.half_sent = we_are_gone

    bring(held=(lock.number,))

    assert found == [f"process {os.getpid()}: uvtool downloads noble"]
    assert at_work(tmp_path / "home") is None


def test_queries_are_read_line_by_line() -> None:
    text = (
        "release=jammy arch=amd64 label=release (20260302)\n"
        "release=noble arch=amd64 label=daily (20260321.1)\n"
    )
    assert parse_query(text) == [
        QueryLine("jammy", "amd64", "release", "20260302"),
        QueryLine("noble", "amd64", "daily", "20260321.1"),
    ]
    assert parse_query("\n") == []


def test_a_disk_that_a_guest_is_built_on_is_not_cleaned_up(
    bring: Bring, uvtool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_qcow2(uvtool / "images" / volume())
    disk = make_qcow2(tmp_path / "disk.qcow2", "-b", str(base), "-F", "qcow2")
    monkeypatch.setattr(FolderPool, "disks_in_use", lambda _pool: frozenset({disk}))

    with pytest.raises(EnvironmentLackError, match="already in use"):
        bring()

    assert base.exists()


def test_the_way_is_chosen_by_what_is_installed(
    uvtool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert chosen_way("native").method == "native"
    way = chosen_way("auto")
    assert (way.method, way.why) == ("uvtool", f"{STANDIN} is installed")

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentLackError) as caught:
        chosen_way("auto")
    assert "needs root: it would download all, and then could not store it." in str(caught.value)
    assert caught.value.fix == "run it as root: sudo virtlab images sync ..."


def test_without_uvtool_the_native_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(UVT_SYNC):
        pytest.skip("uvtool is installed here")
    way = chosen_way("auto")
    assert (way.method, way.why) == ("native", f"{UVT_SYNC} is not installed here")
    with pytest.raises(EnvironmentLackError) as caught:
        chosen_way("uvtool")
    assert caught.value.fix is not None and "sudo apt-get install -y uvtool" in caught.value.fix
