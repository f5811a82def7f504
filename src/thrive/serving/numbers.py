"""The numbers of a host's workers, taken from the control plane and kept beside the log."""

import os
from pathlib import Path

import msgspec

from thrive.domain.errors import ThriveError
from thrive.domain.identifiers import new_id
from thrive.serving.control_plane import ControlPlane

FILE_NAME = "numbers.json"


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """Who this log folder is, and which worker numbers are its own."""

    log_id: str
    numbers: list[int] = []


def own_numbers(plane: ControlPlane, log: Path, count: int) -> list[int]:
    """Return the numbers of `count` workers; those of last time when the control plane is gone.

    Raises:
        ThriveError: it is gone, and this host never had so many workers.
    """
    known = _read(log) or _write(log, Numbers(log_id=new_id()))
    try:
        numbers = plane.worker_numbers(known.log_id, count)
    except (ThriveError, OSError):
        if len(known.numbers) < count:
            raise
        return known.numbers[:count]
    if numbers != known.numbers[:count]:
        _write(log, Numbers(log_id=known.log_id, numbers=numbers))
    return numbers


def _read(log: Path) -> Numbers | None:
    try:
        return msgspec.json.decode((log / FILE_NAME).read_bytes(), type=Numbers)
    except (FileNotFoundError, msgspec.DecodeError):
        return None  # a new folder, or one whose file was cut short: new numbers harm nothing


def _write(log: Path, numbers: Numbers) -> Numbers:
    unfinished = log / f".{FILE_NAME}.{os.getpid()}"
    unfinished.write_bytes(msgspec.json.encode(numbers))
    unfinished.replace(log / FILE_NAME)
    return numbers
