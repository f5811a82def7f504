"""A stored file without the rows of one person, in its own format.

Text keeps every other line as it stands, byte for byte; Parquet and Arrow keep their types.
"""

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.domain.errors import UsageError
from thrive.store.snapshots.matching import Person, names_person
from thrive.store.snapshots.tables import separator_in, suffix_of

if TYPE_CHECKING:
    import polars as pl

GZIP = b"\x1f\x8b"
PARQUET, ARROW = b"PAR1", b"ARROW1"
_Matches = Callable[[Any], bool]


def without_person(
    data: bytes,
    name: str,
    kinds: "Mapping[str, pl.DataType]",
    columns: Sequence[str],
    person: Person,
) -> bytes:
    """Return a file's bytes without the rows that name the person in one of the columns.

    Args:
        data: the file as it is stored.
        name: its name in the version; its ending says what it is.
        kinds: the types of the table's columns.
        columns: the columns that may name a person.
        person: as tables may spell them.

    Raises:
        UsageError: a file of this kind cannot be rewritten.
    """
    if data[:2] == GZIP:
        inner = without_person(gzip.decompress(data), name, kinds, columns, person)
        return gzip.compress(inner, mtime=0)
    if data[:4] == PARQUET:
        return rewritten_table(data, lambda frame: _kept(frame, columns, person))
    tests = {
        column: test
        for column in columns
        if column in kinds and (test := _text_test(kinds[column], person))
    }
    if suffix_of(name) == "csv":
        return _csv_without(data, tests, person)
    if suffix_of(name) == "jsonl":
        return _jsonl_without(data, list(tests), kinds, person)
    raise UsageError(f"{name} cannot be rewritten: only tables can.", "name it with --drop")


def is_table(data: bytes) -> bool:
    """Tell whether bytes are a Parquet or an Arrow file."""
    return data[:4] == PARQUET or data[:6] == ARROW


def rewritten_table(data: bytes, keep: "Callable[[pl.DataFrame], pl.DataFrame]") -> bytes:
    """Return a Parquet or Arrow file with the rows of its table that `keep` leaves."""
    import polars as pl

    target = io.BytesIO()
    if data[:4] == PARQUET:
        keep(pl.read_parquet(io.BytesIO(data))).write_parquet(target, compression="zstd")
    else:
        # texts in the layout of today lie in buffers that rows which went share: they would stay
        oldest = pl.CompatLevel.oldest()
        left = keep(pl.read_ipc(io.BytesIO(data)))
        left.write_ipc(target, compression="uncompressed", compat_level=oldest)
    return target.getvalue()


def _kept(frame: "pl.DataFrame", columns: Sequence[str], person: Person) -> "pl.DataFrame":
    matches = names_person(frame.schema, columns, person)
    return frame if matches is None else frame.filter(~matches)


def _text_test(kind: "pl.DataType", person: Person) -> _Matches | None:
    """Return what tells whether a field of text is the person's, None where none can be."""
    convert: Callable[[Any], Any]
    if kind.is_integer():
        convert = int
    elif kind.is_float() or kind.is_decimal():
        convert = float
    else:
        return lambda field: str(field) in person
    wanted = {number for value in person if (number := _converted(convert, value)) is not None}
    return (lambda field: _converted(convert, field) in wanted) if wanted else None


def _converted(convert: Callable[[Any], Any], field: Any) -> Any:
    try:
        return convert(field)
    except (ValueError, TypeError):
        return None


def _csv_without(data: bytes, tests: Mapping[str, _Matches], person: Person) -> bytes:
    lines = data.split(b"\n")
    separator = separator_in(lines[0])
    plain = all(value.isprintable() and not _is_number(value) for value in person)
    quick = plain and b'"' not in data
    drop = _quick(lines, separator, tests, person) if quick else _parsed(lines, separator, tests)
    return b"\n".join(line for number, line in enumerate(lines) if number not in drop)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _places(header: Sequence[str], tests: Mapping[str, _Matches]) -> list[tuple[int, _Matches]]:
    return [(place, tests[name]) for place, name in enumerate(header) if name in tests]


def _named(fields: Sequence[str], places: Sequence[tuple[int, _Matches]]) -> bool:
    return any(place < len(fields) and test(fields[place]) for place, test in places)


def _quick(
    lines: list[bytes], separator: str, tests: Mapping[str, _Matches], person: Person
) -> set[int]:
    """Return the lines of the person in a file without quotes, reading those with the value."""
    needles = [value.encode() for value in person]

    def fields(line: bytes) -> list[str]:
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape").split(separator)

    places = _places(fields(lines[0].removeprefix(b"\xef\xbb\xbf")), tests)
    chosen = (number for number, line in enumerate(lines) if number and _any_in(needles, line))
    return {number for number in chosen if _named(fields(lines[number]), places)}


def _any_in(needles: Sequence[bytes], line: bytes) -> bool:
    return any(needle in line for needle in needles)


def _parsed(lines: list[bytes], separator: str, tests: Mapping[str, _Matches]) -> set[int]:
    """Return the lines of the person, where fields may be quoted and hold line ends."""
    csv.field_size_limit(max(csv.field_size_limit(), sum(map(len, lines)) + 1))
    reader = csv.reader(_texts(lines), delimiter=separator)
    places = _places(next(reader, []), tests)
    drop: set[int] = set()
    before = reader.line_num
    for fields in reader:
        if _named(fields, places):
            drop.update(range(before, reader.line_num))
        before = reader.line_num
    return drop


def _texts(lines: Sequence[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines):
        start = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        yield start.decode("utf-8", "surrogateescape") + "\n"


def _jsonl_without(
    data: bytes, columns: Sequence[str], kinds: "Mapping[str, pl.DataType]", person: Person
) -> bytes:
    tests = {column: _text_test(kinds[column], person) for column in columns}
    needles = [value.encode() for value in person]
    numeric = any(kinds[column].is_numeric() for column in columns)

    def named(line: bytes) -> bool:
        if not (numeric or _any_in(needles, line) or b"\\" in line) or not line.strip():
            return False
        row = msgspec.json.decode(line)
        return any(
            column in row and test is not None and test(row[column])
            for column, test in tests.items()
        )

    return b"\n".join(line for line in data.split(b"\n") if not named(line))
