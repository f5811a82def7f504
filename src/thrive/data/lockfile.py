"""`thrive.lock`: the version of each dataset that a commit uses, by digest."""

import os
import tomllib
from pathlib import Path

from thrive.contract.lines import path_of
from thrive.domain.errors import UsageError
from thrive.domain.identifiers import is_digest, new_id
from thrive.store.lock import FileLock

LOCK_FILE = "thrive.lock"
LOCK_FORMAT = 1
_HEAD = """\
# The version of each dataset that this commit uses; written by `thrive data add`, to be committed.
"""


def read_lock(folder: Path) -> dict[str, str]:
    """Return dataset name -> version digest of a project's lock file; empty if there is none.

    Raises:
        UsageError: the file cannot be read, e.g. after a merge with conflicts.
    """
    path = folder / LOCK_FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"{path}: {error}.", "resolve it, or restore it from git") from None
    pins = content.get("data", {})
    sound = content.get("lock") == LOCK_FORMAT and isinstance(pins, dict)
    if not sound or not all(isinstance(pin, str) and is_digest(pin) for pin in pins.values()):
        raise UsageError(f"{path} is not a lock file of this Thrive.", "restore it from git")
    return dict(pins)


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
        _write(folder / LOCK_FILE, pins)


def _write(path: Path, pins: dict[str, str]) -> None:
    lines = [f'{path_of(name)} = "{pins[name]}"\n' for name in sorted(pins)]
    temporary = path.with_name(f".{path.name}.{new_id()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(f"{_HEAD}lock = {LOCK_FORMAT}\n\n[data]\n{''.join(lines)}")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
