"""A folder of blobs and a folder of files to keep in it."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from thrive.store.blobs import FolderBlobs
from thrive.store.snapshots.journal import Journal
from thrive.store.snapshots.keep import Earlier, Kept, Recalled, Source, keep_files
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.snapshots.walk import walk

Keep = Callable[..., Kept]


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    return FolderBlobs(tmp_path / "blobs", durable=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    return made


@pytest.fixture
def keep(blobs: FolderBlobs, folder: Path, tmp_path: Path) -> Keep:
    """Keep the folder's files, beside what earlier snapshots hold."""

    def kept(
        *earlier: Snapshot,
        remembered: dict | None = None,
        report=lambda *_: None,
        helped: bool = False,
    ) -> Kept:
        source = Source(walk(str(folder)), lambda name: f"{folder}/{name}")
        journal = Journal(tmp_path / "journal")
        stored = Earlier(earlier)
        digests = [(remembered or {}).get(state, b"") for state in source.states]
        recalled = Recalled(digests, [stored.places.get(each) for each in digests])
        return keep_files(blobs, source, recalled, stored, journal, report, helped=helped)

    return kept


@pytest.fixture
def later() -> int:
    """A moment when everything written so far is settled."""
    return time.time_ns() + 10_000_000_000
