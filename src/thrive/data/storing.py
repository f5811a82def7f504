"""Operations that bring files in as versions, and versions back as files.

They stand apart from those that read rows: what these import starts fast.
"""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from thrive.contract.parse import parse
from thrive.contract.schema import DataTerms
from thrive.data.adding import Delivery, add_version, make_version
from thrive.data.checks import FAIL, ZEROS
from thrive.data.files import read_manifest
from thrive.data.keeping import stored_contents
from thrive.data.lockfile import pin
from thrive.data.measuring import TYPES
from thrive.data.reading import find_version
from thrive.data.schema import SCHEMA
from thrive.data.wanted import Derived, Wanted, terms_of, wanted_in
from thrive.domain.actor import AUTHORS, CURATORS
from thrive.domain.dataset import AddedVersion, DatasetVersion
from thrive.domain.identifiers import checked_name
from thrive.operations import Context, Kind, operation
from thrive.store import uploads
from thrive.store.snapshots.checkout import Target, check_out
from thrive.store.snapshots.manifest import read_snapshot
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.snapshots.states import state_cache
from thrive.store.sources import is_table
from thrive.store.sources.beside import Beside
from thrive.store.sources.bring import MEMORY
from thrive.store.sources.kinds import SUPPORTED


class CheckedOut(msgspec.Struct, frozen=True, kw_only=True):
    """Files of a version that were written into a folder, and of an earlier one removed from it."""

    dataset: str
    version: int
    folder: str
    files: int
    written: int
    removed: int = 0


def add(
    ctx: Context,
    path: str = "",
    *,
    name: str = "",
    owner: str = "",
    why: str = "",
    beside: Beside | None = None,
) -> AddedVersion:
    """Add a version of a dataset: the work of `data add`, whose arguments and errors it has.

    Args:
        ctx: the project.
        path: where the data is.
        name: the dataset.
        owner: the team that answers for the data.
        why: what it is kept for.
        beside: looks at the source already.
    """
    wanted = wanted_in(ctx.local_folder(), path, name=name, owner=owner, why=why)
    return _add(ctx, wanted, beside)


def add_rows(
    ctx: Context,
    path: Path,
    *,
    name: str,
    owner: str = "",
    why: str = "",
    derived: Mapping[str, Derived] = MappingProxyType({}),
) -> AddedVersion:
    """Add a version from the Parquet files of a frame; its source is said to be memory.

    Args:
        ctx: the project.
        path: the Parquet file, or a folder of some.
        name: the dataset.
        owner: the team that answers for the data; of the contract if not given.
        why: what it is kept for; of the contract if not given.
        derived: columns that were computed from personal ones.
    """
    called = checked_name(name, "dataset")
    terms = terms_of(ctx.local_folder(), called)
    wanted = Wanted(
        name=called,
        source=str(path),
        asked=MEMORY,
        owner=owner or terms.owner,
        why=why or terms.why,
        terms=terms,
        derived=dict(derived),
    )
    return _add(ctx, wanted)


def _add(ctx: Context, wanted: Wanted, beside: Beside | None = None) -> AddedVersion:
    looked = beside if beside is not None and beside.source == wanted.source else None
    version, is_new, links = add_version(ctx, wanted, looked)
    pin(ctx.local_folder(), ctx.home.folder, wanted.name, version.digest)
    if is_new and wanted.terms.subject:
        from thrive.data.subjects import index_people  # where nobody is named, nobody pays for it

        index_people(ctx, version, wanted.terms.subject)
    return msgspec.structs.replace(_added(version, is_new=is_new), skipped=links)


@operation("data commit", kind=Kind.JOB, role=CURATORS, writes=True)
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


_KEPT = "kept, but not to be trained on until a person decides: a check failed"


def _added(version: DatasetVersion, *, is_new: bool) -> AddedVersion:
    failed = [
        f"{each['check']}: {each['found']}" for each in version.checks if each["state"] == FAIL
    ]
    label = f"{version.dataset}@{version.version}"
    if not is_new:
        note = f"this content is {label} already"
    elif not version.trainable:
        note = "; ".join([_KEPT, *_to_say(version)])
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
        trainable=version.trainable and not _asked(version),
        failed=failed,
        note=note,
    )


def _asked(version: DatasetVersion) -> list[str]:
    """Return the columns of which a person must say whether they are personal."""
    return [
        f"{each.name} ({each.proposed}?)" if each.proposed else each.name
        for each in version.columns
        if each.asked and each.personal is None
    ]


def _note(version: DatasetVersion) -> str:
    """Return what is to be known of a version's columns, and which of them a person must name."""
    if not version.is_table:
        return f"kept as files: a table has a name that ends with one of {SUPPORTED}"
    new = [each["found"] for each in version.checks if each["check"] in (SCHEMA, TYPES, ZEROS)]
    return "; ".join([*new, *_to_say(version)])


def _to_say(version: DatasetVersion) -> list[str]:
    """Return which columns a person must name, in one sentence, if there are any."""
    asked = _asked(version)
    if not asked:
        return []
    command = f'thrive data confirm {version.dataset}@{version.version} --reason "..."'
    return [
        f"say which of these hold personal data before training: {', '.join(asked)} ({command})"
    ]


@operation("data checkout", kind=Kind.CLIENT, role=AUTHORS)
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
        Refused: it holds personal data that you may not read.
        Damaged: a stored file is not what it was.

    Examples:
        thrive data checkout flights@1 --to /tmp/flights
    """
    from thrive.data.access import refuse_unseen

    version = find_version(ctx, name)
    refuse_unseen(ctx, version)
    folder = Path(os.path.normpath(ctx.local_folder() / to))
    target = Target(
        folder,
        state_cache(ctx.home.folder, str(folder)),
        stored_contents(ctx, version.dataset),
        version.listed_in,
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
