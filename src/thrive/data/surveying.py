"""What the rows of a table show by themselves, from one reading: columns, profile, checks, faults.

It knows nothing of the project and of earlier versions, so a process beside the command can do it;
`measuring` then says what it means. How files are stored is the work of others.
"""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thrive.data.labels import propose
from thrive.data.nearly import nearly
from thrive.data.personal_patterns import named_by_value
from thrive.data.profile import Profile, profile
from thrive.data.ragged import csv_faults, first_long_line
from thrive.data.survey import Asked, Measured, Survey, SurveyedColumn
from thrive.domain.dataset import Column, FileEntry
from thrive.domain.errors import UsageError
from thrive.statistics.sketch import NumericSketch
from thrive.store.snapshots.people import PeopleIndex
from thrive.store.snapshots.tables import SAMPLE_ROWS, TORN, scan_files, suffix_of, unquoted
from thrive.store.sources import Found
from thrive.store.sources.ahead import fits_in_memory

if TYPE_CHECKING:
    import polars as pl

_NO_TEXT = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ufffd]")

_LONE_RETURN = re.compile("\r(?!\n)")
_OPEN = 'could not parse `"'
"""What Polars says of a field that opens with a quotation mark, and swallows what follows."""
_NO_MOMENT = re.compile(r"as dtype `(?:date|time)[^`]*` at column '(.*)' \(column number ")
"""What Polars says of a column of moments in which a value is none, or is written another way."""
_MORE = "more fields"
"""What Polars says of a line with too many; which line, it does not say."""


class Files(msgspec.Struct, frozen=True):
    """The files of a table: what the version calls each, and where its bytes are."""

    entries: list[FileEntry]
    paths: list[Path]

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(each.size for each in self.entries)

    @property
    def names(self) -> list[str]:
        """What the version calls them."""
        return [each.path for each in self.entries]


def survey_found(found: Found, source: str, asked: Asked, home: Path) -> bytes:
    """Return the packed survey of a table that was found at a source.

    Args:
        found: its files.
        source: what the user named, for messages.
        asked: what the contract wants to be looked at.
        home: the home's folder.

    Raises:
        UsageError: the files cannot be read as one table.
    """
    states = found.states
    entries = [FileEntry(path=each[0], digest="", size=each[1]) for each in states]
    files = Files(entries, [Path(found.locate(each[0])) for each in states])
    return msgspec.msgpack.encode(survey_files(files, source, asked, PeopleIndex(home)))


def survey_files(
    files: Files,
    source: str,
    asked: Asked,
    index: PeopleIndex,
    table: "pl.DataFrame | None" = None,
) -> Survey:
    """Return what the rows of a table show.

    Args:
        files: its files.
        source: what the user named, for messages.
        asked: what the contract wants to be looked at.
        index: counts the people of a file whose rows were read anyway.
        table: its rows, where somebody read them already.

    Raises:
        UsageError: the files cannot be read as one table; the message holds none of its values.
    """

    def scan(whole: bool, texts: Sequence[str]) -> "pl.LazyFrame":
        if table is not None and not whole and not texts:
            return table.lazy()
        known = [Column(name=each, dtype="String", nullable=True) for each in texts]
        sample = None if whole else SAMPLE_ROWS
        return scan_files(files.entries, files.paths, known, sample=sample)

    fits = functools.partial(fits_in_memory, files.names, files.size)
    try:
        rows, found = _read(scan, source, fits, asked)
    except UsageError as error:
        where = first_long_line(files.entries, files.paths) if _MORE in str(error) else ""
        if not where:
            raise
        raise UsageError(f"{source} cannot be read as a table: {where}.", error.hint) from None
    missing = [each.found["missing"] for each in found.columns]
    whole = [each.name for each in found.columns if each.dtype.startswith(("Int", "UInt"))]
    faults = csv_faults(files.entries, files.paths, missing, whole)
    people = _people(files, rows, asked.subject, index)
    return msgspec.structs.replace(found, faults=faults, people=people)


def _read(
    scan: "Callable[[bool, Sequence[str]], pl.LazyFrame]",
    source: str,
    fits: "Callable[[pl.LazyFrame], bool]",
    asked: Asked,
) -> "tuple[pl.LazyFrame | pl.DataFrame, Survey]":
    """Survey a table.

    `scan` gives it: with types guessed from every row or from the first, and some columns as text.
    """
    import polars as pl

    whole, texts = False, list[str]()
    try:
        while True:
            try:
                rows = scan(whole, texts)
                names = rows.collect_schema().names()
                _refuse_no_text(source, names)
                _refuse_values(source, names)
                return _surveyed(_held(rows, fits), asked)
            except pl.exceptions.ComputeError as error:  # guessed types did not hold
                mixed = _NO_MOMENT.search(str(error))
                if mixed and mixed[1] not in texts:
                    texts.append(mixed[1])
                elif whole:
                    raise
                else:
                    whole = True
    except (pl.exceptions.PolarsError, *TORN) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the file's
        raise UsageError(
            f"{source} cannot be read as a table: {unquoted(error)}.", _remedy(error)
        ) from None


def _remedy(error: Exception) -> str:
    words = str(error)
    if "utf-8" in words.lower():
        return "save it as UTF-8, if it is text"
    return "close the quotation marks of its fields" if _OPEN in words else "correct the file"


def _refuse_no_text(source: str, names: Sequence[str]) -> None:
    """Refuse a file whose first line is no line of text: what follows would be read as anything."""
    if any(_NO_TEXT.search(name) for name in names):
        raise UsageError(
            f"{source} cannot be read as a table: its first line is not text.",
            "give the file the ending of what it is, or put it into a folder and add that",
        )
    if any(_LONE_RETURN.search(name) for name in names):
        raise UsageError(
            f"{source} cannot be read as a table: its lines end with a carriage return alone.",
            "end its lines with a line feed",
        )


def _refuse_values(source: str, names: Sequence[str]) -> None:
    """Refuse a table whose columns are named by values: names stand in every report."""
    for number, name in enumerate(names, 1):
        kind = named_by_value(name)
        if kind:
            raise UsageError(
                f"{source} cannot be read as a table: the name of its column {number} is a value "
                f"({kind}), as where the line of names is missing.",
                "name the columns in its first line",
            )


def _held(
    frame: "pl.LazyFrame", fits: "Callable[[pl.LazyFrame], bool]"
) -> "pl.LazyFrame | pl.DataFrame":
    return frame.collect() if fits(frame) else frame


def _surveyed(
    table: "pl.LazyFrame | pl.DataFrame", asked: Asked
) -> "tuple[pl.LazyFrame | pl.DataFrame, Survey]":
    found = profile(table)
    frame = table.lazy()
    schema = frame.collect_schema()
    return table, Survey(
        asked=asked,
        rows=found.rows,
        exact=found.exact,
        columns=[_column(name, kind, found) for name, kind in schema.items()],
        checks=_checked(frame, schema, asked),
    )


def _column(name: str, kind: "pl.DataType", found: Profile) -> SurveyedColumn:
    sketch = found.sketches.get(name)
    return SurveyedColumn(
        name=name,
        dtype=str(kind),
        found=found.columns[name],
        numeric=isinstance(sketch, NumericSketch),
        sketch=b"" if sketch is None else sketch.to_bytes(),
        proposal=propose(name, found.samples.get(name), kind),
        nearly=nearly(found.samples.get(name)),
    )


def _checked(frame: "pl.LazyFrame", schema: "pl.Schema", asked: Asked) -> list[Measured]:
    if not asked.checks:
        return []
    from thrive.contract.checks import parse_check  # where nobody asks, nobody pays for it
    from thrive.data.checks import measure_checks

    return measure_checks(frame, schema, [parse_check(each) for each in asked.checks])


def _people(
    files: Files, rows: "pl.LazyFrame | pl.DataFrame", subject: str, index: PeopleIndex
) -> bytes:
    """Count the people of one Parquet file in memory; others are read again for it."""
    import polars as pl

    if not isinstance(rows, pl.DataFrame) or subject not in rows.columns:
        return b""
    if [suffix_of(each) for each in files.names] != ["parquet"]:
        return b""
    return index.counted(files.size, rows.get_column(subject))
