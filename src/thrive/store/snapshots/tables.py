"""A dataset version's files as one table.

Text files are read with the types that were found when the version was added, so that every
reader sees the same table. In CSV an empty field and the words of `MISSING` stand for a missing
value, in text columns as well.
"""

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thrive.domain.dataset import Column, FileEntry

if TYPE_CHECKING:
    import polars as pl

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
TORN = (OSError, EOFError, zlib.error)
"""What reading a torn archive raises; an OSError with a number is the disk's."""
SAMPLE_ROWS = 10_000
SEPARATORS = (",", ";", "\t", "|")
HEADER_BYTES = 1 << 16
"""As much of a file is looked at for the separator of its header."""
_DATETIME = re.compile(r"Datetime\(time_unit='(\w+)', time_zone=(?:'([^']+)'|None)\)")


def scan_files(
    entries: Sequence[FileEntry],
    paths: Sequence[Path],
    columns: Sequence[Column] = (),
    sample: int | None = SAMPLE_ROWS,
) -> "pl.LazyFrame":
    """Return the rows of all files, in the order of their names, without reading them yet.

    Columns are matched by name; a column that a file lacks is missing in its rows.

    Args:
        entries: the files as the version names them; their endings say what they are.
        paths: where the bytes of each entry are.
        columns: the version's columns; empty while they are not known yet.
        sample: rows of a text file from which unknown types are guessed; None takes all.
    """
    import polars as pl

    suffix = suffix_of(entries[0].path)
    if suffix == "parquet":
        return pl.scan_parquet(
            list(paths),
            glob=False,
            missing_columns="insert",
            cast_options=pl.ScanCastOptions(integer_cast="upcast", float_cast="upcast"),
        )
    read = _scan_lines if suffix == "jsonl" else _scan_csv
    frames = [read(path, columns, sample) for path in paths]
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")


def suffix_of(name: str) -> str:
    """Return what a file is by its name: `csv`, `parquet` or `jsonl`."""
    ending = name.lower().removesuffix(".gz").rpartition(".")[2]
    return {"pq": "parquet", "ndjson": "jsonl", "tsv": "csv"}.get(ending, ending)


def _scan_lines(path: Path, columns: Sequence[Column], sample: int | None) -> "pl.LazyFrame":
    import polars as pl

    return pl.scan_ndjson(path, schema_overrides=_types(columns), infer_schema_length=sample)


def _scan_csv(path: Path, columns: Sequence[Column], sample: int | None) -> "pl.LazyFrame":
    import polars as pl

    options: dict[str, Any] = {
        "separator": separator_of(path),
        "null_values": list(MISSING),
        "try_parse_dates": True,
        "glob": False,
    }
    return pl.scan_csv(
        path, schema_overrides=_types(columns), infer_schema_length=sample, **options
    )


def separator_of(path: Path) -> str:
    """Return the character between the fields of a CSV file: the most frequent in its header."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        return separator_in(file.readline(HEADER_BYTES))


def separator_in(header: bytes) -> str:
    """Return the character between the fields of a CSV file, by how it begins."""
    line = header.partition(b"\n")[0].decode("utf-8", "replace")
    return max(SEPARATORS, key=line.count)


def unquoted(error: Exception) -> str:
    """Return the first line of a reader's message without what it quotes from the data.

    A value may span lines: what is quoted in the first one may end in a later one, or not at all.
    """
    plain = re.sub(r"`[^`]*(?:`|$)|\"[^\"]*(?:\"|$)", "`...`", str(error).strip())
    return plain.split("\n", 1)[0].rstrip(".")[:200]


def _types(columns: Sequence[Column]) -> dict[str, Any]:
    types = {column.name: type_of(column.dtype) for column in columns}
    return {name: kind for name, kind in types.items() if kind is not None}


def type_of(text: str) -> Any:
    """Return the polars type that a column's `dtype` spells, e.g. `Int64`; None for nested ones.

    Parquet says its types itself, and nested JSON has only one way to be read.
    """
    import polars as pl

    moment = _DATETIME.fullmatch(text)
    if moment:
        return pl.Datetime(moment[1], moment[2])  # pyright: ignore[reportArgumentType] - a unit
    return getattr(pl, text, None)
