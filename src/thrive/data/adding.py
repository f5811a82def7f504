"""Adding a version: copy the files in, read them once, judge the checks, then write one row.

The row comes last: whoever reads it finds every blob it names, durably stored.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.contract.parse import load
from thrive.contract.schema import DataTerms
from thrive.data.checks import FAIL, check_query, judge
from thrive.data.files import found_files, manifest, store_files
from thrive.data.profile import EXACT_CELLS, columns_of, profile_of, read_profile
from thrive.data.reading import local_paths
from thrive.data.tables import SAMPLE_ROWS, scan_files
from thrive.domain.clock import ClockMode
from thrive.domain.dataset import Column, Dataset, DatasetVersion, FileEntry
from thrive.domain.errors import NotFound, UsageError
from thrive.operations import Context
from thrive.store import datasets
from thrive.store.database import Tx

if TYPE_CHECKING:
    import polars as pl

IN_MEMORY_BYTES = 512 << 20
"""Sources up to this size are read into memory once; larger ones are streamed."""
STORING = 0.5
"""The share of the work that copying takes, for the progress bar."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over a version's rows found."""

    columns: list[Column]
    profile: dict[str, Any]
    checks: list[dict[str, Any]]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to add: the dataset's name, its source, and who answers for it and why."""

    name: str
    source: str
    owner: str
    why: str
    terms: DataTerms


def terms_of(ctx: Context, name: str) -> DataTerms:
    """Return what the contract says about a dataset; nothing where there is no contract."""
    try:
        return load(ctx.local_folder()).contract.data.get(name, DataTerms())
    except NotFound:
        return DataTerms()


def add_version(ctx: Context, wanted: Wanted) -> tuple[DatasetVersion, bool]:
    """Add a version of a dataset; return it, and whether it is new.

    Content that is there already gives the version that has it, with its checks judged anew.

    Raises:
        NotFound: nothing is at the source.
        UsageError: the source cannot be read as a table.
        DiskFull: there is no space; no version was made.
    """
    blobs = ctx.home.blobs
    base, temporary = ctx.local_folder(), ctx.home.temporary_folder
    with found_files(wanted.source, base, temporary) as found:
        modified_at = max(round(file.path.stat().st_mtime * 1_000_000) for file in found)
        entries = store_files(found, blobs, ctx.progress, STORING)
    digest = blobs.put(manifest(entries))
    ctx.progress(STORING, "reading the rows")
    reading = _read(ctx, entries, wanted, modified_at)
    ctx.progress(1.0, "writing the version")
    with ctx.write(f"dataset:{wanted.name}", digest=digest, source=wanted.source) as tx:
        _save_dataset(tx, ctx, wanted)
        known = _known(tx, ctx, wanted.name, digest)
        if known is not None:
            return _renewed(tx, ctx, known, reading), False
        version = _version(tx, ctx, wanted, entries, digest, reading)
        datasets.insert_version(tx, ctx.project_id, version)
    return version, True


def _save_dataset(tx: Tx, ctx: Context, wanted: Wanted) -> None:
    present = {each.name: each for each in datasets.find(tx, ctx.project_id)}.get(wanted.name)
    dataset = Dataset(
        name=wanted.name,
        owner=wanted.owner or (present.owner if present else ""),
        why=wanted.why or (present.why if present else ""),
        created_at=present.created_at if present else ctx.now(),
    )
    if dataset != present:
        datasets.save(tx, ctx.project_id, dataset)


def _known(tx: Tx, ctx: Context, name: str, digest: str) -> DatasetVersion | None:
    same = datasets.find_by_digest(tx, ctx.project_id, digest)
    return next((version for version in same if version.dataset == name), None)


def _renewed(tx: Tx, ctx: Context, known: DatasetVersion, reading: Reading) -> DatasetVersion:
    """Return a known version with the checks and labels of the present contract.

    A person's decision on whether it may be trained on stands.
    """
    decisions = [check for check in known.checks if "by" in check]
    checks = [*reading.checks, *decisions]
    version = msgspec.structs.replace(
        known,
        columns=reading.columns,
        checks=checks,
        trainable=known.trainable if decisions else _all_pass(checks),
    )
    if version != known:
        datasets.replace_version(tx, ctx.project_id, version)
    return version


def _version(
    tx: Tx,
    ctx: Context,
    wanted: Wanted,
    entries: list[FileEntry],
    digest: str,
    reading: Reading,
) -> DatasetVersion:
    return DatasetVersion(
        dataset=wanted.name,
        version=datasets.next_version(tx, ctx.project_id, wanted.name),
        digest=digest,
        source=wanted.source,
        files=entries,
        rows=reading.profile["rows"],
        size=sum(entry.size for entry in entries),
        columns=reading.columns,
        created_at=ctx.now(),
        actor=ctx.actor.name,
        profile=reading.profile,
        checks=reading.checks,
        trainable=_all_pass(reading.checks),
        replay=ctx.home.clock().mode is ClockMode.REPLAY,
    )


def _all_pass(checks: Sequence[dict[str, Any]]) -> bool:
    return not any(check["state"] == FAIL for check in checks)


def _read(ctx: Context, entries: list[FileEntry], wanted: Wanted, modified_at: int) -> Reading:
    """Profile a version's rows and judge the contract's checks on them.

    Raises:
        UsageError: the files cannot be read as one table.
    """
    import polars as pl

    with local_paths(entries, ctx.home) as paths:
        try:
            try:
                return _measured(ctx, _frame(entries, paths, SAMPLE_ROWS), wanted, modified_at)
            except pl.exceptions.ComputeError:  # types guessed from the first rows did not hold
                return _measured(ctx, _frame(entries, paths, None), wanted, modified_at)
        except pl.exceptions.PolarsError as error:
            reason = str(error).strip().split("\n", 1)[0].rstrip(".")
            raise UsageError(
                f"{wanted.source} cannot be read as a table: {reason}.", "correct the file"
            ) from error


def _frame(entries: list[FileEntry], paths: list[Path], sample: int | None) -> "pl.LazyFrame":
    frame = scan_files(entries, paths, sample=sample)
    small = sum(entry.size for entry in entries) <= IN_MEMORY_BYTES
    return frame.collect().lazy() if small else frame


def _measured(ctx: Context, frame: "pl.LazyFrame", wanted: Wanted, modified_at: int) -> Reading:
    import polars as pl

    terms = wanted.terms
    checks = list(zip(terms.checks, terms.parsed_checks(), strict=True))
    schema = frame.collect_schema()
    rows = frame.select(pl.len()).collect(engine="streaming").item()
    exact = rows * len(schema) <= EXACT_CELLS
    queries = [
        profile_of(frame, schema, terms.personal, exact=exact),
        check_query(frame, schema, [check for _, check in checks]),
    ]
    profiled, checked = pl.collect_all(queries, engine="streaming")
    profile = read_profile(profiled.row(0, named=True), schema, exact=exact)
    measured = checked.row(0, named=True)
    return Reading(
        columns=columns_of(schema, profile, terms.personal),
        profile=profile,
        checks=judge(checks, schema, measured, now=ctx.now(), modified_at=modified_at),
    )
