"""What a file is, by its name; and by its first bytes where a name would mislead."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from thrive.domain.errors import UsageError

_PARQUET_MAGIC = b"PAR1"
_PACKED = (".gz", ".zip")
_LOOKED_AT = 64 << 10
"""Bytes of a text file in which NUL bytes are looked for."""


class FileKind(StrEnum):
    """The kinds of file that can be read as a table."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"


_SUFFIXES = {
    ".csv": FileKind.CSV,
    ".csv.gz": FileKind.CSV,
    ".csv.zip": FileKind.CSV,
    ".tsv": FileKind.CSV,
    ".tsv.gz": FileKind.CSV,
    ".parquet": FileKind.PARQUET,
    ".pq": FileKind.PARQUET,
    ".jsonl": FileKind.JSONL,
    ".ndjson": FileKind.JSONL,
}
_ENDINGS = tuple(_SUFFIXES)
SUPPORTED = ", ".join(_SUFFIXES)
"""The endings of names that are read, for messages."""


def is_table_name(name: str) -> bool:
    """Tell whether a file's name says that it can be read as a table."""
    return name.lower().endswith(_ENDINGS)


def table_names(names: Iterable[str]) -> int:
    """Return how many of these names say so."""
    return [name.lower().endswith(_ENDINGS) for name in names].count(True)


def known_kind(path: Path) -> FileKind | None:
    """Return the kind that the file's name says, or None for names that are not read."""
    name = path.name.lower()
    return next((kind for ending, kind in _SUFFIXES.items() if name.endswith(ending)), None)


def file_kind(path: Path) -> FileKind:
    """Return the kind of a file.

    Raises:
        UsageError: its name has no ending that is read, or says Parquet or text over other bytes.
    """
    kind = known_kind(path)
    if kind is None:
        raise UsageError(f"{path} is no file that can be read as a table.", f"use {SUPPORTED}")
    if kind is FileKind.PARQUET and not _starts_as_parquet(path):
        raise UsageError(
            f"{path} is named like Parquet but does not start like it.", "rename or rewrite it"
        )
    if kind is not FileKind.PARQUET and _holds_nul(path):
        raise UsageError(
            f"{path} is not text: its first {_LOOKED_AT >> 10} KiB hold NUL bytes, as torn files "
            "and UTF-16 do.",
            "write it as UTF-8, or give it the ending of what it is",
        )
    return kind


def _holds_nul(path: Path) -> bool:
    """Tell whether a text file begins with what no text has; readers take it for values."""
    if path.name.lower().endswith(_PACKED) or not path.is_file():
        return False
    with path.open("rb") as file:
        return b"\0" in file.read(_LOOKED_AT)


def _starts_as_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
