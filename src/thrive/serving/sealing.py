"""Bringing a host's prediction log into a store: segments to Parquet blobs and manifest rows.

The store is a home, here, or a server's, from another host. A raw segment is kept until the store
has confirmed all of it, and the store says from which byte on it lacks a segment: whatever is cut
short in between is sent again and counted once.
"""

import fcntl
import os
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from thrive.domain.clock import machine_now
from thrive.domain.prediction import SealedLog, SealedTo, SegmentName
from thrive.serving.records import decode
from thrive.settings import read_settings
from thrive.store import changes, predictions
from thrive.store.blobs.port import BlobWriter
from thrive.store.eventlog import (
    Segment,
    SegmentState,
    Stretch,
    close_dead,
    confirm,
    discard,
    seal,
    segments,
)
from thrive.store.eventlog.layout import HEADER_SIZE
from thrive.store.home import Home

_LOCK = "seal.lock"
_BATCH_BYTES = 64 << 20


class LogStore(Protocol):
    """Where a host's prediction log goes."""

    @property
    def blobs(self) -> BlobWriter:
        """Where Parquet files are put."""
        ...

    def sealed_to(self, host: str, named: Sequence[SegmentName]) -> list[SealedTo]:
        """Return up to which offset each segment of a host is there, 0 for none of it."""
        ...

    def commit(self, host: str, rows: Sequence[SealedLog]) -> list[SealedTo]:
        """Take in manifest rows that go on where their segment ends; return where it ends now."""
        ...


class HomeLogs:
    """The prediction log of a home on this machine.

    Args:
        home: the project's home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self.blobs = home.blobs

    def sealed_to(self, host: str, named: Sequence[SegmentName]) -> list[SealedTo]:
        """Return what the home has of each segment."""
        with self._home.read() as tx:
            return [predictions.sealed_to(tx, self._home.project_id, host, each) for each in named]

    def commit(self, host: str, rows: Sequence[SealedLog]) -> list[SealedTo]:
        """Take in manifest rows, all in one transaction."""
        project_id = self._home.project_id
        with self._home.write() as tx:
            if predictions.append_sealed(tx, project_id, rows):
                changes.append(tx, project_id, "predictions", host)
            return [
                predictions.sealed_to(tx, project_id, host, SegmentName(row.worker, row.segment))
                for row in rows
            ]


def seal_logs(home: Home, *, force: bool = False) -> int:
    """Seal the prediction log segments of this host into its home; see `ship_logs`."""
    return ship_logs(home.log_folder, HomeLogs(home), force=force)


def ship_logs(folder: Path, store: LogStore, *, force: bool = False) -> int:
    """Seal the segments in a log folder, and discard what is sealed to the end.

    Safe to call from many processes at once: one works, and the others wait for it if `force`,
    else return. What is committed is never sealed again, so a killed call loses and doubles
    nothing.

    Args:
        folder: the log folder of this host.
        store: where it goes.
        force: whether to take open segments too, however young: afterwards every acknowledged
            prediction of this host is in the store.

    Returns:
        How many prediction rows were sealed.
    """
    with _one_at_a_time(folder, wait=force) as mine:
        if not mine:
            return 0
        close_dead(folder)
        due = [each for each in segments(folder) if _is_due(each, force=force)]
        rows = sum(_seal_batch(store, batch) for batch in _batches(due))
        for each in segments(folder):
            if each.state is SegmentState.SEALED:
                discard(each.path)
        return rows


@contextmanager
def _one_at_a_time(folder: Path, *, wait: bool) -> Generator[bool]:
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _is_due(segment: Segment, *, force: bool) -> bool:
    """Tell whether a segment has something to say; one that ended has at least that it did."""
    if segment.state is SegmentState.OPEN:
        return force or machine_now() - segment.created > read_settings().seal_age
    return segment.state is not SegmentState.DEAD


def _batches(due: list[Segment]) -> list[list[Segment]]:
    """Return segments grouped so that one blob is neither a crumb nor a mountain."""
    batches: list[list[Segment]] = []
    size = _BATCH_BYTES
    for segment in due:
        if size >= _BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(segment)
        size += segment.path.stat().st_size
    return batches


def _seal_batch(store: LogStore, batch: list[Segment]) -> int:
    host = socket.gethostname()
    stretches = _stretches(store, batch, host)
    sealed = seal(stretches, decode, store.blobs, host=host)
    if not sealed:
        return 0
    reached = {each.name: each.to_offset for each in store.commit(host, sealed)}
    paths = {SegmentName(each.worker, each.segment): each.path for each in batch}
    taken = 0
    for row in sealed:
        name = SegmentName(row.worker, row.segment)
        confirm(paths[name], reached[name])
        taken += row.rows if reached[name] == row.to_offset else 0
    return taken


def _stretches(store: LogStore, batch: list[Segment], host: str) -> list[Stretch]:
    """Return what the store lacks of each segment; note what it has and the segment forgot."""
    named = [SegmentName(each.worker, each.segment) for each in batch]
    done = {each.name: each.to_offset for each in store.sealed_to(host, named)}
    for segment, name in zip(batch, named, strict=True):
        if done[name] > segment.sealed_to:
            confirm(segment.path, done[name])
    return [
        Stretch(path=segment.path, from_offset=done[name] or HEADER_SIZE)
        for segment, name in zip(batch, named, strict=True)
    ]
