"""The native way, from a mirror on loopback into a plain folder."""

from __future__ import annotations

import dataclasses
import fcntl
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from image_lab import make_qcow2
from mirror_lab import INDEX, PRODUCTS, Mirror, Server, Signer, random_image

from virtlab.errors import EnvironmentLackError, InputError, UsageError, VirtlabError
from virtlab.images import lock
from virtlab.images.http_source import HttpSource
from virtlab.images.kept_image import newest
from virtlab.images.lock import SyncLock, at_work
from virtlab.images.pool import FolderPool
from virtlab.images.progress import Step
from virtlab.images.signature import unsigned_text
from virtlab.images.store import Store, native_images
from virtlab.images.streams import NothingMatchesError
from virtlab.images.sync import FolderPlace, Way, sync
from virtlab.images.verify import damage
from virtlab.images.wanted import Synced, Wanted

PIECE = 8 << 20
WAY = Way("native", "the tests say so")
Bring = Callable[..., Synced]


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HttpSource, "pause", lambda _source, _tries, _stop: None)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def bring(server: Server, keyring: Path, home: Path) -> Bring:
    """Give a sync from the mirror into a folder."""

    def run(release: str | None = "noble", **changes: object) -> Synced:
        given: dict[str, object] = {
            "arch": "amd64", "release": release, "source": server.url, "keyring": keyring,
            **changes,
        }  # fmt: skip
        steps = given.pop("steps", lambda _step: None)
        place = given.pop("place", FolderPlace(home))
        return sync(Wanted(**given), WAY, place, home, steps)  # type: ignore[arg-type]

    return run


def kept(home: Path) -> list[tuple[str, str]]:
    images = native_images(FolderPool("folder", home / "images"))
    return [(image.release, image.version) for image in images]


def left(home: Path) -> list[str]:
    """Return the names of all files of a home, the lock and what was seen apart."""
    found = [path for path in home.rglob("*") if path.is_file()]
    return sorted(path.name for path in found if path.name not in ("images.lock", "images.seen"))


def refused(bring: Bring, home: Path, *words: str, **changes: object) -> VirtlabError:
    """Return why a sync was refused; nothing counts as an image then."""
    with pytest.raises(VirtlabError) as caught:
        bring(**changes)
    assert kept(home) == []
    for word in words:
        assert word in str(caught.value)
    return caught.value


def test_an_image_is_brought_whole_and_checked(
    mirror: Mirror, server: Server, bring: Bring, image: Path, home: Path
) -> None:
    mirror.add(image)
    mirror.publish("mirror")
    steps: list[Step] = []

    result = bring(steps=steps.append)

    assert result.changed and result.image is not None
    assert Path(result.image.path).read_bytes() == image.read_bytes()
    assert Path(result.image.path).stat().st_mode & 0o777 == 0o644
    assert result.image.virtual_size_kib == 18 * 1024
    assert len(server.images()) == 3  # pieces, over several connections
    assert steps[-1].done_bytes == steps[-1].total_bytes == image.stat().st_size
    assert {step.what for step in steps} == {
        "downloading noble amd64 20260101", "checking noble amd64 20260101",
    }  # fmt: skip
    volume = result.image.volume
    assert left(home) == [volume, f"{volume}.json"]
    assert damage(result.image) is None


def test_a_second_sync_changes_and_downloads_nothing(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    first = bring()
    before = len(server.images())

    again = bring()

    assert not again.changed and again.image == first.image
    assert len(server.images()) == before


def test_looking_only_changes_nothing(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")

    result = bring(check=True)

    assert result.changed and result.image is None
    assert result.offer.size_bytes == small_image.stat().st_size
    assert not home.exists()


def test_the_newest_version_is_brought_and_older_ones_go_only_when_asked(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    for version in ("20260101", "20260321.1", "20260321"):
        mirror.add(small_image, version=version)
        mirror.publish("mirror")
        bring()
    assert kept(home) == [("noble", "20260101"), ("noble", "20260321.1")]
    looked = bring(prune=True, check=True)
    assert looked.changed and len(kept(home)) == 2

    result = bring(prune=True)
    assert looked.removed == result.removed

    assert result.changed and len(result.removed) == 1
    assert kept(home) == [("noble", "20260321.1")]
    assert not bring(prune=True).changed


@dataclass(frozen=True)
class InUse(FolderPool):
    """A folder of which a guest uses one disk."""

    disk: Path = Path()

    def disks_in_use(self) -> frozenset[Path]:
        return frozenset({self.disk})


@dataclass(frozen=True)
class InUsePlace(FolderPlace):
    disk: Path = Path()

    def found(self) -> InUse:
        return InUse("folder", self.home / "images", self.disk)


def test_an_old_version_stays_as_long_as_a_guest_is_built_on_it(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    first = bring()
    assert first.image is not None
    disk = home / "disk-of-a-guest.qcow2"
    make_qcow2(disk, "-b", first.image.path, "-F", "qcow2")
    mirror.add(small_image, version="20260202")
    mirror.publish("mirror")

    result = bring(prune=True, place=InUsePlace(home, disk))
    assert result.removed == ()

    Path(first.image.path).rename(home / "gone")
    with pytest.raises(EnvironmentLackError, match="is built on cannot be seen, so nothing is"):
        bring(prune=True, place=InUsePlace(home, disk))
    (home / "gone").rename(first.image.path)
    disk.unlink()
    assert bring(prune=True, place=InUsePlace(home, disk)).removed == (first.image.volume,)


def test_a_newer_version_than_the_sources_is_not_pruned(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    lagging = mirror.folder.with_name("lagging")
    mirror.add(small_image)
    mirror.publish("mirror")
    shutil.copytree(mirror.folder, lagging)
    mirror.add(small_image, version="20260901")
    mirror.publish("mirror")
    bring()

    result = bring(source=str(lagging), prune=True)

    assert result.removed == ()
    assert kept(home) == [("noble", "20260101"), ("noble", "20260901")]


@pytest.mark.parametrize("name", [INDEX, PRODUCTS])
def test_an_older_signed_file_than_the_last_one_is_refused(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path, name: str
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    file = mirror.folder / f"{name}.sjson"
    old = file.read_bytes()
    later = datetime.now(UTC) + timedelta(minutes=30)  # as far as two clocks may disagree
    file.write_bytes(mirror.signer.sign(unsigned_text(old), "mirror", at=f"{later:%Y%m%dT%H%M%S}"))
    bring()
    assert not bring().changed
    file.write_bytes(old)

    for check in (True, False):
        with pytest.raises(InputError) as caught:
            bring(check=check)
        assert f"{server.url}{name}.sjson: it was signed on " in str(caught.value)
        assert f"and one that was signed on {later:%Y-%m-%d %H:%M} UTC has been seen" in (
            str(caught.value)
        )
        assert caught.value.fix is not None
        assert caught.value.fix.endswith(f"set back on purpose, sudo rm {home}/images.seen")
    (home / "images.seen").unlink()
    assert not bring().changed


def test_notes_of_what_was_seen_that_cannot_be_read_are_told(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    home.mkdir()
    (home / "images.seen").write_text("[]")

    error = refused(bring, home, "what was seen of sources cannot be read")

    assert error.fix == f"remove it: sudo rm {home}/images.seen"


def test_what_nobody_signed_gives_way_to_the_signed_image_of_the_same_version(
    mirror: Mirror, bring: Bring, image: Path, small_image: Path, home: Path, tmp_path: Path
) -> None:
    strange = Mirror(tmp_path / "strange", mirror.signer)
    strange.add(image)
    strange.publish()
    mirror.add(small_image)
    mirror.publish("mirror")
    first = bring(source=str(strange.folder), keyring=None)
    assert first.image is not None
    disk = make_qcow2(tmp_path / "disk.qcow2", "-b", first.image.path, "-F", "qcow2")
    assert bring(check=True).brought

    result = bring()

    assert result.brought and result.image is not None
    assert Path(result.image.path).read_bytes() == small_image.read_bytes()
    assert Path(first.image.path).read_bytes() == image.read_bytes()  # guests may be built on it
    images = native_images(FolderPool("folder", home / "images"))
    assert images == [result.image]
    assert not bring().changed
    assert bring(prune=True, place=InUsePlace(home, disk)).removed == ()
    assert bring(prune=True).removed == (first.image.volume,)


def test_the_same_content_counts_as_signed_once_a_signed_source_names_it(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    first = bring(source=str(mirror.folder), keyring=None)

    result = bring()

    assert result.brought and result.image == first.image
    assert server.images() == []
    assert [record.signed for record in Store(home / "images").read_records()] == [True]
    assert not bring(keyring=None).changed


def test_a_damaged_file_that_guests_are_built_on_is_left_as_it_is(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path, tmp_path: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    first = bring()
    assert first.image is not None
    path = Path(first.image.path)
    disk = make_qcow2(tmp_path / "disk.qcow2", "-b", str(path), "-F", "qcow2")
    with path.open("r+b") as file:
        file.truncate(1000)
    before = len(server.images())

    refused(bring, home, "is damaged, and guests are built on it", place=InUsePlace(home, disk))

    assert path.stat().st_size == 1000
    assert len(server.images()) == before
    assert bring().brought
    assert path.read_bytes() == small_image.read_bytes()


def test_packed_answers_are_refused_before_they_are_unpacked(
    mirror: Mirror, server: Server, bring: Bring, home: Path
) -> None:
    mirror.publish("mirror")
    server.encoding = "gzip, gzip"
    file = mirror.folder / f"{INDEX}.sjson"
    file.write_bytes(gzip.compress(gzip.compress(bytes(1 << 20))))

    refused(bring, home, f"{server.url}{INDEX}.sjson comes packed")


@pytest.mark.parametrize("over_http", [True, False])
def test_an_index_has_a_size_at_most(
    mirror: Mirror, server: Server, bring: Bring, home: Path, *, over_http: bool
) -> None:
    mirror.publish("mirror")
    with (mirror.folder / f"{INDEX}.sjson").open("r+b") as file:
        file.truncate((64 << 20) + 1)

    source = server.url if over_http else str(mirror.folder)
    refused(bring, home, f"{INDEX}.sjson is larger than 64 MiB", source=source)


def test_an_image_larger_than_any_is_refused_before_its_pieces_are_counted(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image, size=10**16)
    mirror.publish("mirror")

    refused(bring, home, f"would have {10**16} bytes, and no image has more than 64 GiB.")

    assert left(home) == []


@pytest.mark.parametrize("path", ["a\nb", "a\0b", "a\\..\\b", "a?b", "a#b", "a%2e%2e/b", "\u00e4"])
def test_paths_that_mean_another_thing_in_a_url_are_refused(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path, path: str
) -> None:
    mirror.add(small_image, path=path)
    mirror.publish("mirror")

    for source in ({}, {"source": str(mirror.folder)}):
        refused(bring, home, "has characters that no path of a mirror has.", **source)


@pytest.mark.parametrize("word", ["2026\x1b[2J", "../x", "x" * 100, "", "\u2028"])
def test_names_that_a_terminal_would_obey_or_no_file_has_are_refused(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path, word: str
) -> None:
    mirror.add(small_image, version=word)
    mirror.publish("mirror")

    refused(bring, home, "is no name of a product, release, architecture or version.")


def test_an_image_is_found_by_the_name_that_it_was_brought_by(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image, aliases="24.04,noble,n")
    mirror.publish("mirror")

    result = bring("n")

    found = newest(native_images(FolderPool("folder", home / "images")), "n", "amd64")
    assert found == result.image


def test_a_folders_file_that_is_none_is_refused(mirror: Mirror, bring: Bring, home: Path) -> None:
    index = mirror.folder / f"{INDEX}.sjson"
    index.mkdir(parents=True)
    refused(bring, home, "index.sjson is no file.", source=str(mirror.folder))
    index.rmdir()
    os.mkfifo(index)
    refused(bring, home, "index.sjson is no file.", source=str(mirror.folder))


def test_a_password_is_for_the_server_alone(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")

    bring(source=server.url.replace("http://", "http://me:secret@"))

    assert {user for user in server.users if user} == {"Basic " + b64encode(b"me:secret").decode()}
    for path in home.rglob("*"):
        if path.suffix in (".json", ".seen"):
            assert server.url in path.read_text() and "secret" not in path.read_text()


@pytest.mark.parametrize("source", ["http://[x/", "http://a b/", "http://\u2028x:y/"])
def test_what_is_no_url_is_refused(bring: Bring, home: Path, source: str) -> None:
    assert isinstance(refused(bring, home, source=source), (UsageError, EnvironmentLackError))


def test_folders_are_told_apart_from_wherever_one_stands(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    monkeypatch.chdir(mirror.folder)

    bring(source=".")

    assert f"{mirror.folder}/{INDEX}.sjson" in (home / "images.seen").read_text()


def test_a_path_that_leads_from_https_to_http_is_refused(
    bring: Bring, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "https":
            return httpx.Response(
                302, headers={"Location": str(request.url.copy_with(scheme="http"))}
            )
        return httpx.Response(200, content=b"{}")

    client = partial(httpx.Client, transport=httpx.MockTransport(answer))
    monkeypatch.setattr(httpx, "Client", client)

    refused(bring, home, "leads from https to http", source="https://x/", keyring=None)


def test_one_server_of_several_that_knows_no_ranges_sends_the_whole(
    mirror: Mirror, server: Server, bring: Bring, image: Path
) -> None:
    mirror.add(image)
    mirror.publish("mirror")

    def without_ranges_from_now_on(_path: str, where: tuple[int, int] | None) -> int | None:
        if where is not None:
            server.ranges = False
        return None

    server.answering = without_ranges_from_now_on

    result = bring()

    assert result.image is not None
    assert Path(result.image.path).read_bytes() == image.read_bytes()
    assert None in server.images()


def test_a_file_that_ends_before_a_piece_begins_is_told(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    [path] = [str(file.relative_to(mirror.folder)) for file in mirror.folder.rglob("*.img")]
    server.statuses = {path: [416]}

    refused(bring, home, ".img is shorter than its index says.")


def test_images_can_be_read_by_all_whatever_the_umask_is(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    before = os.umask(0o077)
    try:
        bring()
    finally:
        os.umask(before)

    modes = {
        str(path.relative_to(home.parent)): path.stat().st_mode & 0o777
        for path in (home, *home.rglob("*"))
        if "partial" not in path.name and path.parent.name != "images-partial"
    }
    assert {mode for name, mode in modes.items() if (home.parent / name).is_dir()} == {0o755}
    assert {
        mode for name, mode in modes.items() if name.endswith((".json", ".qcow2", ".seen"))
    } == {0o644}


def test_records_that_cannot_be_read_are_not_taken_for_none(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    records = Store(home / "images").records
    records.parent.mkdir()
    records.symlink_to(records)

    with pytest.raises(
        EnvironmentLackError, match="which images are kept cannot be read"
    ) as caught:
        kept(home)

    assert caught.value.fix is not None and caught.value.fix.startswith("run it with sudo")


@pytest.mark.parametrize("name", [INDEX, PRODUCTS])
def test_a_changed_byte_in_the_sources_files_is_refused(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path, name: str
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    file = mirror.folder / f"{name}.sjson"
    file.write_bytes(file.read_bytes().replace(b"image-downloads", b"image-downl0ads"))

    refused(bring, home, f"{server.url}{name}.sjson: it was changed after it was signed.")
    assert server.images() == []


def test_an_unsigned_source_is_taken_only_when_asked(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish()

    refused(bring, home, "streams/v1/index.sjson is not there (404")
    refused(bring, home, "index.json is not signed", source=f"{server.url}{INDEX}.json")
    (mirror.folder / f"{INDEX}.sjson").write_bytes((mirror.folder / f"{INDEX}.json").read_bytes())
    refused(bring, home, "it is not signed.")
    (mirror.folder / f"{INDEX}.sjson").unlink()

    assert bring(keyring=None).changed
    assert not bring(keyring=None, source=f"{server.url}{INDEX}.json").changed


def test_a_signed_index_does_not_vouch_for_unsigned_products(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    signed = mirror.folder / f"{PRODUCTS}.sjson"
    signed.write_bytes((mirror.folder / f"{PRODUCTS}.json").read_bytes())

    refused(bring, home, f"{PRODUCTS}.sjson: it is not signed.")


def test_a_wrong_checksum_is_refused_and_nothing_of_it_counts(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image, sha256="0" * 64)
    mirror.publish("mirror")

    error = refused(bring, home, "its checksum is not the one that the index says.")

    assert isinstance(error, InputError)
    mirror.add(small_image)
    mirror.publish("mirror")
    assert bring().changed


@pytest.mark.parametrize("size", [10, 1 << 24])
def test_a_file_of_another_size_than_the_index_says_is_refused(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path, size: int
) -> None:
    mirror.add(small_image, size=size)
    mirror.publish("mirror")

    has = small_image.stat().st_size
    refused(bring, home, f"has {has} bytes where its index says {size}.")


def test_answers_that_break_off_are_gone_on_with(
    mirror: Mirror, server: Server, bring: Bring, image: Path
) -> None:
    mirror.add(image)
    mirror.publish("mirror")
    cuts = iter([1 << 20, 3 << 20])
    server.answering = lambda _path, where: next(cuts, None) if where is not None else None

    result = bring()

    assert result.image is not None
    assert Path(result.image.path).read_bytes() == image.read_bytes()
    asked = [where for where in server.images() if where is not None]
    assert (1 << 20, PIECE - 1) in asked  # from where it broke off


def test_a_source_that_always_breaks_off_is_told(
    mirror: Mirror, server: Server, bring: Bring, image: Path, home: Path
) -> None:
    mirror.add(image)
    mirror.publish("mirror")
    server.answering = lambda _path, where: 0 if where is not None else None

    error = refused(bring, home, ".img cannot be read: ")
    assert error.fix is not None and "name a mirror by --source" in error.fix


def test_a_server_that_is_busy_is_asked_again(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    server.statuses = {f"{INDEX}.sjson": [503, 503]}

    assert bring().changed
    server.statuses = {f"{INDEX}.sjson": [503] * 6}
    with pytest.raises(EnvironmentLackError, match="503"):
        bring()
    server.statuses = {f"{INDEX}.sjson": [403]}
    with pytest.raises(EnvironmentLackError, match=r"is refused \(403"):
        bring()


def test_a_server_without_ranges_sends_the_whole(
    mirror: Mirror, server: Server, bring: Bring, image: Path
) -> None:
    mirror.add(image)
    mirror.publish("mirror")
    server.ranges = False
    cuts = iter([None, 9 << 20])  # the answer to the first piece, and the first try of the whole
    server.answering = lambda path, _where: next(cuts, None) if path.endswith(".img") else None

    result = bring()

    assert result.image is not None
    assert Path(result.image.path).read_bytes() == image.read_bytes()


def test_a_download_that_was_killed_goes_on_from_where_it_was(
    mirror: Mirror, server: Server, bring: Bring, image: Path, home: Path, keyring: Path
) -> None:
    mirror.add(image)
    mirror.publish("mirror")
    command = [Path(sys.executable).with_name("virtlab"), "images", "sync",
               "--release", "noble", "--arch", "amd64", "--source", server.url,
               "--keyring", str(keyring), "--folder", str(home)]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)

    def kill_at_the_second_piece(_path: str, where: tuple[int, int] | None) -> int | None:
        # The first piece was noted before any other is asked for.
        if where is not None and where[0] > 0:
            process.kill()
            process.wait()
            return 0
        return None

    server.answering = kill_at_the_second_piece
    assert process.wait(60) == -9
    process.communicate()
    assert kept(home) == []
    server.answering = lambda _path, _where: None
    server.asked.clear()

    result = bring()

    assert result.image is not None
    assert Path(result.image.path).read_bytes() == image.read_bytes()
    assert (0, PIECE - 1) not in server.images()
    assert len(server.images()) == 2
    assert kept(home) == [("noble", "20260101")]


def test_a_file_that_was_moved_before_the_kill_is_taken_over(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    first = bring()
    assert first.image is not None
    Store(home / "images").forget(first.image.volume)
    assert kept(home) == []
    before = len(server.images())

    assert bring().changed
    assert len(server.images()) == before

    Store(home / "images").forget(first.image.volume)
    Path(first.image.path).write_bytes(b"half")
    assert bring().changed
    assert Path(first.image.path).read_bytes() == small_image.read_bytes()


def test_what_is_left_torn_by_a_power_failure_is_brought_anew(
    mirror: Mirror, bring: Bring, image: Path, home: Path, server: Server
) -> None:
    mirror.add(image)
    mirror.publish("mirror")
    server.answering = lambda _path, where: 0 if where is not None and where[0] > 0 else None
    refused(bring, home, "cannot be read")
    [part] = (home / "images-partial").glob("*.part")
    with part.open("r+b") as file:
        file.write(bytes(4096))  # a block that never reached the disk
    server.answering = lambda _path, _where: None

    result = bring()

    assert result.image is not None
    assert Path(result.image.path).read_bytes() == image.read_bytes()


def test_a_newer_version_makes_the_older_ones_unfinished_download_go(
    mirror: Mirror, bring: Bring, image: Path, small_image: Path, home: Path, server: Server
) -> None:
    mirror.add(image)
    mirror.publish("mirror")
    server.answering = lambda _path, where: 0 if where is not None and where[0] > 0 else None
    refused(bring, home, "cannot be read")
    server.answering = lambda _path, _where: None
    mirror.add(small_image, version="20260202")
    mirror.publish("mirror")

    result = bring()

    assert result.image is not None
    assert left(home) == [result.image.volume, f"{result.image.volume}.json"]


def test_a_release_that_the_source_lacks_is_told_with_what_it_has(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.add(small_image, "jammy", "22.04", arch="arm64")
    mirror.publish("mirror")

    error = refused(bring, home, f"{server.url} has no image of nobel for amd64.", release="nobel")
    assert isinstance(error, NothingMatchesError) and error.exit_code == 2
    assert error.fix == "did you mean noble?"
    error = refused(bring, home, release="jammy")
    assert error.fix == "of this release there is arm64: choose by --arch"
    error = refused(bring, home, release="zzz")
    assert error.fix == "use one of: noble, 24.04."
    error = refused(bring, home, arch="s390x")
    assert error.fix == "of this release there is amd64: choose by --arch"


def test_without_a_release_the_newest_with_long_term_support_is_meant(
    mirror: Mirror, bring: Bring, small_image: Path
) -> None:
    mirror.add(small_image, "jammy", "22.04")
    mirror.add(small_image, "noble", "24.04")
    mirror.add(small_image, "plucky", "25.04", lts=False)
    mirror.publish("mirror")

    assert bring(None).offer.release == "noble"
    assert bring("lts").offer.release == "noble"
    assert bring("22.04").offer.release == "jammy"
    mirror.products.clear()
    mirror.add(small_image, "jammy", "22.04", aliases="22.04,jammy,default,lts")
    mirror.add(small_image, "noble", "24.04")
    mirror.publish("mirror")
    assert bring("default").offer.release == "jammy"  # the source's word


def test_two_at_once_are_refused_and_the_second_is_told_what_the_first_does(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    with SyncLock(home) as first:
        first.note("downloading noble: 34 %")

        refused(bring, home, "another sync is at work (process ", "downloading noble: 34 %)")
        assert at_work(home) == f"process {os.getpid()}: downloading noble: 34 %"

    assert at_work(home) is None
    assert bring().changed


def test_who_only_looks_keeps_no_sync_away(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SyncLock(home):
        pass
    looking = os.open(home / "images.lock", os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)

    def looked(folder: Path) -> str | None:
        fcntl.flock(looking, fcntl.LOCK_UN)
        return at_work(folder)

    monkeypatch.setattr(lock, "at_work", looked)
    with SyncLock(home):
        pass
    os.close(looking)


def test_two_homes_with_one_pool_do_not_write_at_once(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    partial_folder = Store(home / "images").partial
    with SyncLock(partial_folder):
        refused(bring, home, "another sync is at work")
    assert bring().brought


def test_a_source_that_does_not_answer_is_told(bring: Bring, home: Path) -> None:
    refused(
        bring, home, "http://127.0.0.1:9/streams/v1/index.sjson cannot be read: ",
        source="http://127.0.0.1:9/",
    )  # fmt: skip


@pytest.mark.parametrize("source", ["ftp://x/", "no-such-folder", "http:"])
def test_what_is_no_source_is_refused(bring: Bring, home: Path, source: str) -> None:
    error = refused(bring, home, "neither an http(s) URL nor a folder", source=source)
    assert isinstance(error, UsageError)


def test_a_missing_keyring_is_told_before_anything_is_asked(
    mirror: Mirror, server: Server, bring: Bring, home: Path, tmp_path: Path
) -> None:
    refused(bring, home, "none.gpg is not there", keyring=tmp_path / "none.gpg")
    assert server.asked == []


def test_a_signature_from_the_future_is_told(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror", at="21000101T000000")

    refused(bring, home, "it was signed on 2100-01-01 00:00 UTC, and this machine's clock says")


def test_images_that_would_read_other_files_are_refused(
    mirror: Mirror, bring: Bring, keys: Signer, home: Path, tmp_path: Path
) -> None:
    base = make_qcow2(tmp_path / "base.qcow2")
    backed = make_qcow2(tmp_path / "backed.qcow2", "-b", str(base), "-F", "qcow2")
    outside = make_qcow2(tmp_path / "outside.qcow2", "-o", f"data_file={tmp_path / 'data'}")
    for file, why in ((backed, "it names a backing file"), (outside, "it keeps its data in")):
        mirror.add(file)
        mirror.publish("mirror")
        refused(bring, home, why)


def test_what_is_no_qcow2_is_refused(
    mirror: Mirror, bring: Bring, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text("<html>log in first</html>" * 10)
    mirror.add(tmp_path / "page.html")
    mirror.publish("mirror")

    refused(bring, home, "this is no qcow2 image.")


def test_a_damaged_image_is_refused_under_a_right_checksum(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path, tmp_path: Path
) -> None:
    damaged = bytearray(small_image.read_bytes())
    # All refcounts are 0: each cluster that is used counts as an error of the image's tables.
    at = int.from_bytes(damaged[48:56], "big")
    block = int.from_bytes(damaged[at : at + 8], "big")
    damaged[block : block + 256] = bytes(256)
    (tmp_path / "damaged.qcow2").write_bytes(damaged)
    mirror.add(tmp_path / "damaged.qcow2")
    mirror.publish("mirror")

    refused(bring, home, "the image is damaged (")


@pytest.mark.parametrize("path", ["../../etc/shadow", "/etc/shadow", "http://elsewhere/x", ""])
def test_paths_that_lead_out_of_the_source_are_refused(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path, path: str
) -> None:
    mirror.add(small_image, path=path)
    mirror.publish("mirror")

    refused(bring, home, f"the path {path!r} leads out of the source.")


def test_a_mirror_in_a_folder_is_a_source_too(
    mirror: Mirror, bring: Bring, image: Path, home: Path
) -> None:
    mirror.add(image)
    mirror.publish("mirror")

    result = bring(source=str(mirror.folder))

    assert result.image is not None
    assert Path(result.image.path).read_bytes() == image.read_bytes()
    assert not bring(source=f"file://{mirror.folder}/").changed


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "index:2.0", "index": {}}'])
def test_files_that_are_no_simplestreams_are_refused(
    mirror: Mirror, server: Server, bring: Bring, home: Path, text: str
) -> None:
    index = mirror.folder / f"{INDEX}.json"
    index.parent.mkdir(parents=True)
    index.write_text(text)

    refused(bring, home, f"{server.url}{INDEX}.json: ", keyring=None)


def test_a_changed_volume_is_found_by_its_checksum(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    result = bring()
    assert result.image is not None
    with Path(result.image.path).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")

    assert damage(result.image) == "its content has changed since it came"


def test_an_image_that_cannot_be_looked_at_does_not_count_as_damaged(
    mirror: Mirror, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    result = bring()
    assert result.image is not None
    folder = Path(result.image.path).with_name("folder")
    folder.mkdir()

    with pytest.raises(EnvironmentLackError, match="folder cannot be read: Is a directory"):
        damage(dataclasses.replace(result.image, path=str(folder)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 24 MiB; else skip."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a small disk takes the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_without_room_is_told_before_the_download(
    mirror: Mirror, server: Server, bring: Bring, image: Path, small_disk: Path
) -> None:
    (small_disk / "other").write_bytes(bytes(20 << 20))
    mirror.add(image)
    mirror.publish("mirror")

    error = refused(
        bring, small_disk, "takes 19.", "4.0 MiB are free.", place=FolderPlace(small_disk)
    )

    assert error.fix is not None and error.fix.startswith("free 15.")
    assert server.images() == []


def test_a_disk_that_becomes_full_is_told_and_the_download_goes_on_later(
    mirror: Mirror, server: Server, bring: Bring, image: Path, small_disk: Path
) -> None:
    mirror.add(image)
    mirror.publish("mirror")
    other = small_disk / "other"

    def somebody_fills_it(_path: str, where: tuple[int, int] | None) -> int | None:
        if where is not None and where[0] > 0 and not other.exists():
            other.write_bytes(bytes(14 << 20))
        return None

    server.answering = somebody_fills_it
    refused(
        bring, small_disk, "no space is left (", "what was downloaded is kept, and gone on with",
        place=FolderPlace(small_disk),
    )  # fmt: skip
    other.unlink()
    server.answering = lambda _path, _where: None
    server.asked.clear()

    assert bring(place=FolderPlace(small_disk)).changed
    assert (0, PIECE - 1) not in server.images()


def test_the_record_says_where_an_image_came_from(
    mirror: Mirror, server: Server, bring: Bring, small_image: Path, home: Path
) -> None:
    mirror.add(small_image)
    mirror.publish("mirror")
    bring()

    [record] = Store(home / "images").read_records()

    assert record.source.startswith(server.url)
    assert record.signed
    assert record.sha256 == hashlib.sha256(small_image.read_bytes()).hexdigest()


def test_random_images_differ_by_seed(tmp_path: Path, small_image: Path) -> None:
    other = random_image(tmp_path / "other.qcow2", 1, seed=3)
    assert other.read_bytes() != small_image.read_bytes()
