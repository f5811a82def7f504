"""Which rows of stored tables hold a value in certain columns.

It needs no database, so that a process may look while another one still opens it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thrive.domain.dataset import Column, FileEntry
from thrive.store.snapshots.tables import scan_files

if TYPE_CHECKING:
    import polars as pl


Person = tuple[str, ...]
"""A person as stored tables may spell them: the value of a subject column, and its pseudonym."""


class Wanted(NamedTuple):
    """A stored file of rows: its name, its bytes on this host, its types, and where to look."""

    entry: FileEntry
    path: Path
    types: Sequence[Column]
    columns: Sequence[str]


def count_rows(files: Iterable[Wanted], person: Person) -> dict[str, int]:
    """Return by digest how many rows of each file name a person; 0 where none does.

    Args:
        files: those to look at, each once.
        person: as text; numbers are compared as numbers.
    """
    import polars as pl

    counts: dict[str, int] = {}
    scans: dict[str, pl.LazyFrame] = {}
    for each in files:
        counts[each.entry.digest] = 0
        scan = scan_files([each.entry], [each.path], each.types)
        matches = names_person(scan.collect_schema(), each.columns, person)
        if matches is not None:
            scans[each.entry.digest] = scan.filter(matches).select(pl.len())
    for digest, frame in zip(scans, pl.collect_all(list(scans.values())), strict=True):
        counts[digest] = int(frame.item())
    return counts


def names_person(
    schema: "Mapping[str, pl.DataType]", columns: Sequence[str], person: Person
) -> "pl.Expr | None":
    """Return which rows name the person in one of the columns; None if none can.

    Args:
        schema: the types of the table's columns.
        columns: where to look; those that the table lacks are passed over.
        person: as text; numbers are compared as numbers.
    """
    import polars as pl

    parts = [
        part
        for name in columns
        for value in person
        if name in schema and (part := _equals(pl.col(name), schema[name], value)) is not None
    ]
    return pl.any_horizontal(parts).fill_null(value=False) if parts else None


def _equals(column: "pl.Expr", kind: "pl.DataType", value: str) -> "pl.Expr | None":
    import polars as pl

    if kind == pl.String:
        return column == value
    if kind.is_nested():
        return None
    if kind.is_integer() or kind.is_float() or kind.is_decimal():
        return _equals_number(column, kind, value)
    if kind == pl.Binary:
        return column == value.encode()
    return column.cast(pl.String) == value


def _equals_number(column: "pl.Expr", kind: "pl.DataType", value: str) -> "pl.Expr | None":
    import polars as pl

    try:
        if kind.is_integer():
            number = int(value)
            fits = -(1 << 63) <= number < 1 << 64
            return column == pl.lit(number) if fits else None
        return column == float(value)
    except ValueError:
        return None
