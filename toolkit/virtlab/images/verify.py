"""Whether kept images are still what they were when they came."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from virtlab.errors import EnvironmentLackError, InputError
from virtlab.images.image_file import check_image
from virtlab.images.kept_image import KeptImage
from virtlab.images.native import file_sha256
from virtlab.images.progress import OnStep, Pace
from virtlab.images.store import Record, Store

__all__ = ["damage"]


def damage(image: KeptImage, on_step: OnStep = lambda _step: None) -> str | None:
    """Return what is wrong with an image, or None.

    An image of the native way has to have the checksum that its source promised; of uvtool's, which
    unpacks images, the tables have to be whole.

    Raises:
        EnvironmentLackError: it cannot be looked at, which says nothing of the image.
    """
    path = Path(image.path)
    try:
        if image.method == "native":
            record = _record_of(image, Store(path.parent).read_records())
            pace = Pace(f"checking {image.volume}", record.size_bytes, on_step)
            same = file_sha256(path, pace.at) == record.sha256
            return None if same else "its content has changed since it came"
        check_image(path, image.volume)
    except OSError as err:
        raise EnvironmentLackError(
            f"{path} cannot be read: {err.strerror}.",
            fix="run it with sudo; if it is root who may not, look at the disk: sudo dmesg",
        ) from err
    except InputError as err:
        return str(err).splitlines()[0]
    return None


def _record_of(image: KeptImage, records: Iterable[Record]) -> Record:
    return next(record for record in records if record.volume == image.volume)
