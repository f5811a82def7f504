"""Writing files so that a crash leaves the old state or the new one, never half of it."""

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from thrive.domain.errors import DiskFull

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FICLONE = 0x40049409  # _IOW(0x94, 9, int) of linux/fs.h


@contextmanager
def full_disk(folder: Path) -> Generator[None]:
    """Turn the system's ways of saying "no space" into DiskFull that names `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(
            f"No space left to write in {folder}: {error.strerror}.",
            "free some space there; what was acknowledged is kept",
        ) from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power loss."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_data(handle: int) -> None:
    """Make the bytes of an open file survive a power loss, also those written through a mapping.

    This lets other threads run meanwhile, which `mmap.flush` (msync) does not.
    """
    if sys.platform == "darwin":
        os.fsync(handle)
    else:
        os.fdatasync(handle)


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write every byte of `data`: one call to the system may write less than it was given."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def write_all_at(handle: int, data: bytes | memoryview, at: int) -> None:
    """Write every byte of `data` from a place in the file on, wherever the file is now."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(handle, rest, at)
        rest, at = rest[written:], at + written


def clone(source: int, target: int) -> bool:
    """Share the blocks of open file `source` with `target` if the file system can.

    A clone (FICLONE, ioctl_ficlonerange(2)) copies on write: later changes to one file are not
    seen in the other, which a hard link would not give.

    Returns:
        False where the file system or the platform has no clones; nothing was written then.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _FULL:
            raise
        return False
    return True
