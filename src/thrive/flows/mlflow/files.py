"""Files of a source on this machine: which folder an address names, and what lies in it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from thrive.domain.errors import CannotTell
from thrive.flows.mlflow.source import Fetch


def folder_of(uri: str, proxied: Path) -> Path:
    """Return the folder that an artifact address names.

    Args:
        uri: a path, `file:` or `mlflow-artifacts:`.
        proxied: the folder of what a server passes on.

    Raises:
        CannotTell: the address is of another machine, or leads out of the folder.
    """
    parts = urlsplit(uri)
    if parts.scheme == "mlflow-artifacts":
        inside = unquote(parts.path).strip("/")
        if ".." in inside.split("/"):
            raise CannotTell(f"The address {uri[:80]} leads elsewhere.", "look at it by hand")
        return proxied / inside
    if parts.scheme not in {"", "file"}:
        raise CannotTell(f"The files at {uri[:80]} are not on this machine.", "copy them by hand")
    return Path(unquote(parts.path))


def files_below(folder: Path) -> Iterator[tuple[str, Fetch]]:
    """Yield name and content of each file below a folder, by name; links are not followed."""
    for place, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            if path.is_symlink() or not path.is_file():
                continue
            yield path.relative_to(folder).as_posix(), _fetch(path)


def _fetch(path: Path) -> Fetch:
    def fetch(to: Path) -> None:
        shutil.copyfile(path, to, follow_symlinks=False)

    return fetch
