"""THE one loader: from a manifest and files to a predictor, or a refusal.

Nothing else in Thrive restores a model. The loader reads each file once, checks its digest on the
very bytes it then hands to the format, and knows only the closed list of formats below. Importing
it, and loading the formats `trees`, `linear` and `constant`, does not import scikit-learn.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from thrive.domain.errors import Damaged, NotFound, UnsafeModel
from thrive.packaging.formats import (
    catboost,
    constant,
    lightgbm,
    linear,
    onnx,
    pickle,
    safetensors,
    skops,
    trees,
    xgboost,
)
from thrive.packaging.formats.predictor import Predictor
from thrive.packaging.manifest import (
    MANIFEST_NAME,
    PackageManifest,
    check_file_name,
    digest_of,
    read_manifest,
)
from thrive.packaging.signature import Signature
from thrive.settings import read_settings
from thrive.variables import variable

MAX_FILE_BYTES = 2 << 30


class ModelFormat(Protocol):
    """What each module of `formats` offers."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """The name in the manifest."""
        ...

    @property
    def FILES(self) -> frozenset[str]:  # noqa: N802 - same
        """The exact names of the files."""
        ...

    @property
    def REQUIRES(self) -> tuple[str, ...]:  # noqa: N802 - same
        """The libraries that loading imports."""
        ...

    def save(self, model: Any, signature: Signature) -> dict[str, bytes]:
        """Return the files, or raise `DoesNotFit`."""
        ...

    def load(self, files: Mapping[str, bytes], signature: Signature) -> Predictor:
        """Return the predictor, or raise `UnsafeModel`."""
        ...


_LISTED: tuple[ModelFormat, ...] = (
    constant,
    trees,
    linear,
    safetensors,
    lightgbm,
    xgboost,
    catboost,
    onnx,
    skops,
    pickle,
)
FORMATS: Mapping[str, ModelFormat] = MappingProxyType({module.NAME: module for module in _LISTED})
"""The closed list, in the order in which `package.pack` tries them."""


class AllowList(msgspec.Struct, frozen=True, kw_only=True):
    """Packages that may run code when loaded: model name to package digests.

    It comes from whoever runs the loader, never from a package.
    """

    pickles: dict[str, frozenset[str]] = {}

    def allows(self, name: str, digest: str) -> bool:
        """Tell whether the package `digest` of the model `name` may be unpickled."""
        return digest in self.pickles.get(name, frozenset())


NOTHING_ALLOWED = AllowList()


def allowed_here() -> AllowList:
    """Return what the settings of this machine allow; whoever runs it sets them, no package can.

    Raises:
        UsageError: the setting cannot be read.
    """
    return AllowList(pickles=read_settings().allowed_pickles())


def load(
    manifest: PackageManifest,
    files: Mapping[str, Path] | Mapping[str, bytes] | Path,
    *,
    name: str = "",
    allow: AllowList = NOTHING_ALLOWED,
) -> Predictor:
    """Return the model of a package.

    Args:
        manifest: read by `read_manifest` with the digest that the caller expects.
        files: where each file of the manifest is, or its bytes, or the folder that holds exactly
            these files (and the manifest).
        name: the model's name, asked of the allow-list.
        allow: which packages may run code when loaded.

    Raises:
        UnsafeModel: the format is unknown or not allowed, or a file is not what its format says.
        Damaged: a file does not have its digest, or the files are not those of the manifest.
        NotFound: a file of the manifest is not there.
    """
    model_format = FORMATS.get(manifest.model_format)
    if model_format is None:
        raise UnsafeModel(
            f"{manifest.model_format[:80]!r} is no model format of Thrive.",
            f"pack the model as one of {', '.join(FORMATS)}",
        )
    if frozenset(manifest.files) != model_format.FILES:
        raise UnsafeModel(
            f"The package does not have the files of the format {model_format.NAME}.",
            "pack the model again",
        )
    if model_format is pickle and not allow.allows(name, manifest.digest):
        raise UnsafeModel(
            f"The model {name!r} is a pickle, which runs code when loaded.",
            f"use a safe format, or set {variable('allow_pickles')} to "
            f"{name or 'NAME'}={manifest.digest} where it is loaded",
        )
    return model_format.load(_verified(manifest, files), manifest.signature)


def load_folder(
    folder: Path, *, digest: str, name: str = "", allow: AllowList = NOTHING_ALLOWED
) -> Predictor:
    """Return the model of the package in `folder`, if its manifest has `digest`.

    Raises:
        NotFound: there is no manifest.
        Damaged, UnsafeModel: as `load`.
    """
    data = _read(folder / MANIFEST_NAME, MAX_FILE_BYTES)
    return load(read_manifest(data, digest=digest), folder, name=name, allow=allow)


def _verified(
    manifest: PackageManifest, files: Mapping[str, Path] | Mapping[str, bytes] | Path
) -> dict[str, bytes]:
    """Return the bytes of each file, each of which has its digest."""
    given: Mapping[str, Path | bytes] = _listed(files) if isinstance(files, Path) else files
    extra = set(given) - set(manifest.files)
    if extra:
        raise Damaged(
            f"The package holds {min(extra)[:80]!r}, which its manifest does not name.",
            "fetch the package again",
        )
    verified: dict[str, bytes] = {}
    for name, entry in manifest.files.items():
        check_file_name(name)
        if name not in given:
            raise NotFound(f"The package lacks its file {name!r}.", "fetch the package again")
        found = given[name]
        data = _read(found, entry.size) if isinstance(found, Path) else found
        if len(data) != entry.size or digest_of(data) != entry.digest:
            raise Damaged(
                f"The file {name!r} does not have its digest {entry.digest[:12]}...",
                "fetch the package again",
            )
        verified[name] = data
    return verified


def _listed(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.iterdir()) if path.name != MANIFEST_NAME}


def _read(path: Path, most: int) -> bytes:
    """Return a regular file's bytes, one more than `most` at the most: enough to see it differs."""
    try:
        with open(path, "rb", opener=_open_plainly) as stream:
            return stream.read(min(most, MAX_FILE_BYTES) + 1)
    except FileNotFoundError:
        raise NotFound(f"The package lacks its file {path.name!r}.", "fetch it again") from None
    except OSError as error:
        raise Damaged(
            f"{path.name!r} is no readable file: {error.strerror}.", "fetch the package again"
        ) from None


def _open_plainly(path: str, flags: int) -> int:
    """Open a file, never through a symbolic link, never waiting for a pipe's other end."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
