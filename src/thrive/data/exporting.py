"""`data export`: the rows of a version as a table that other tools keep."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from thrive.data.access import how_to_read, log_read, view_of
from thrive.data.reading import find_version, hiding, scan_version, shown
from thrive.data.spreadsheet import without_formulas
from thrive.data.wanted import terms_of
from thrive.domain.actor import AUTHORS
from thrive.domain.errors import Conflict, UsageError
from thrive.domain.identifiers import new_id
from thrive.operations import Context, Kind, PathText, operation
from thrive.store.disk import full_disk
from thrive.store.sources import delta

if TYPE_CHECKING:
    import polars as pl

DELTA = "delta:"


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was written elsewhere: what, where, its rows.

    Attributes:
        dataset: its name.
        version: its number.
        to: the file, or the Delta table with the version that was written: `delta:PATH@4`.
        rows: how many the version has.
        pseudonyms: columns that hold personal data, and were written as pseudonyms.
        left_out: of how many people no row was written.
    """

    dataset: str
    version: int
    to: str
    rows: int
    pseudonyms: list[str] = []
    left_out: int = 0
    next_hint: str = ""


@operation("data export", kind=Kind.CLIENT, role=AUTHORS)
def export(ctx: Context, name: str, *, to: PathText) -> Exported:
    """Write the rows of a version as a Delta table, Parquet, CSV or JSON lines.

    A Delta table gets them as its next version, with the digest in its history; a file must not
    be there yet. In CSV, text that a spreadsheet would run as a formula gets an apostrophe before
    it. `data checkout` gives the files as they were added. Columns that hold personal data are
    pseudonyms unless a grant lets you read them, and the reading is logged.

    Args:
        name: the dataset, or one version of it as NAME@VERSION.
        to: `delta:FOLDER`, or a file that ends in .parquet, .csv or .jsonl.

    Raises:
        NotFound: there is no such version.
        Conflict: the file is there.
        UsageError: the version is no table, the ending is another, or deltalake is not installed.
        DiskFull: there is no space; the file was not made.

    Examples:
        thrive data export flights@2 --to delta:lake/flights
        thrive data export flights --to /tmp/flights.parquet
    """
    version = find_version(ctx, name)
    with ctx.read() as tx:
        declared = terms_of(ctx.folder, version.dataset).personal_kinds
        view = view_of(tx, ctx, version, declared)
    log_read(ctx, version, view)
    rows = shown(scan_version(version, ctx.home.blobs), hiding(ctx, view))
    base = ctx.local_folder()
    if to.startswith(DELTA):
        folder = base / Path(to.removeprefix(DELTA)).expanduser()
        note = f"{version.dataset}@{version.version} {version.digest}"
        written = f"{to}@{delta.write(rows.collect(), folder, note)}"
    else:
        written = str(_write(rows, base / Path(to).expanduser()))
    return Exported(
        dataset=version.dataset,
        version=version.version,
        to=written,
        rows=version.rows,
        pseudonyms=view.hidden,
        left_out=len(view.left_out),
        next_hint=how_to_read(version) if view.hidden else "",
    )


def _write(rows: "pl.LazyFrame", file: Path) -> Path:
    """Write a file that is there whole or not at all."""
    writers: dict[str, Callable[[Path], object]] = {
        ".parquet": rows.sink_parquet,
        ".csv": without_formulas(rows).sink_csv,
        ".jsonl": rows.sink_ndjson,
    }
    write = writers.get(file.suffix)
    if write is None:
        raise UsageError(
            f"{file.name!r} does not say what to write.",
            "--to delta:FOLDER, or a file that ends in .parquet, .csv or .jsonl",
        )
    if file.exists():
        raise Conflict(f"{file} is there already.", "name another file, or remove it")
    unfinished = file.with_name(f".{file.name}.{new_id()}")
    try:
        with full_disk(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
            write(unfinished)
            unfinished.rename(file)
    finally:
        unfinished.unlink(missing_ok=True)
    return file
