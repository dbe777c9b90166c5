"""Which image a name means, and what counts as one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from image_lab import MIB, keep, make_qcow2, record

from virtlab.images import ImageMissingError
from virtlab.images.kept_image import is_lts_number, newest, ordering
from virtlab.images.pool import FolderPool
from virtlab.images.store import Store, native_images
from virtlab.images.uvtool_images import product_of, uvtool_images, uvtool_volume


@pytest.fixture
def pool(tmp_path: Path) -> FolderPool:
    return FolderPool("folder", tmp_path / "volumes")


def test_a_kept_image_is_found_by_name_number_and_alias(pool: FolderPool) -> None:
    keep(pool, record())

    for name in ("noble", "24.04", "lts", "default", None):
        image = newest(native_images(pool), name, "amd64")
        assert (image.release, image.version, image.method) == ("noble", "20260101", "native")
        assert image.virtual_size_kib == 2 * MIB
        assert Path(image.path).parent == pool.target


def test_the_newest_version_of_the_newest_release_is_meant(pool: FolderPool) -> None:
    for release, number, version in (
        ("jammy", "22.04", "20260901"), ("noble", "24.04", "20260321"),
        ("noble", "24.04", "20260321.1"), ("noble", "24.04", "20260101"),
    ):  # fmt: skip
        keep(pool, record(release, number, version))

    assert newest(native_images(pool), None, "amd64").version == "20260321.1"
    assert newest(native_images(pool), "jammy", "amd64").version == "20260901"


def test_a_release_without_long_term_support_is_never_meant_by_default(pool: FolderPool) -> None:
    keep(pool, dataclasses.replace(record("plucky", "25.04"), lts=False))

    with pytest.raises(ImageMissingError):
        newest(native_images(pool), None, "amd64")
    assert newest(native_images(pool), "plucky", "amd64").number == "25.04"


def test_what_is_missing_is_told_with_the_command_that_brings_it(pool: FolderPool) -> None:
    keep(pool, record())

    with pytest.raises(ImageMissingError) as caught:
        newest(native_images(pool), "jammy", "arm64")

    assert str(caught.value) == (
        "no image of jammy for arm64 is kept here; there is noble amd64 20260101.\n"
        "  fix: virtlab images sync --release jammy --arch arm64"
    )
    assert caught.value.exit_code == 4


def test_a_volume_without_a_record_and_a_record_without_a_volume_are_no_images(
    pool: FolderPool,
) -> None:
    keep(pool, record())
    keep(pool, record("jammy", "22.04"))
    store = Store.of(pool)

    store.forget(record().volume)
    (store.volumes / record("jammy", "22.04").volume).unlink()

    assert native_images(pool) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 99}', '{"format": 1, "a": 2}'])
def test_a_file_that_is_no_record_is_passed_over(pool: FolderPool, text: str) -> None:
    keep(pool, record())
    (Store.of(pool).records / "a.json").write_text(text)

    assert [image.release for image in native_images(pool)] == ["noble"]


def test_serials_sort_as_they_were_made() -> None:
    mixed = ["20260102", "20260101.10", "20260101", "20251231", "20260101.2", "20260101.1"]
    assert sorted(mixed, key=ordering) == [
        "20251231", "20260101", "20260101.1", "20260101.2", "20260101.10", "20260102",
    ]  # fmt: skip


def test_long_term_support_is_for_april_of_even_years() -> None:
    assert all(map(is_lts_number, ("8.04", "22.04", "24.04", "26.04")))
    assert not any(map(is_lts_number, ("23.04", "24.10", "4.04.1", "")))


def test_uvtools_images_are_read_from_its_pool_and_its_notes(tmp_path: Path) -> None:
    pool = FolderPool("uvtool", tmp_path / "images")
    notes = tmp_path / "metadata"
    for folder in (pool.target, notes):
        folder.mkdir()
    product = "com.ubuntu.cloud:server:24.04:amd64"
    whole, no_note = (uvtool_volume(product, version) for version in ("20260321", "20260101"))
    for name in (whole, no_note, "disk-of-a-guest.qcow"):
        make_qcow2(pool.target / name)
    (notes / whole).write_text(json.dumps({"release": "noble", "version": "24.04"}))
    (notes / uvtool_volume(product, "20250101")).write_text("{}")  # without a volume

    [image] = uvtool_images(pool, notes)

    assert (image.release, image.number, image.lts) == ("noble", "24.04", True)
    assert (image.arch, image.version, image.method) == ("amd64", "20260321", "uvtool")
    assert newest([image], "noble", "amd64") is image


def test_uvtools_names_lead_back_to_the_product() -> None:
    product = "com.ubuntu.cloud:server:24.04:amd64"
    assert uvtool_volume(product, "20260321") == (
        "x-uvt-b64-Y29tLnVidW50dS5jbG91ZDpzZXJ2ZXI6MjQuMDQ6YW1kNjQgMjAyNjAzMjE="
    )
    assert product_of(uvtool_volume(product, "20260321")) == (product, "20260321")
    assert product_of(uvtool_volume(product, "20260321").rstrip("=")) == (product, "20260321")
    for other in ("disk.qcow2", "x-uvt-b64-", "x-uvt-b64-%%%", "x-uvt-b64-bm9zcGFjZQ=="):
        assert product_of(other) is None
