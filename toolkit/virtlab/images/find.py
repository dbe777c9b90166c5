"""Which image guests of a release start from, among all that this host keeps."""

from __future__ import annotations

from virtlab.images.kept_image import KeptImage, machine_arch, newest
from virtlab.images.pool import HostCalls, LibvirtPool
from virtlab.images.store import NATIVE_POOL, native_images
from virtlab.images.uvtool_images import UVTOOL_POOL, uvtool_images

__all__ = ["find_image", "kept_images"]


def find_image(calls: HostCalls, release: str | None = None, arch: str | None = None) -> KeptImage:
    """Return the newest image of a release that is kept here, whichever way brought it.

    Args:
        calls: the host's libvirtd.
        release: a name (noble), a number (24.04) or "lts"; None is the newest release with
            long-term support among those kept.
        arch: in Debian's words; None is this machine's.

    Raises:
        ImageMissingError: there is none; its fix is the command that brings one.
        EnvironmentLackError: pools or uvtool's notes cannot be looked at.
    """
    return newest(kept_images(calls), release, arch or machine_arch())


def kept_images(calls: HostCalls) -> list[KeptImage]:
    """Return all images that are kept here: ours, then uvtool's.

    Raises:
        EnvironmentLackError: pools or uvtool's notes cannot be looked at.
    """
    found: list[KeptImage] = []
    if (native := LibvirtPool.found(calls, NATIVE_POOL)) is not None:
        found += native_images(native)
    if (uvtool := LibvirtPool.found(calls, UVTOOL_POOL)) is not None:
        found += uvtool_images(uvtool)
    return found
