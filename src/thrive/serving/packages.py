"""Verified copies of packages on a serving host: `packages/<digest>/` with manifest and files."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thrive.domain.errors import Damaged, ThriveError
from thrive.domain.model import ModelVersion, VersionSeal
from thrive.packaging.manifest import MANIFEST_NAME, digest_of, read_manifest
from thrive.packaging.seal import check_here
from thrive.packaging.signature import Signature

if TYPE_CHECKING:
    from thrive.packaging.formats.predictor import Predictor
    from thrive.store.blobs.port import BlobReader

_logger = logging.getLogger(__name__)


class StoredPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package in memory, as it goes to other machines: the model's name, and all bytes."""

    model: str
    digest: str
    manifest: bytes
    files: dict[str, bytes]


def read_stored(blobs: "BlobReader", version: ModelVersion) -> StoredPackage:
    """Return the package of a version from a home's own store.

    Raises:
        NotFound, Damaged, UnsafeModel: it is not there, is not what it should be, or its seal is
            none.
    """
    digest = version.packaged()
    check_here(version.seal, version.model, version.version, digest)
    data = blobs.get(digest)
    manifest = read_manifest(data, digest=digest)
    files = {name: blobs.get(entry.digest) for name, entry in manifest.files.items()}
    return StoredPackage(model=version.model, digest=digest, manifest=data, files=files)


def load_package(package: StoredPackage) -> "Predictor":
    """Return the predictor of a package, if this machine allows its format.

    Raises:
        Damaged, UnsafeModel: as `thrive.packaging.loader.load`.
    """
    from thrive.packaging.loader import (
        allowed_here,
        load,
    )  # an agent fetches packages and loads none: start-up

    manifest = read_manifest(package.manifest, digest=package.digest)
    return load(manifest, package.files, name=package.model, allow=allowed_here())


def load_stored(blobs: "BlobReader", version: ModelVersion) -> "Predictor":
    """Return the predictor of a version whose package is in a home's own store.

    Raises:
        NotFound, Damaged, UnsafeModel: as `read_stored` and `load_package`.
    """
    return load_package(read_stored(blobs, version))


class PackageCache:
    """A folder of packages by digest; a package is there whole or not at all.

    Args:
        folder: made when missing; agents write it, workers read it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def has(self, digest: str) -> bool:
        """Tell whether the package is there."""
        return (self._folder / digest / MANIFEST_NAME).is_file()

    def add(self, digest: str, fetch: Callable[[str], bytes]) -> None:
        """Fetch a package's manifest and files by digest, unless it is there already.

        Raises:
            Damaged: fetched bytes do not have their digest.
            UnsafeModel: the manifest names a file outside the allowed form.
        """
        if self.has(digest):
            return
        data = fetch(digest)
        manifest = read_manifest(data, digest=digest)
        building = self._folder / f".{digest}.{os.getpid()}"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True, mode=0o700)
        for name, entry in manifest.files.items():
            content = fetch(entry.digest)
            if digest_of(content) != entry.digest:
                raise Damaged(f"{name} of package {digest[:12]} is damaged.", "thrive doctor")
            (building / name).write_bytes(content)
        (building / MANIFEST_NAME).write_bytes(data)
        self._install(building, digest)

    def _install(self, building: Path, digest: str) -> None:
        try:
            building.rename(self._folder / digest)
        except OSError:
            if not self.has(digest):
                raise
            shutil.rmtree(building, ignore_errors=True)

    def signature(self, digest: str) -> Signature:
        """Return the signature of a package that is there, without loading its model.

        Raises:
            Damaged: the manifest does not have its digest.
            FileNotFoundError: the package is not there.
        """
        data = (self._folder / digest / MANIFEST_NAME).read_bytes()
        return read_manifest(data, digest=digest).signature

    def load(self, digest: str, model: str, version: int, seal: VersionSeal | None) -> "Predictor":
        """Return the predictor of a package that is a version of a model; raises as `load_stored`.

        Args:
            digest: the package.
            model: the model's name.
            version: its number.
            seal: who vouches for that.
        """
        check_here(seal, model, version, digest)
        from thrive.packaging.loader import allowed_here, load_folder

        return load_folder(self._folder / digest, digest=digest, name=model, allow=allowed_here())

    def load_warm(
        self, digest: str, model: str, version: int, seal: VersionSeal | None
    ) -> "Predictor":
        """Load a package and answer its example once, so that no caller pays for first times.

        Raises as `load`; an example that it cannot answer is only logged.
        """
        from thrive.packaging.rows import RowReader

        predictor = self.load(digest, model, version, seal)
        example = list(predictor.signature.example)
        if example:
            try:
                predictor.predict(RowReader(predictor.signature).read(example))
            except Exception:
                _logger.exception("%s does not answer its own example", model)
        return predictor

    def drop_damaged(self) -> None:
        """Remove packages of which not every byte is what its digest says, and unfinished ones."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if not _is_whole(path):
                _logger.warning("the copy of package %.12s is damaged: it is removed", path.name)
                shutil.rmtree(path, ignore_errors=True)

    def drop_all_but(self, digests: set[str]) -> None:
        """Remove packages that nothing needs any more."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name not in digests:
                shutil.rmtree(path, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    try:
        manifest = read_manifest((folder / MANIFEST_NAME).read_bytes(), digest=folder.name)
        return all(
            digest_of((folder / name).read_bytes()) == entry.digest
            for name, entry in manifest.files.items()
        )
    except (ThriveError, OSError):
        return False
