"""Reading files as one lazy table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thrive.domain.errors import NotFound, UsageError
from thrive.store.snapshots.tables import MISSING, SAMPLE_ROWS, separator_in, separator_of
from thrive.store.sources.kinds import FileKind, file_kind
from thrive.store.sources.packed import refuse_bomb

if TYPE_CHECKING:
    import zipfile

    import polars as pl


class ReadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How text files are read, by default as datasets are; Parquet says all of it itself.

    Attributes:
        null_values: spellings that stand for a missing value.
        separator: the character between two fields of a CSV line; "" goes by its header.
        has_header: whether the first line of a CSV file names the columns.
        parse_dates: whether columns of ISO 8601 dates and times become dates and times.
        sample_rows: rows from which the type of each column is guessed; None reads them all.
    """

    null_values: tuple[str, ...] = MISSING
    separator: str = ""
    has_header: bool = True
    parse_dates: bool = True
    sample_rows: int | None = SAMPLE_ROWS


def scan(paths: Sequence[Path], options: ReadOptions | None = None) -> "pl.LazyFrame":
    """Return the rows of all files, in the order of `paths`, without reading them yet.

    Columns are matched by name; a file may have them in another order, and a narrower numeric
    type is widened. A .zip is unpacked into memory, as it cannot be read in parts.

    Args:
        paths: files of one kind.
        options: how to read text files.

    Raises:
        UsageError: no file was given, kinds are mixed, or a file is not what its name says.
        NotFound: a file is not there.
    """
    import polars as pl

    if not paths:
        raise UsageError("There is no file to read.", "name at least one")
    gone = next((path for path in paths if not path.is_file()), None)
    if gone:
        raise NotFound(f"There is no file {gone}.", "check the source; it may have been moved")
    kind = _one_kind(paths)
    if kind is FileKind.PARQUET:
        return pl.scan_parquet(list(paths), cast_options=_widening())
    options = options or ReadOptions()
    frames = [_scan_text(path, kind, options) for path in paths]
    return frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal_relaxed")


def _one_kind(paths: Sequence[Path]) -> FileKind:
    kinds = {file_kind(path) for path in paths}
    if len(kinds) > 1:
        raise UsageError(
            f"{len(paths)} files are of different kinds: {', '.join(sorted(kinds))}.",
            'name one kind, e.g. "data/*.parquet"',
        )
    return kinds.pop()


def _widening() -> "pl.ScanCastOptions":
    import polars as pl

    return pl.ScanCastOptions(integer_cast="upcast", float_cast="upcast")


def _scan_text(path: Path, kind: FileKind, options: ReadOptions) -> "pl.LazyFrame":
    import polars as pl

    if kind is FileKind.JSONL:
        return pl.scan_ndjson(path, infer_schema_length=options.sample_rows)
    is_zip = path.name.lower().endswith(".zip")
    source = _unzipped(path) if is_zip else path
    header = source.split(b"\n", 1)[0] if isinstance(source, bytes) else b""
    found = separator_in(header) if is_zip else separator_of(path)
    return pl.scan_csv(
        source,
        null_values=list(options.null_values) or None,
        separator=options.separator or found,
        has_header=options.has_header,
        try_parse_dates=options.parse_dates,
        infer_schema_length=options.sample_rows,
    )


def _unzipped(path: Path) -> bytes:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            files = [entry for entry in archive.infolist() if not _is_clutter(entry)]
            if len(files) != 1:
                raise UsageError(
                    f"{path} holds {len(files)} files; one is read.", "unpack it into a folder"
                )
            refuse_bomb(path, files[0])
            return archive.read(files[0])
    except zipfile.BadZipFile:
        raise UsageError(f"{path} is named .zip but is no zip file.", "rename it") from None


def _is_clutter(entry: "zipfile.ZipInfo") -> bool:
    return entry.is_dir() or entry.filename.startswith("__MACOSX/")
