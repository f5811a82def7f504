"""What is installed: name, version and digest of each library that an import would find.

The digest is over the files that an installer listed with their own digests (`RECORD`), without
those that differ from one installation to the next: it is equal wherever the same wheel was
installed. A folder is read once; until it changes, what was read stands in the user's cache.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from blake3 import blake3

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_OF_AN_INSTALLATION = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json")
_WIDTH = 32


class Library(msgspec.Struct, frozen=True, array_like=True):
    """One library; `digest` is "" where its installer listed no files."""

    name: str
    version: str
    digest: str


class _Read(msgspec.Struct, frozen=True, array_like=True):
    changed_at: int
    libraries: list[Library]


def user_cache(name: str) -> Path:
    """Return a folder of the user's cache, made when missing."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(root) / "thrive" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def installed(folders: Iterable[str]) -> dict[str, Library]:
    """Return the libraries in some folders by name; the first of a name is the one that counts."""
    found: dict[str, Library] = {}
    for folder in folders:
        for library in _in_folder(folder):
            found.setdefault(library.name, library)
    return dict(sorted(found.items()))


def _in_folder(folder: str) -> list[Library]:
    try:
        changed_at = Path(folder).stat().st_mtime_ns
        cached = user_cache("libraries") / blake3(folder.encode()).hexdigest()[:_WIDTH]
    except (OSError, RuntimeError):  # it is not there, or there is no place for a cache
        return _read(folder)
    try:
        known = msgspec.msgpack.decode(cached.read_bytes(), type=_Read)
        if known.changed_at == changed_at:
            return known.libraries
    except (OSError, msgspec.DecodeError):
        pass
    libraries = _read(folder)
    if libraries:
        _keep(cached, _Read(changed_at, libraries))
    return libraries


def _keep(path: Path, read: _Read) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(msgspec.msgpack.encode(read))
        beside.replace(path)
    except OSError:  # then it is read again
        return


def _read(folder: str) -> list[Library]:
    from importlib.metadata import distributions  # it reaches the parsers of mails and archives

    found: list[Library] = []
    for distribution in distributions(path=[folder]):
        head = distribution.metadata
        if "Name" in head and "Version" in head:
            name, version = head["Name"].lower(), head["Version"]
            found.append(Library(name, version, _digest(distribution)))
    return found


def _digest(distribution: "Distribution") -> str:
    listed = distribution.read_text("RECORD")
    kept = sorted(filter(None, map(_content, (listed or "").splitlines())))
    return blake3("\n".join(kept).encode()).hexdigest()[:_WIDTH] if kept else ""


def _content(line: str) -> str:
    """Return path and digest of a file that every installation has alike, else ""."""
    path, _, rest = line.rpartition(",")[0].rpartition(",")
    own = ".dist-info/" in path and path.rpartition("/")[2] in _OF_AN_INSTALLATION
    foreign = path.startswith(("..", "/")) or path.endswith(".pyc")
    return "" if own or foreign or not rest else f"{path} {rest}"
