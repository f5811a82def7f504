"""The operations of versioned data."""

import functools
import os
from pathlib import Path
from typing import Any

import msgspec

from thrive.contract.parse import parse
from thrive.contract.schema import DataTerms
from thrive.data.adding import Delivery, add_version, make_version
from thrive.data.checks import FAIL, PASS
from thrive.data.diff import VersionDiff, diff_tables
from thrive.data.diff_page import as_html
from thrive.data.files import read_manifest
from thrive.data.keeping import stored_contents
from thrive.data.lineage import counted
from thrive.data.lockfile import pin
from thrive.data.measuring import SCHEMA
from thrive.data.reading import find_version, scan_version
from thrive.data.wanted import MEMORY, Wanted, terms_of, wanted_in
from thrive.domain.actor import ANYONE, BUILDERS, PEOPLE
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import UsageError
from thrive.domain.identifiers import checked_name
from thrive.operations import Context, Kind, operation
from thrive.store import datasets, uploads
from thrive.store.snapshots.checkout import Target, check_out
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.snapshots.states import state_cache
from thrive.store.sources import is_table


class AddedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The version that holds what was added; `is_new` is False if it was there already."""

    dataset: str
    version: int
    is_new: bool
    digest: str
    rows: int
    columns: int
    files: int
    size: int
    trainable: bool
    failed: list[str]
    note: str


class DatasetLine(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset with its newest version."""

    name: str
    versions: int
    rows: int
    size: int
    trainable: bool
    owner: str
    why: str
    changed_at: int


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a dataset."""

    version: int
    digest: str
    rows: int
    size: int
    trainable: bool
    source: str
    actor: str
    created_at: int
    made_by: str


class ColumnView(msgspec.Struct, frozen=True, kw_only=True):
    """One column with its label and its profile.

    `personal` is the kind a person said, `proposed` the one it seems to hold; `asked` says that
    somebody must still say it.
    """

    name: str
    type: str
    personal: str
    proposed: str
    asked: bool
    missing: int
    distinct: int | None
    min: Any
    max: Any
    mean: float | None
    std: float | None
    quantiles: dict[str, float | None]
    top: list[Any]


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a dataset, with all that is known of it."""

    dataset: str
    version: int
    digest: str
    owner: str
    why: str
    source: str
    rows: int
    files: int
    size: int
    trainable: bool
    created_at: int
    actor: str
    made_by: str
    read_by_runs: int
    trained: list[str]
    columns: list[ColumnView]
    checks: list[dict[str, Any]]
    manifest: str = ""


class CheckedOut(msgspec.Struct, frozen=True, kw_only=True):
    """Files of a version that were written into a folder, and of an earlier one removed from it."""

    dataset: str
    version: int
    folder: str
    files: int
    written: int
    removed: int = 0


@operation(
    "data add",
    kind=Kind.CLIENT,
    role=BUILDERS,
    writes=True,
    next_hint="thrive data show {dataset}@{version}",
)
def add(
    ctx: Context, path: str = "", *, name: str = "", owner: str = "", why: str = ""
) -> AddedVersion:
    """Add a version of a dataset: copy it in, profile it, run the contract's checks.

    The same content again gives the version that is there. What the contract says in [data.NAME]
    stands in for what is not given. `thrive.lock` then names the version.

    Args:
        path: a file, a folder or a glob (CSV, also .gz and .zip, Parquet, JSON lines); an address
            (s3://, gs://, az://, https://); CONNECTION: select ...; delta:PATH@VERSION; a .dvc.
        name: the dataset; without one, the contract's dataset with this source, or the file's.
        owner: the team that answers for the data.
        why: what the data holds, and what it is kept for.

    Raises:
        NotFound: nothing is at the path.
        UsageError: it cannot be read as a table.
        DiskFull: there is no space; no version was made.

    Examples:
        thrive data add data/flights.csv --name flights
        thrive data add --name flights
        thrive data add s3://lake/flights/ --name flights
        thrive data add "warehouse: select * from flights order by id" --name flights
    """
    return _add(ctx, wanted_in(ctx.local_folder(), path, name=name, owner=owner, why=why))


def add_rows(
    ctx: Context, path: Path, *, name: str, owner: str = "", why: str = ""
) -> AddedVersion:
    """Add a version from the Parquet file of a frame; its source is said to be memory."""
    called = checked_name(name, "dataset")
    terms = terms_of(ctx.local_folder(), called)
    wanted = Wanted(
        name=called,
        source=str(path),
        asked=MEMORY,
        owner=owner or terms.owner,
        why=why or terms.why,
        terms=terms,
    )
    return _add(ctx, wanted)


def _add(ctx: Context, wanted: Wanted) -> AddedVersion:
    version, is_new = add_version(ctx, wanted)
    pin(ctx.local_folder(), ctx.home.folder, wanted.name, version.digest)
    return _added(version, is_new=is_new)


@operation("data commit", kind=Kind.JOB, role=BUILDERS, writes=True)
def commit(
    ctx: Context,
    name: str,
    manifest: str,
    *,
    source: str,
    asked: str,
    modified_at: int,
    mark: str = "",
    owner: str = "",
    why: str = "",
    contract: str = "",
) -> AddedVersion:
    """Make a version of files that were sent by digest: the second half of `data add` from afar.

    Args:
        name: the dataset.
        manifest: the digest of the list of files, as it was sent.
        source: where they came from, with the version that was found there.
        asked: the source as it was spelled.
        modified_at: UTC microseconds when the newest file was written.
        mark: what the source said of its content.
        owner: the team that answers for the data.
        why: what the data holds, and what it is kept for.
        contract: the digest of the thrive.toml to go by, as it was sent; nothing for none.

    Raises:
        NotFound: a blob was not sent, or a day has passed since.
        UsageError: the files cannot be read as a table.

    Examples:
        thrive data commit flights DIGEST --source flights.csv --asked flights.csv --modified-at 0
    """
    called = checked_name(name, "dataset")
    read = functools.partial(uploads.sent_blob, ctx.home)
    terms = parse(read(contract).decode()).contract.data.get(called) if contract else None
    wanted = Wanted(
        name=called, source=source, asked=asked, owner=owner, why=why, terms=terms or DataTerms()
    )
    entries = read_manifest(read(manifest))
    uploads.refuse_unsent(ctx.home, {entry.digest for entry in entries})
    delivery = Delivery(
        snapshot=Snapshot.of_entries(entries),
        is_table=is_table([entry.path for entry in entries]),
        modified_at=modified_at,
        source=source,
        mark=mark,
    )
    version, is_new = make_version(ctx, wanted, delivery)
    return _added(version, is_new=is_new)


def _added(version: DatasetVersion, *, is_new: bool) -> AddedVersion:
    failed = [
        f"{each['check']}: {each['found']}" for each in version.checks if each["state"] == FAIL
    ]
    label = f"{version.dataset}@{version.version}"
    if not is_new:
        note = f"this content is {label} already"
    elif not version.trainable:
        note = "kept, but not to be trained on until a person decides: a check failed"
    else:
        note = _note(version)
    return AddedVersion(
        dataset=version.dataset,
        version=version.version,
        is_new=is_new,
        digest=version.digest,
        rows=version.rows,
        columns=len(version.columns),
        files=version.file_count,
        size=version.size,
        trainable=version.trainable,
        failed=failed,
        note=note,
    )


def _note(version: DatasetVersion) -> str:
    """Return what is new in a version's schema, and which columns a person must name."""
    new = [each["found"] for each in version.checks if each["check"] == SCHEMA]
    asked = [
        f"{each.name} ({each.proposed}?)" if each.proposed else each.name
        for each in version.columns
        if each.asked
    ]
    if asked:
        label = f"{version.dataset}@{version.version}"
        new.append(
            f"say which of these hold personal data before training: {', '.join(asked)} "
            f'(thrive data confirm {label} --reason "...")'
        )
    return "; ".join(new)


@operation("data list", role=ANYONE, next_hint="thrive data log NAME")
def list_datasets(ctx: Context) -> list[DatasetLine]:
    """List all datasets with their newest version.

    Examples:
        thrive data list
    """
    lines: list[DatasetLine] = []
    with ctx.read() as tx:
        for dataset in datasets.find(tx, ctx.project_id):
            versions = datasets.versions(tx, ctx.project_id, dataset.name)
            newest = versions[0] if versions else None
            lines.append(
                DatasetLine(
                    name=dataset.name,
                    versions=len(versions),
                    rows=newest.rows if newest else 0,
                    size=newest.size if newest else 0,
                    trainable=newest.trainable if newest else False,
                    owner=dataset.owner,
                    why=dataset.why,
                    changed_at=newest.created_at if newest else dataset.created_at,
                )
            )
    return lines


@operation("data log", role=ANYONE)
def log(ctx: Context, name: str) -> list[VersionLine]:
    """List the versions of a dataset, newest first.

    Args:
        name: the dataset.

    Raises:
        NotFound: there is none of that name.

    Examples:
        thrive data log flights
    """
    with ctx.read() as tx:
        datasets.get(tx, ctx.project_id, name)
        versions = datasets.versions(tx, ctx.project_id, name)
    return [
        VersionLine(
            version=each.version,
            digest=each.digest,
            rows=each.rows,
            size=each.size,
            trainable=each.trainable,
            source=each.source,
            actor=each.actor,
            created_at=each.created_at,
            made_by=each.made_by or "",
        )
        for each in versions
    ]


@operation("data show", role=ANYONE, next_hint="thrive data lineage {dataset}@{version}")
def show(ctx: Context, name: str) -> VersionView:
    """Show a version: its source, its columns with profile and labels, its checks, its use.

    Args:
        name: the dataset, or one version of it as NAME@VERSION.

    Raises:
        NotFound: there is no such version.

    Examples:
        thrive data show flights
        thrive data show flights@2 --json
    """
    version = find_version(ctx, name)
    with ctx.read() as tx:
        dataset = datasets.get(tx, ctx.project_id, version.dataset)
        use = counted(tx, ctx, version)
    return VersionView(
        dataset=version.dataset,
        version=version.version,
        digest=version.digest,
        owner=dataset.owner,
        why=dataset.why,
        source=version.source,
        rows=version.rows,
        files=version.file_count,
        size=version.size,
        trainable=version.trainable,
        created_at=version.created_at,
        actor=version.actor,
        made_by=version.made_by or "",
        read_by_runs=use.runs,
        trained=use.models,
        columns=_column_views(version),
        checks=version.checks,
        manifest=version.listed_in,
    )


def _column_views(version: DatasetVersion) -> list[ColumnView]:
    profile: dict[str, Any] = version.profile.get("columns", {})
    views: list[ColumnView] = []
    for column in version.columns:
        found = profile.get(column.name, {})
        views.append(
            ColumnView(
                name=column.name,
                type=column.dtype,
                personal=column.personal or "",
                proposed=column.proposed or "",
                asked=column.asked and column.personal is None,
                missing=found.get("missing", 0),
                distinct=found.get("distinct"),
                min=found.get("min"),
                max=found.get("max"),
                mean=found.get("mean"),
                std=found.get("std"),
                quantiles=found.get("quantiles", {}),
                top=found.get("top", []),
            )
        )
    return views


@operation("data diff", role=ANYONE)
def diff(
    ctx: Context, name: str, before: int, after: int, *, key: str = "", html: Path | None = None
) -> VersionDiff:
    """Compare two versions: columns, rows that came, went or changed, and how values moved.

    Rows are matched by the key; without one, and without a `unique(...)` check in the contract,
    they are compared as a whole. Values are compared with the statistics of monitoring.

    Args:
        name: the dataset.
        before: the number of the first version.
        after: the number of the second version.
        key: the columns that name a row, separated by commas.
        html: a file to write the comparison into, as one page with plots.

    Raises:
        NotFound: there is no such version.
        UsageError: a column of the key is missing, or two rows have one key.

    Examples:
        thrive data diff flights 1 2
        thrive data diff flights 1 2 --key flight_id --html diff.html
    """
    versions = find_version(ctx, name, before), find_version(ctx, name, after)
    blobs = ctx.home.blobs
    scans = scan_version(versions[0], blobs), scan_version(versions[1], blobs)
    names = [part.strip() for part in key.split(",") if part.strip()]
    found = diff_tables(*versions, scans, blobs, names)
    if html is not None:
        (ctx.local_folder() / html).write_text(as_html(found), encoding="utf-8")
    return found


@operation("data checkout", kind=Kind.CLIENT, role=ANYONE)
def checkout(ctx: Context, name: str, *, to: Path) -> CheckedOut:
    """Make a folder hold the files of a version, touching only what differs.

    A file that differs is replaced if the dataset has its content in some version; files that an
    earlier checkout put there and this version lacks are removed. Nothing else is touched.

    Args:
        name: the dataset, or one version of it as NAME@VERSION.
        to: the folder; made if missing.

    Raises:
        NotFound: there is no such version.
        Conflict: a file there holds what is stored nowhere; nothing was written.
        Damaged: a stored file is not what it was.

    Examples:
        thrive data checkout flights@1 --to /tmp/flights
    """
    version = find_version(ctx, name)
    folder = Path(os.path.normpath(ctx.local_folder() / to))
    target = Target(
        folder, state_cache(ctx.home.folder, str(folder)), stored_contents(ctx, version.dataset)
    )
    snapshot = read_snapshot(ctx.home.blobs, version.listed_in)

    def report(done: int, of: int, path: str) -> None:
        ctx.progress(done / of, f"writing {path}")

    changes = check_out(snapshot, ctx.home.blobs, target, report)
    return CheckedOut(
        dataset=version.dataset,
        version=version.version,
        folder=str(folder),
        files=version.file_count,
        written=changes.written,
        removed=changes.removed,
    )


@operation(
    "data decide", role=PEOPLE, writes=True, next_hint="thrive data show {dataset}@{version}"
)
def decide(ctx: Context, name: str, *, trainable: bool, reason: str) -> VersionView:
    """Decide whether a version may be trained on, whatever its checks said.

    Args:
        name: one version, as NAME@VERSION.
        trainable: whether it may.
        reason: why; part of the audit chain.

    Raises:
        NotFound: there is no such version.
        UsageError: no reason is given.

    Examples:
        thrive data decide flights@3 --trainable --reason "late files, complete by now"
    """
    if not reason.strip():
        raise UsageError("A decision needs a reason.", '--reason "..."')
    version = find_version(ctx, name)
    label = f"{version.dataset}@{version.version}"
    decision = {
        "check": "decision",
        "state": PASS if trainable else FAIL,
        "found": reason,
        "by": ctx.actor.name,
        "at": ctx.now(),
    }
    with ctx.write(f"dataset:{label}", trainable=trainable, reason=reason) as tx:
        present = datasets.get_version(tx, ctx.project_id, version.dataset, version.version)
        changed = msgspec.structs.replace(
            present, trainable=trainable, checks=[*present.checks, decision]
        )
        datasets.replace_version(tx, ctx.project_id, changed)
    return show(ctx, label)
