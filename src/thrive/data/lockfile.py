"""Writing `thrive.lock`: the version of each dataset that a commit uses, by digest."""

import json
import os
from pathlib import Path

from thrive.contract.lines import path_of
from thrive.domain.identifiers import new_id
from thrive.store.lock import FileLock
from thrive.store.pins import LOCK_FILE, LOCK_FORMAT, read_lock, read_remote

_HEAD = """\
# The version of each dataset that this commit uses; written by `thrive data add`, to be committed.
"""


def pin(folder: Path, home_folder: Path, name: str, digest: str) -> None:
    """Write that a project uses this version of a dataset; two writers wait for each other.

    Args:
        folder: the project's folder.
        home_folder: its home, which holds the lock of the lock file.
        name: the dataset.
        digest: the version's digest.
    """
    with FileLock(home_folder / "lockfile").held():
        pins = read_lock(folder)
        if pins.get(name) == digest:
            return
        pins[name] = digest
        _write(folder / LOCK_FILE, pins, read_remote(folder))


def unpin(folder: Path, home_folder: Path, name: str, digest: str) -> None:
    """Take a dataset out of the lock file, if it is this version that is pinned.

    Args:
        folder: the project's folder.
        home_folder: its home, which holds the lock of the lock file.
        name: the dataset.
        digest: the version's digest.
    """
    with FileLock(home_folder / "lockfile").held():
        pins = read_lock(folder)
        if pins.get(name) == digest:
            del pins[name]
            _write(folder / LOCK_FILE, pins, read_remote(folder))


def keep_remote(folder: Path, home_folder: Path, remote: str) -> None:
    """Write where a project's data is pushed to, so that any clone can pull it.

    Args:
        folder: the project's folder.
        home_folder: its home, which holds the lock of the lock file.
        remote: the address.
    """
    with FileLock(home_folder / "lockfile").held():
        if read_remote(folder) != remote:
            _write(folder / LOCK_FILE, read_lock(folder), remote)


def _write(path: Path, pins: dict[str, str], remote: str) -> None:
    known = f"remote = {json.dumps(remote)}\n" if remote else ""
    lines = [f'{path_of(name)} = "{pins[name]}"\n' for name in sorted(pins)]
    temporary = path.with_name(f".{path.name}.{new_id()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(f"{_HEAD}lock = {LOCK_FORMAT}\n{known}\n[data]\n{''.join(lines)}")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
