"""Folders of volumes that guests start from: a storage pool of libvirt's, or a plain folder.

Volumes are files of a directory pool on this machine, so that a new one appears by being renamed
into place, whole; libvirt then looks at the folder anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from virtlab.errors import EnvironmentLackError
from virtlab.images.image_file import read_header
from virtlab.libvirt_rpc.errors import ErrorCode, LibvirtError
from virtlab.libvirt_rpc.procedures import storage
from virtlab.libvirt_rpc.procedures.declaration import Procedure

__all__ = ["FolderPool", "HostCalls", "LibvirtPool", "Pool", "Volume"]

_VOLUME_MODES: Final = "<permissions><mode>{mode}</mode></permissions>"


class HostCalls(Protocol):
    """A connection to a libvirtd on this machine."""

    def call(self, name: str, *args: Any) -> Any:
        """Return what a call of the table brings."""

    def request(self, procedure: Procedure, *args: Any) -> Any:
        """Return what a call by its procedure brings."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of a pool."""

    path: Path
    virtual_size_kib: int


class Pool(Protocol):
    """Where volumes are kept."""

    @property
    def name(self) -> str:
        """Return its name."""

    @property
    def target(self) -> Path:
        """Return the folder that its volumes lie in."""

    def refresh(self) -> None:
        """See volumes that came or went as files."""

    def volumes(self) -> Mapping[str, Volume]:
        """Return its volumes by name."""

    def disks_in_use(self) -> frozenset[Path]:
        """Return the disks of all guests that are defined or run, whoever made them."""


@dataclass(frozen=True, slots=True)
class FolderPool:
    """A plain folder, where there is no libvirtd: no guest is known to use it."""

    name: str
    target: Path

    def refresh(self) -> None:
        """Do nothing: the folder is looked at each time."""

    def volumes(self) -> dict[str, Volume]:
        """Return the images in it by name."""
        try:
            files = sorted(path for path in self.target.iterdir() if path.is_file())
        except FileNotFoundError:
            return {}
        found = {}
        for path in files:
            header = read_header(path)
            if header is not None:
                found[path.name] = Volume(path, header.virtual_size_bytes // 1024)
        return found

    def disks_in_use(self) -> frozenset[Path]:
        """Return nothing."""
        return frozenset()


class LibvirtPool:
    """A directory pool of libvirt's."""

    def __init__(self, calls: HostCalls, handle: Any, target: Path) -> None:
        self._calls = calls
        self._handle = handle
        self.name: str = handle.name
        self.target = target

    @classmethod
    def found(cls, calls: HostCalls, name: str, *, build: bool = False) -> Self | None:
        """Return the pool of this name, started if it is not; None where there is none.

        With `build` its folder is made first: whoever defined it was killed before that.

        Raises:
            EnvironmentLackError: it is no directory pool, or cannot be started.
        """
        try:
            handle = calls.call("STORAGE_POOL_LOOKUP_BY_NAME", name).item
        except LibvirtError as err:
            if err.code == ErrorCode.NO_STORAGE_POOL:
                return None
            raise _refused(f"the storage pool {name} cannot be looked up", err) from err
        try:
            xml = calls.request(storage.POOL_GET_XML_DESC, handle, 0).xml
            tree = ElementTree.fromstring(xml)
            target = tree.findtext("target/path")
            if tree.get("type") != "dir" or target is None:
                raise EnvironmentLackError(
                    f"the storage pool {name} is no folder (its type is {tree.get('type')}).",
                    fix=f"rename or remove it: virsh pool-undefine {name}",
                )
            if not calls.request(storage.POOL_IS_ACTIVE, handle).active:
                if build and not Path(target).is_dir():
                    calls.request(storage.POOL_BUILD, handle, 0)
                calls.request(storage.POOL_CREATE, handle, 0)
        except LibvirtError as err:
            raise _refused(f"the storage pool {name} cannot be started", err) from err
        return cls(calls, handle, Path(target))

    @classmethod
    def made(cls, calls: HostCalls, name: str, target: Path, *, mode: str) -> Self:
        """Define, build and start a pool that begins with libvirtd from now on; return it.

        Args:
            calls: the host.
            name: of the pool.
            target: its folder, which is made where it is missing.
            mode: of that folder, such as "0711".

        Raises:
            EnvironmentLackError: libvirt refused it.
        """
        xml = (
            f"<pool type='dir'><name>{escape(name)}</name><target><path>{escape(str(target))}"
            f"</path>{_VOLUME_MODES.format(mode=mode)}</target></pool>"
        )
        try:
            handle = calls.request(storage.POOL_DEFINE_XML, xml, 0).pool
            calls.request(storage.POOL_BUILD, handle, 0)
            calls.request(storage.POOL_CREATE, handle, 0)
            calls.request(storage.POOL_SET_AUTOSTART, handle, 1)
        except LibvirtError as err:
            raise _refused(f"the storage pool {name} ({target}) cannot be made", err) from err
        return cls(calls, handle, target)

    def refresh(self) -> None:
        """Have libvirt look at the folder anew.

        Raises:
            EnvironmentLackError: it cannot.
        """
        try:
            self._calls.request(storage.POOL_REFRESH, self._handle, 0)
        except LibvirtError as err:
            raise _refused(f"the storage pool {self.name} cannot be looked at", err) from err

    def volumes(self) -> dict[str, Volume]:
        """Return its volumes by name, as libvirt saw them at its last look.

        Raises:
            EnvironmentLackError: libvirt refused it.
        """
        found = {}
        try:
            listing = self._calls.request(storage.POOL_LIST_ALL_VOLUMES, self._handle, 1, 0)
            for vol in listing.vols:
                try:
                    info = self._calls.request(storage.VOL_GET_INFO, vol)
                    path = self._calls.request(storage.VOL_GET_PATH, vol).name
                except LibvirtError as err:
                    if err.code == ErrorCode.NO_STORAGE_VOL:  # it went in the meantime
                        continue
                    raise
                found[vol.name] = Volume(Path(path), info.capacity // 1024)
        except LibvirtError as err:
            raise _refused(f"volumes of the pool {self.name} cannot be listed", err) from err
        return found

    def disks_in_use(self) -> frozenset[Path]:
        """Return the disks of all domains, running or not, by their descriptions.

        Raises:
            EnvironmentLackError: libvirt refused it.
        """
        disks: set[Path] = set()
        try:
            for dom in self._calls.call("CONNECT_LIST_ALL_DOMAINS", 1, 0).domains:
                try:
                    xml = self._calls.call("DOMAIN_GET_XML_DESC", dom, 0).xml
                except LibvirtError as err:
                    if err.code == ErrorCode.NO_DOMAIN:
                        continue
                    raise
                for source in ElementTree.fromstring(xml).iterfind("devices/disk//source"):
                    disks |= self._file_of(source)
        except LibvirtError as err:
            raise _refused("the guests' disks cannot be listed", err) from err
        return frozenset(disks)

    def _file_of(self, source: ElementTree.Element) -> set[Path]:
        """Return a disk's file: given as such, or as a volume of a pool, which is not started."""
        if (given := source.get("file") or source.get("dev")) is not None:
            return {Path(given)}
        pool, volume = source.get("pool"), source.get("volume")
        if pool is None or volume is None:
            return set()
        try:
            handle = self._calls.call("STORAGE_POOL_LOOKUP_BY_NAME", pool).item
            xml = self._calls.request(storage.POOL_GET_XML_DESC, handle, 0).xml
        except LibvirtError as err:
            if err.code == ErrorCode.NO_STORAGE_POOL:
                return set()
            raise
        target = ElementTree.fromstring(xml).findtext("target/path")
        return set() if target is None else {Path(target) / volume}


def _refused(what: str, err: LibvirtError) -> EnvironmentLackError:
    return EnvironmentLackError(
        f"{what}: {err.message}", fix="look at it with virsh pool-list --all and virsh pool-dumpxml"
    )
