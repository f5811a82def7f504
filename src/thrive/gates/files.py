"""Local files for gate workers: a package as a folder, a table as a path, nothing else."""

from pathlib import Path

import numpy as np

from thrive.domain.errors import UsageError
from thrive.domain.model import SCORE, ModelVersion
from thrive.packaging.manifest import MANIFEST_NAME, PackageManifest, digest_of, read_manifest
from thrive.packaging.seal import check_here
from thrive.packaging.trained_rows import row_fingerprints
from thrive.store.blobs import BlobStore


def manifest_of(blobs: BlobStore, version: ModelVersion) -> PackageManifest:
    """Return the checked manifest of a version's package."""
    return read_manifest(blobs.get(version.packaged()), digest=version.package)


def lay_out(blobs: BlobStore, version: ModelVersion, manifest: PackageManifest, to: Path) -> Path:
    """Write a version's package into a new folder under `to` and return it.

    Raises:
        UnsafeModel: nobody who is trusted here vouches for it.
    """
    check_here(version.seal, version.model, version.version, version.packaged())
    folder = to / f"v{version.version}"
    folder.mkdir()
    for name, entry in manifest.files.items():
        (folder / name).write_bytes(blobs.get(entry.digest))
    (folder / MANIFEST_NAME).write_bytes(blobs.get(version.packaged()))
    return folder


def table_path(blobs: BlobStore, version: ModelVersion, to: Path) -> Path:
    """Return a local path of a version's evaluation table.

    Raises:
        UsageError: the version was registered without one.
    """
    if not version.evaluation:
        raise UsageError(
            f"{version.model}@{version.version} has no evaluation table to be judged on.",
            "register it with evaluation=TABLE, rows the model never saw",
        )
    known = blobs.local_path(version.evaluation)
    if known is not None:
        return known
    path = to / "evaluation.parquet"
    path.write_bytes(blobs.get(version.evaluation))
    return path


def rows_digest(table: Path) -> str:
    """Return a digest of an evaluation table's rows in any order, without the model's own answers.

    Two candidates registered with the same rows have different tables, as `_score` differs.
    """
    import polars as pl

    frame = pl.read_parquet(table)
    natural = [name for name in frame.columns if name != SCORE]
    return digest_of(np.sort(row_fingerprints(frame, natural)).astype("<u8").tobytes())
