"""What a CSV file has that a table of it does not show: short lines, columns of one name, zeros.

Polars fills a line that ends early with missing values, and renames the second of two columns. Both
are read as they were meant only if somebody looks: they become failed checks of the version. It
reads `02134` as the number 2134, which is told and fails nothing.
"""

import csv
import gzip
import operator
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from thrive.data.checks import FAIL, PASS, ZEROS
from thrive.domain.dataset import FileEntry
from thrive.store.snapshots.tables import separator_in, suffix_of

LINES, HEADER = "every line has all fields", "every column has its own name"
"""The two checks; they are told of only where they fail."""
_ZEROS = r"^0\d{2,}$"
_MAY_HAVE_ZEROS = re.compile(rb"(?<![^,;\t|\"\n])0\d{2,}(?![^,;\t|\"\r\n])")
_LOOKED_AT = 64 << 10
"""Bytes at the head of a file in which such numbers are looked for."""
_LONGEST_HEADER = 1 << 20
_LINE, _PLAIN, _FIELDS = "line", "plain", "fields"
_QUOTED = '"[^"]*"'


class _Odd(NamedTuple):
    """How many lines of a file end early, or late, and the number of the first one."""

    lines: int
    first: int


def csv_faults(
    entries: Sequence[FileEntry],
    paths: Sequence[Path],
    missing: Sequence[int],
    whole: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Return the failed checks of a table's CSV files, and what else is to be told of them.

    Args:
        entries: the files as the version names them.
        paths: where the bytes of each are.
        missing: how many values each column of the table lacks. Where its last one lacks none no
            line is short, and nothing is read again.
        whole: its columns of whole numbers.
    """
    if suffix_of(entries[0].path) != "csv":
        return []
    found = _zeros(paths[0], whole) if whole else []
    may_be_short = len(entries) > 1 or missing[-1] > 0
    for entry, path in zip(entries, paths, strict=True):
        header = _header(path)
        where = f" of {entry.path}" if len(entries) > 1 else ""
        for name, times in Counter(header).items():
            if times > 1 and name:
                words = f"{name!r} names {times} columns{where}: all but the first are renamed"
                found.append({"check": HEADER, "state": FAIL, "found": words})
        short = _odd_lines(path, header, operator.lt) if may_be_short and len(header) > 1 else None
        if short is not None and short.lines:
            count = "1 ends" if short.lines == 1 else f"{short.lines:,} end"
            words = f"{count} before the last field, the first is line {short.first:,}"
            found.append({"check": LINES, "state": FAIL, "found": f"{words}{where}"})
    return found


def _zeros(path: Path, whole: Sequence[str]) -> list[dict[str, Any]]:
    """Tell of the columns of whole numbers whose text begins with zeros, in the head of a file."""
    import polars as pl

    with _opened(path) as file:
        head = file.read(_LOOKED_AT)
    if not _MAY_HAVE_ZEROS.search(head):
        return []
    lines = head[: head.rfind(b"\n") + 1] if len(head) == _LOOKED_AT else head
    texts = pl.read_csv(
        lines, separator=separator_in(lines.split(b"\n", 1)[0]), infer_schema=False
    ).select(pl.col(name for name in whole).str.contains(_ZEROS).any())
    names = [name for name, begins in texts.row(0, named=True).items() if begins]
    if not names:
        return []
    words = f"{', '.join(names)}: read as numbers, without the zeros that values begin with"
    return [{"check": ZEROS, "state": PASS, "found": words}]


def _opened(path: Path) -> "gzip.GzipFile | IO[bytes]":
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


def _header(path: Path) -> list[str]:
    """Return the names in the first line of a CSV file."""
    with _opened(path) as file:
        line = file.readline(_LONGEST_HEADER)
    text = line.decode("utf-8-sig", "replace")
    return next(csv.reader([text], delimiter=separator_in(line)), [])


def first_long_line(entries: Sequence[FileEntry], paths: Sequence[Path]) -> str:
    """Return in words which line of a table's CSV files has more fields than its header."""
    for entry, path in zip(entries, paths, strict=True):
        if suffix_of(entry.path) == "csv":
            found = _odd_lines(path, _header(path), operator.gt)
            if found.lines:
                return f"line {found.first:,} of {entry.path} has more fields than its header"
    return ""


def _odd_lines(path: Path, header: Sequence[str], odd: Callable[[Any, Any], Any]) -> _Odd:
    """Return which lines of a CSV file have too few or too many fields; empty ones do not count.

    Lines are counted by their separators outside of quotes; a file in which a quoted field spans
    lines is read field by field.
    """
    import polars as pl

    with _opened(path) as file:
        separator = separator_in(file.readline(_LONGEST_HEADER))
    lines = pl.scan_csv(
        path,
        has_header=False,
        separator="\x1f",
        quote_char=None,
        schema={_LINE: pl.String},
        truncate_ragged_lines=True,
        glob=False,
    ).with_row_index("number", 1)
    plain = lines.with_columns(pl.col(_LINE).str.replace_all(_QUOTED, "").alias(_PLAIN))
    fields = 1 + pl.col(_PLAIN).str.count_matches(separator, literal=True)
    found = odd(fields, len(header)) & (pl.col(_LINE) != "")
    told = plain.select(
        spans=pl.col(_PLAIN).str.contains('"', literal=True).any(),
        lines=found.sum(),
        first=pl.col("number").filter(found).min(),
    ).collect(engine="streaming")
    spans, count, first = told.row(0)
    if spans:
        return _by_field(path, separator, len(header), odd)
    return _Odd(count or 0, first or 0)


def _by_field(path: Path, separator: str, width: int, odd: Callable[[Any, Any], Any]) -> _Odd:
    count, first, begins = 0, 0, 1
    with _opened(path) as file:
        reader = csv.reader((line.decode("utf-8", "replace") for line in file), delimiter=separator)
        for row in reader:
            if row and odd(len(row), width):
                count += 1
                first = first or begins
            begins = reader.line_num + 1
    return _Odd(count, first)
