"""From the words of a contract to files on this machine."""

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from thrive.domain.errors import NotFound, UsageError
from thrive.store.sources.kinds import SUPPORTED, file_kind, known_kind

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_SQL = re.compile(r"\s*(select|with)\s", re.IGNORECASE)
_HINT = "give a path, a folder or a glob of local files"


def resolve(source: str, base: Path) -> list[Path]:
    """Return the files a source names, in the order of their paths.

    A folder gives all files below it that can be read, hidden ones left out; so does a glob, in
    which `**` reaches into folders. A file named directly is returned as it is.

    Args:
        source: a path, a folder or a glob; a relative one starts at `base`, `~` is the home.
        base: the project's folder. Files outside of it are allowed: the user is local.

    Raises:
        NotFound: nothing is there, or nothing that can be read; names what was looked for.
        UsageError: the source is empty, or of a kind that is not local files; a pipe or a device.
    """
    _refuse_what_is_no_file(source)
    words = Path(source).expanduser()
    path = Path(os.path.normpath(base / words))
    if path.is_file():
        file_kind(path)
        return [path]
    if path.is_dir():
        shown = (each for each in path.rglob("*") if not _is_hidden(each, path))
        return _readable(shown, f"the folder {path}")
    if glob.has_magic(source):
        # Path.glob takes no absolute patterns and enters hidden folders.
        found = glob.glob(str(words), root_dir=base, recursive=True)  # noqa: PTH207 - see above
        if not found:
            raise NotFound(f"No file matches {path}.", _suggestion(path))
        return _readable(_below(base, found), f"what matches {path}")
    if path.exists():
        raise UsageError(f"{path} is neither a file nor a folder.", "copy what it gives to a file")
    raise NotFound(f"There is no file or folder {path}.", _suggestion(path))


def _refuse_what_is_no_file(source: str) -> None:
    if not source.strip() or "\0" in source:
        raise UsageError(f"{source!r} is not a data source.", _HINT)
    if _SQL.match(source):
        raise UsageError(f"{source[:60]!r} is SQL, which is not a source here.", _HINT)
    scheme = _SCHEME.match(source)
    if scheme:
        raise UsageError(f"{source[:60]!r}: {scheme[0]} is not a source here.", _HINT)
    if source.endswith(".dvc"):
        raise UsageError(f"{source!r} is a DVC file.", "run `dvc pull` and name the data itself")


def _readable(paths: Iterable[Path], where: str) -> list[Path]:
    files = sorted(path for path in paths if known_kind(path) and path.is_file())
    if not files:
        raise NotFound(f"There is no file to read in {where}.", f"files that are read: {SUPPORTED}")
    return files


def _below(base: Path, names: list[str]) -> set[Path]:
    """Return matched files, and for matched folders (`year=*`) the files directly in them."""
    paths = {Path(os.path.normpath(base / name)) for name in names}
    return paths | {each for path in paths if path.is_dir() for each in path.iterdir()}


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _suggestion(path: Path) -> str:
    """Say how far the path exists, and which name there is close."""
    import difflib

    missing = path
    while not missing.parent.is_dir():
        missing = missing.parent
    parent = missing.parent
    close = difflib.get_close_matches(missing.name, [each.name for each in parent.iterdir()], n=1)
    if close:
        return f"did you mean {parent / close[0]}?"
    return f"{parent} exists and holds no {missing.name}"
