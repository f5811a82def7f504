"""Reading `thrive.lock`: the version of each dataset that a commit uses, by digest."""

import tomllib
from pathlib import Path
from typing import Any

from thrive.domain.errors import UsageError
from thrive.domain.identifiers import is_digest

LOCK_FILE = "thrive.lock"
LOCK_FORMAT = 1


def read_remote(folder: Path) -> str:
    """Return where a project's data is pushed to, as its lock file says; empty if nowhere yet.

    Raises:
        UsageError: the file cannot be read.
    """
    remote = _content(folder / LOCK_FILE).get("remote", "")
    return remote if isinstance(remote, str) else ""


def read_lock(folder: Path) -> dict[str, str]:
    """Return dataset name -> version digest of a project's lock file; empty if there is none.

    Raises:
        UsageError: the file cannot be read, e.g. after a merge with conflicts.
    """
    path = folder / LOCK_FILE
    content = _content(path)
    if not content:
        return {}
    pins = content.get("data", {})
    sound = content.get("lock") == LOCK_FORMAT and isinstance(pins, dict)
    if not sound or not all(isinstance(pin, str) and is_digest(pin) for pin in pins.values()):
        raise UsageError(f"{path} is not a lock file of this Thrive.", "restore it from git")
    return dict(pins)


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"{path}: {error}.", "resolve it, or restore it from git") from None
