"""The last segment number of a worker, in a file that its writer holds locked.

A number must never be used twice, also when the segment it named is long sealed and deleted: the
larger of this file and of the segments in the folder is the last one used.
"""

import fcntl
import os
import struct
import time
from pathlib import Path

from thrive.domain.errors import Conflict
from thrive.store.eventlog.layout import parse_segment_name

_NUMBER = struct.Struct("<Q")
_PATIENCE_S = 0.5


def claim(folder: Path, worker: int) -> int:
    """Return the open file of the worker, locked until it is closed or this process dies.

    Raises:
        Conflict: another writer holds it.
    """
    handle = os.open(_path(folder, worker), os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _PATIENCE_S
    while not _lock(handle):
        if time.monotonic() > deadline:  # longer than `keep` ever holds it
            os.close(handle)
            raise Conflict(
                f"Another process writes as worker {worker} in {folder}.", "take another number"
            )
        time.sleep(0.02)
    return handle


def last(handle: int) -> int:
    """Return the number in the file, 0 if there is none."""
    data = os.pread(handle, _NUMBER.size, 0)
    return _NUMBER.unpack(data)[0] if len(data) == _NUMBER.size else 0


def highest(folder: Path, worker: int) -> int:
    """Return the highest number among the worker's segments in the folder, 0 without any."""
    names = (parse_segment_name(path.name) for path in folder.iterdir())
    return max((name[1] for name in names if name and name[0] == worker), default=0)


def note(handle: int, number: int) -> None:
    """Write the number of a segment that has just come to life."""
    os.pwrite(handle, _NUMBER.pack(number), 0)


def keep(folder: Path, worker: int, number: int) -> None:
    """Make sure, before a segment is deleted, that its number is on the disk.

    Its writer may have died before noting it. A living writer has a higher number in memory.
    """
    handle = os.open(_path(folder, worker), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if _lock(handle) and last(handle) < number:
            note(handle, number)
        os.fsync(handle)
    finally:
        os.close(handle)


def _path(folder: Path, worker: int) -> Path:
    return folder / f"{worker:04x}.worker"


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
