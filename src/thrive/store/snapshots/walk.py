"""What is in a folder, in one walk: names by listing, the state of each file by one system call."""

import os
import stat
from pathlib import Path

from thrive.domain.errors import NotFound

State = tuple[str, int, int, int, int]
"""A file: path from the root with `/`, size, mtime and ctime in nanoseconds, inode."""


def walk(root: str) -> list[State]:
    """Return every file below a folder, in the order of the paths; hidden ones are left out.

    Links to files are followed, links to folders are not; what is neither file nor folder is
    left out.

    Raises:
        NotFound: there is no such folder.
    """
    found: list[State] = []
    try:
        handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"There is no folder {root}.", "check the path") from None
    _walk(handle, "", found)
    found.sort()
    return found


def _walk(handle: int, prefix: str, found: list[State]) -> None:
    folders: list[str] = []
    try:
        with os.scandir(handle) as entries:
            names = [
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and not (entry.is_dir(follow_symlinks=False) and folders.append(entry.name) is None)
            ]
        for name in names:
            _add(handle, prefix, name, found)
        for name in folders:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            _walk(below, f"{prefix}{name}/", found)
    finally:
        os.close(handle)


def _add(handle: int, prefix: str, name: str, found: list[State]) -> None:
    try:
        seen = os.stat(name, dir_fd=handle)
    except FileNotFoundError:
        return  # it went meanwhile, or a link leads nowhere
    if stat.S_ISREG(seen.st_mode):
        found.append((prefix + name, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino))


def state_of(path: str | Path, name: str) -> State:
    """Return the state of one file under the name it has in a snapshot."""
    seen = os.stat(path)  # noqa: PTH116 - as in a walk
    return (name, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)
