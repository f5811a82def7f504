"""Bringing a host's prediction log into the store: segments to Parquet blobs and manifest rows."""

import fcntl
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from thrive.domain.clock import machine_now
from thrive.domain.prediction import SealedLog
from thrive.serving.records import decode
from thrive.settings import read_settings
from thrive.store import changes, predictions
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


def seal_logs(home: Home, *, force: bool = False) -> int:
    """Seal the prediction log segments of this host, and discard what is sealed to the end.

    Safe to call from many processes at once: one works, and the others wait for it if `force`,
    else return. What is committed is never sealed again, so a killed call loses and doubles
    nothing.

    Args:
        home: whose log.
        force: whether to take open segments too, however young: afterwards every acknowledged
            prediction of this host is in the store.

    Returns:
        How many prediction rows were sealed.
    """
    folder = home.log_folder
    with _one_at_a_time(folder, wait=force) as mine:
        if not mine:
            return 0
        close_dead(folder)
        due = [each for each in segments(folder) if _is_due(each, force=force)]
        rows = sum(_seal_batch(home, batch) for batch in _batches(due))
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


def _seal_batch(home: Home, batch: list[Segment]) -> int:
    host = socket.gethostname()
    stretches = [_stretch(home, segment, host) for segment in batch]
    sealed = seal(stretches, decode, home.blobs, host=host)
    if sealed:
        _commit(home, sealed)
    paths = {(segment.worker, segment.segment): segment.path for segment in batch}
    for row in sealed:
        confirm(paths[row.worker, row.segment], row.to_offset)
    return sum(row.rows for row in sealed)


def _stretch(home: Home, segment: Segment, host: str) -> Stretch:
    with home.read() as tx:
        done = predictions.sealed_up_to(tx, home.project_id, host, segment.worker, segment.segment)
    if done > segment.sealed_to:
        confirm(segment.path, done)
    return Stretch(path=segment.path, from_offset=done or HEADER_SIZE)


def _commit(home: Home, sealed: list[SealedLog]) -> None:
    with home.write() as tx:
        fresh = [predictions.insert_sealed(tx, home.project_id, row) for row in sealed]
        if any(fresh):
            changes.append(tx, home.project_id, "predictions", sealed[0].host)
