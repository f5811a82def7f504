"""A Delta table at a version, read through `deltalake` (an extra)."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from thrive.domain.errors import NotFound, UsageError
from thrive.store.sources.slices import write_rows

if TYPE_CHECKING:
    import polars as pl
    from deltalake import DeltaTable

_SPELLED = re.compile(r"(?:delta:)?(?P<path>.+?)(?:@(?P<version>\d+))?")
_PREFIX = "delta:"


def is_delta(source: str, base: Path) -> bool:
    """Tell whether a source is a Delta table: it says so, or its folder has a `_delta_log`."""
    if source.startswith(_PREFIX):
        return True
    path, _ = _split(source)
    return bool(path) and "\0" not in path and (base / path / "_delta_log").is_dir()


def _split(source: str) -> tuple[str, int | None]:
    found = _SPELLED.fullmatch(source)
    if found is None:
        return "", None
    return found["path"], int(found["version"]) if found["version"] else None


def _open(source: str, base: Path) -> "DeltaTable":
    """Open a table at the version that the source names, the newest if it names none."""
    if find_spec("deltalake") is None:
        raise UsageError(
            f"{source!r} is a Delta table, and deltalake is not installed.",
            'pip install "thrive[delta]"',
        )
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    path, version = _split(source)
    place = path if "://" in path else str((base / Path(path).expanduser()).resolve())
    try:
        return DeltaTable(place, version=version)
    except (DeltaError, FileNotFoundError, ValueError) as error:
        first = str(error).split("\n", 1)[0].rstrip(".")[:200]
        raise NotFound(
            f"{source!r} cannot be opened: {first}.", "write delta:PATH@VERSION"
        ) from None


def pinned(source: str, base: Path) -> str:
    """Return the source with the version that it means now: `delta:lake/flights@7`."""
    path, version = _split(source)
    return f"{_PREFIX}{path}@{_open(source, base).version() if version is None else version}"


def mark(source: str, base: Path) -> str:
    """Return the version that a source means now, with the id of its table."""
    table = _open(source, base)
    return f"delta:{table.metadata().id}@{table.version()}"


def copy(source: str, base: Path, folder: Path) -> Path:
    """Write a table's rows as Parquet; return the file, or the folder of files in order."""
    return write_rows(scan_table(_open(source, base)), folder)


def scan_table(table: "DeltaTable") -> "pl.LazyFrame":
    """Return the rows of an open table."""
    import polars as pl

    return pl.scan_delta(table)


def write(frame: "pl.DataFrame", target: Path, note: str) -> int:
    """Write rows as the next version of a Delta table, and return its number.

    Args:
        frame: the rows; they replace what the table held.
        target: the folder, made if it is missing.
        note: kept in the table's history.

    Raises:
        UsageError: deltalake is not installed, or the folder holds something else.
    """
    if find_spec("deltalake") is None:
        raise UsageError("deltalake is not installed.", 'pip install "thrive[delta]"')
    from deltalake import CommitProperties, DeltaTable, write_deltalake

    if target.exists() and any(target.iterdir()) and not (target / "_delta_log").is_dir():
        raise UsageError(f"{target} is no Delta table and not empty.", "name another folder")
    write_deltalake(
        str(target),
        frame,
        mode="overwrite",
        schema_mode="overwrite",
        commit_properties=CommitProperties(custom_metadata={"thrive": note}),
    )
    return DeltaTable(str(target)).version()
