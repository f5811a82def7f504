"""A hidden folder in which many files begin, each renamed to where it belongs when it is whole.

ext4 takes the inode of a new file from near its folder and passes over those that were freed in the
last half minute one by one: in a folder that was just emptied every file would be a hundred times
as slow. So files begin far from it. A folder that is marked as the top of a hierarchy has its own
folders put where there is room (chattr(1), attribute T), and where files still begin slowly, they
go on in another one.
"""

import os
import struct
import sys
import time
from pathlib import Path

from thrive.domain.identifiers import new_id
from thrive.store.disk import write_all

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS of linux/fs.h
_TOP = 0x00020000  # FS_TOPDIR_FL
_LOOK = 64
"""After so many files it is looked how long they took to begin."""
_SLOW_S = 60e-6
"""A file that takes longer to begin is slow: it takes a fifth of this anywhere else."""
_MOST = 8
"""Folders that are tried; the last one is as good as any."""


class Nursery:
    """Writes small files and puts them in place; `close` it in the end.

    Args:
        place: the hidden folder, on the file system where the files go; made here.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._partial = f".{new_id()}"
        self._made = 0
        self._spent_s = 0.0
        self._inside: list[Path] = []
        place.mkdir(mode=0o700)
        _mark_top(place)
        self._handle = self._next()

    def write(self, data: bytes, folder: int, name: str) -> None:
        """Write a file.

        Args:
            data: its bytes.
            folder: the handle of the folder where it belongs.
            name: its name there; what has it is replaced.
        """
        began = time.perf_counter()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        handle = os.open(self._partial, flags, 0o666, dir_fd=self._handle)
        self._spent_s += time.perf_counter() - began
        self._made += 1
        try:
            write_all(handle, data)
        except BaseException:
            os.unlink(self._partial, dir_fd=self._handle)
            raise
        finally:
            os.close(handle)
        os.rename(self._partial, name, src_dir_fd=self._handle, dst_dir_fd=folder)
        if self._made == _LOOK:
            self._look()

    def _look(self) -> None:
        if self._spent_s > _LOOK * _SLOW_S and len(self._inside) < _MOST:
            os.close(self._handle)
            self._handle = self._next()
        self._made, self._spent_s = 0, 0.0

    def _next(self) -> int:
        folder = self._place / new_id()
        folder.mkdir(mode=0o700)
        self._inside.append(folder)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def close(self) -> None:
        """Remove the hidden folder."""
        os.close(self._handle)
        for folder in (*self._inside, self._place):
            folder.rmdir()


def _mark_top(folder: Path) -> None:
    """Have the folders in this one spread over the disk, where the file system knows how."""
    if sys.platform != "linux":
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flags = bytearray(8)
        fcntl.ioctl(handle, _GET_FLAGS, flags)
        marked = struct.unpack("=i", flags[:4])[0] | _TOP
        fcntl.ioctl(handle, _SET_FLAGS, struct.pack("=q", marked))
    except OSError:
        pass  # it is not ext4: nothing to evade
    finally:
        os.close(handle)
