"""What travels with the tasks of a run to another machine: code, data and results, by digest.

A node has a folder of blobs for each home, so that what one run brought the next one finds. It
holds nothing that is not in the home: it may be removed at any time when no run is on its way.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from thrive.domain.dataset import DatasetVersion
from thrive.domain.run import CodeRecord
from thrive.engines.ray.node import Arrived, Fetch
from thrive.packaging.manifest import read_manifest
from thrive.store.blobs import FolderBlobs
from thrive.store.disk import write_all
from thrive.store.snapshots.bring import fetch_all
from thrive.tracking.code import unpack_code
from thrive.training.artifacts import Ref
from thrive.training.digests import file_digest

BLOBS = "blobs"


class Cargo(msgspec.Struct, frozen=True, kw_only=True):
    """What a node is told of a run.

    Attributes:
        code: the recorded code.
        file: the pipeline's file, relative to the project's folder.
        arguments: what the program of the run gets, but for the file.
        environment: variables of all its processes; None takes one away.
    """

    code: CodeRecord
    file: str
    arguments: dict[str, Any]
    environment: dict[str, str | None]


def arrive(cargo: dict[str, Any], folder: Path, fetch: Fetch) -> Arrived:
    """Unpack the recorded code of a run on this node."""
    known = msgspec.convert(cargo, Cargo)
    fetch([known.code.bundle])
    place = folder / "code" / known.code.bundle
    if not place.exists():
        _unpack(known.code, place, _here(folder))
    blobs = str((folder / BLOBS).resolve())
    facts = {"blobs": blobs, "scratch": blobs, "folder": str(place), "home": str(folder)}
    return Arrived(
        folder=place,
        arguments={**known.arguments, "file": str(place / known.file)},
        facts=facts,
        environment={**known.environment, "PYTHONPATH": str(place)},
    )


def _unpack(code: CodeRecord, place: Path, blobs: FolderBlobs) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=place.parent))
    unpack_code(code, beside, blobs)
    try:
        beside.rename(place)
    except OSError:  # another process of this node was first
        shutil.rmtree(beside, ignore_errors=True)


def needed(work: dict[str, Any]) -> list[str]:
    """Return the digests of a step's arguments and declared files that are not in its order."""
    refs = msgspec.convert([*work["args"], *work["kwargs"].values()], list[Ref])
    files = [digest for digest in work["files"].values() if digest]
    return [*(digest for ref in refs if not ref.data for digest in ref.digests()), *files]


def lay_out(folder: Path, place: Path, work: dict[str, Any]) -> None:
    """Lay the declared files of a step where it looks for them: beside the code."""
    for name, digest in work["files"].items():
        target = (place / name).resolve()
        if digest and target.is_relative_to(place.resolve()) and not _holds(target, digest):
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
                file.write(_here(folder).get(digest))
            Path(file.name).replace(target)


def _holds(target: Path, digest: str) -> bool:
    return target.is_file() and file_digest(target) == digest


def told(folder: Path, kind: str, body: Any, fetch: Fetch) -> None:
    """Bring every blob of the dataset that a task asked for."""
    if kind == "dataset":
        fetch_all(_Bringing(folder / BLOBS, fetch), msgspec.convert(body, DatasetVersion).listed_in)


def carried(folder: Path, kind: str, body: dict[str, Any]) -> list[str]:
    """Return the blobs that a result, or a model that is registered, consists of."""
    blobs = _here(folder)
    if kind == "result":
        digests = msgspec.convert(body["ref"], Ref).digests()
        return [digest for digest in digests if blobs.has(digest)]
    if kind == "register":
        manifest = read_manifest(blobs.get(body["package"]), digest=body["package"])
        files = [entry.digest for entry in manifest.files.values()]
        tables = (body["evaluation"], body["reference"], body["trained_rows"])
        return [*files, body["package"], *filter(None, tables)]
    return []


def path(folder: Path, digest: str) -> Path:
    """Return the verified file of a digest."""
    return _here(folder).local_path(digest)


def missing(folder: Path, digests: list[str]) -> list[str]:
    """Return which of the digests are not on this node."""
    blobs = _here(folder)
    return [digest for digest in dict.fromkeys(digests) if not blobs.has(digest)]


def keep(folder: Path, digest: str, data: memoryview) -> None:
    """Keep bytes that arrived; raise Damaged if they are not what their name says."""
    keep_checked(_here(folder), digest, data)


def keep_checked(blobs: FolderBlobs, digest: str, data: memoryview) -> None:
    """Keep bytes if they hash to their name.

    Raises:
        Damaged: they do not; nothing is kept.
    """
    blobs.put_stream(lambda handle: write_all(handle, data), digest)


def _here(folder: Path) -> FolderBlobs:
    return FolderBlobs(folder / BLOBS, durable=False)


class _Bringing(FolderBlobs):
    """The blobs of a node, which brings what it does not have."""

    def __init__(self, root: Path, bring: Fetch) -> None:
        super().__init__(root, durable=False)
        self._bring = bring

    def fetch(self, *digests: str) -> None:
        """Bring blobs here."""
        self._bring(list(digests))

    def get(self, digest: str) -> bytes:
        """Return the bytes, brought here first."""
        self.fetch(digest)
        return super().get(digest)

    def open(self, digest: str) -> BinaryIO:
        """Return a stream over the bytes, brought here first."""
        self.fetch(digest)
        return super().open(digest)

    def local_path(self, digest: str) -> Path:
        """Return the path of the bytes, brought here first."""
        self.fetch(digest)
        return super().local_path(digest)
