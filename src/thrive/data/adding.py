"""Adding a version: copy the files in, read them once, judge the checks, then write one row.

The row comes last: whoever reads it finds every blob it names, durably stored.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from thrive.data.checks import FAIL
from thrive.data.findings import Known, Reading, Terms
from thrive.data.keeping import Keeping, is_whole, keep_found
from thrive.data.measuring import measured
from thrive.data.places import refuse_place
from thrive.data.survey import Asked, Survey
from thrive.data.wanted import Wanted, terms_of
from thrive.domain.clock import ClockMode, format_time
from thrive.domain.dataset import Dataset, DatasetVersion, SourceState
from thrive.domain.errors import Conflict, Refused
from thrive.operations import Context
from thrive.settings import read_settings
from thrive.store import column_labels, datasets, erasures, postgresql, references
from thrive.store.blobs import BlobStore
from thrive.store.database import Tx
from thrive.store.snapshots.bring import absent, local_files, parts_of
from thrive.store.snapshots.keep import STORING
from thrive.store.snapshots.kinds import profile_of_files
from thrive.store.snapshots.manifest import Written, read_snapshot, write_manifest
from thrive.store.snapshots.prepare import Prepared
from thrive.store.snapshots.snapshot import Snapshot
from thrive.store.snapshots.states import remember_source, state_cache
from thrive.store.snapshots.tables import suffix_of
from thrive.store.sources import Brought, Found, Reach, brought, found_files
from thrive.store.sources.ahead import ReadAhead, reading_ahead
from thrive.store.sources.beside import Beside, Preparing, journal_of
from thrive.store.sources.bring import MEMORY


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at a source, kept as blobs.

    Attributes:
        snapshot: the files, and where their bytes are.
        is_table: they are read as one table.
        modified_at: when the newest source file was written, UTC microseconds.
        source: the source, with the version that was found there if it has versions.
        mark: what the source said of its content; empty if nothing.
        originals: the source's own files, where they are still there to be read.
        ahead: reads their table meanwhile.
        survey: waits for the packed survey of their table, which is made meanwhile; empty if not.
        leaves: parts of the snapshot before, by the blob that each is written in.
        links: links to folders below the source, whose files were left out.
    """

    snapshot: Snapshot
    is_table: bool
    modified_at: int
    source: str
    mark: str = ""
    originals: Found | None = None
    ahead: ReadAhead | None = None
    survey: Callable[[], bytes] | None = None
    leaves: Mapping[str, Snapshot] = {}
    links: list[str] = []


class Addition(NamedTuple):
    """A version of a dataset, whether it is new, and links to folders that were left out of it."""

    version: DatasetVersion
    is_new: bool
    links: list[str]


def add_version(ctx: Context, wanted: Wanted, beside: Beside | None = None) -> Addition:
    """Add a version of a dataset from its source.

    Args:
        ctx: the project.
        wanted: what to add.
        beside: looks at the source already.

    Raises:
        NotFound: nothing is at the source.
        UsageError: the source cannot be read as a table.
        DiskFull: there is no space; no version was made.
        Refused: its contract does not allow the region of the object store.
    """
    refuse_place(ctx.home.blobs, wanted.name, wanted.terms)
    added = _add_prepared(ctx, wanted, beside) or _add_delivered(ctx, wanted, beside)
    if wanted.asked != MEMORY:
        remember_source(ctx.home.folder, wanted.name, wanted.asked)
    return added


def _add_prepared(ctx: Context, wanted: Wanted, beside: Beside | None) -> Addition | None:
    """Add the version that a process beside prepared; None if it did not, or not from what is."""
    if beside is None:
        return None
    with ctx.read() as tx:
        versions = datasets.versions(tx, ctx.project_id, wanted.name)
    preparing = beside.preparing()
    if preparing is None:
        return None
    prepared = beside.prepared() if _still_holds(preparing, versions) else None
    if prepared is None:
        beside.stop()
        return None
    version, is_new = _make_prepared(ctx, wanted, prepared)
    cache = state_cache(ctx.home.folder, preparing.place)
    if beside.drafted():
        cache.keep(Path(preparing.draft))
        journal_of(cache).remove()
    return Addition(version, is_new, preparing.links)


def _still_holds(preparing: Preparing, versions: Sequence[DatasetVersion]) -> bool:
    """Tell whether a snapshot is prepared from a version as it is; a first one from none."""
    if not preparing.base:
        return not versions
    base = (preparing.base, preparing.manifest)
    return any((each.digest, each.listed_in) == base for each in versions)


def _add_delivered(ctx: Context, wanted: Wanted, beside: Beside | None) -> Addition:
    kept: list[Keeping] = []
    seen = beside.found() if beside is not None else None
    survey = beside.survey if beside is not None and seen is not None else None
    with nullcontext() if survey is not None else reading_ahead() as ahead:

        def keep(found: Found) -> Snapshot:
            if found.is_table and found.lasting and ahead is not None:
                ahead.begin(found)
            kept.append(keep_found(ctx, wanted.name, found, beside))
            return kept[0].snapshot

        delivery = (
            _delivery(wanted, Brought(path=wanted.source, source=wanted.source), seen, keep)
            if seen is not None
            else deliver(wanted, reach_of(ctx), keep)
        )
        delivery = msgspec.structs.replace(
            delivery, ahead=ahead, survey=survey, leaves=kept[0].leaves
        )
        version, is_new = make_version(ctx, wanted, delivery)
    kept[0].remember(version)
    return Addition(version, is_new, delivery.links)


def deliver(wanted: Wanted, reach: Reach, keep: Callable[[Found], Snapshot]) -> Delivery:
    """Bring a dataset's source to files and have them kept.

    Args:
        wanted: what to add.
        reach: by what its source is reached.
        keep: keeps the files, and returns them as a snapshot.

    Raises:
        NotFound: nothing is at the source.
        UsageError: its files are of different kinds.
    """
    with (
        brought(wanted.source, reach) as source,
        found_files(source.path, reach.base, reach.temporary) as files,
    ):
        return _delivery(wanted, source, files, keep)


def _delivery(
    wanted: Wanted, source: Brought, files: Found, keep: Callable[[Found], Snapshot]
) -> Delivery:
    local = source.path == wanted.source and wanted.asked != MEMORY and files.lasting
    found = msgspec.structs.replace(files, lasting=local)
    return Delivery(
        snapshot=keep(found),
        is_table=found.is_table,
        modified_at=found.modified_at,
        source=MEMORY if wanted.asked == MEMORY else source.source,
        mark=source.mark,
        originals=found if local else None,
        links=found.links,
    )


def make_version(ctx: Context, wanted: Wanted, delivery: Delivery) -> tuple[DatasetVersion, bool]:
    """Make a version of what was delivered; return it, and whether it is new.

    Content that is there already gives the version that has it, with its checks judged anew.

    Raises:
        UsageError: the files cannot be read as a table.
    """
    blobs, snapshot = ctx.home.blobs, delivery.snapshot
    wanted = msgspec.structs.replace(wanted, source=delivery.source)
    refuse_erased(ctx, lambda: snapshot)
    written = write_manifest(snapshot, blobs, delivery.leaves)
    prepared = Prepared(
        name=written.name,
        manifest=written.manifest,
        blobs=written.blobs | parts_of(blobs, snapshot),
        files=len(snapshot),
        size=snapshot.size,
        profile={},
    )
    asked = Asked(checks=wanted.terms.checks, subject=wanted.terms.subject)
    reading = _read(ctx, delivery, wanted, written.name, asked)
    if reading.people:
        from thrive.data.subjects import keep_index  # where nobody is named, nobody pays for it

        keep_index(ctx, snapshot, wanted.terms.subject, reading.people)
    return _write(ctx, wanted, prepared, reading, delivery.mark)


def _make_prepared(ctx: Context, wanted: Wanted, prepared: Prepared) -> tuple[DatasetVersion, bool]:
    """Make a version of a folder's snapshot that is stored; errors as of `make_version`."""
    refuse_erased(ctx, lambda: read_snapshot(ctx.home.blobs, prepared.manifest))
    reading = Reading(columns=[], profile=prepared.profile, checks=[], sketches=b"")
    return _write(ctx, wanted, prepared, reading)


def _write(
    ctx: Context, wanted: Wanted, prepared: Prepared, reading: Reading, mark: str = ""
) -> tuple[DatasetVersion, bool]:
    """Write the row of a version of which all else is stored."""
    blobs = ctx.home.blobs
    refuse_place(blobs, wanted.name, wanted.terms)  # what was sent from afar is looked at here
    sketches = blobs.put(reading.sketches) if reading.sketches else ""
    ctx.progress(1.0, "writing the version")
    with ctx.write(f"dataset:{wanted.name}", digest=prepared.name, source=wanted.source) as tx:
        _refuse_removed(tx, blobs, {*prepared.blobs, sketches} - {""})
        _save_dataset(tx, ctx, wanted)
        save_source(tx, ctx, wanted, mark)
        same = _known(tx, ctx, wanted.name, prepared.name)
        if same is not None:
            same = _mended(tx, ctx, same, prepared)
            return _renewed(tx, ctx, same, reading, sketches), False
        version = _version(tx, ctx, wanted, prepared, reading, sketches)
        datasets.insert_version(tx, ctx.project_id, version, prepared.blobs)
        _keep_sketches(tx, ctx, version)
    return version, True


def _refuse_removed(tx: Tx, blobs: BlobStore, needed: Collection[str]) -> None:
    """Refuse to refer to what a clean-up removed since it was found here.

    From here to the end of the transaction no clean-up removes anything.
    """
    postgresql.lock_blobs(tx)
    if absent(blobs, needed):
        raise Conflict("A clean-up removed parts of these files meanwhile.", "try again")


def _mended(tx: Tx, ctx: Context, known: DatasetVersion, prepared: Prepared) -> DatasetVersion:
    """Return a known version; one whose stored files went is given those that were kept anew."""
    if prepared.manifest == known.listed_in or is_whole(ctx.home.blobs, known):
        return known
    manifest = "" if prepared.manifest == prepared.name else prepared.manifest
    mended = msgspec.structs.replace(known, manifest=manifest)
    datasets.move_version(tx, ctx.project_id, mended, prepared.blobs)
    return mended


def refuse_erased(ctx: Context, stored: Callable[[], Snapshot]) -> None:
    """Refuse files of which a person was erased, and delete what was stored of them just now.

    Args:
        ctx: the project.
        stored: returns the files; only asked where anything was ever erased.

    Raises:
        Refused: one of these files is such.
    """
    with ctx.read() as tx:
        stones = {stone.digest: stone for stone in erasures.every_tombstone(tx, ctx.project_id)}
    if not stones:
        return
    snapshot = stored()
    found = [digest.hex() for digest in snapshot.digests if digest.hex() in stones]
    if not found:
        return
    with ctx.home.write() as tx:
        postgresql.lock_blobs(tx)
        for digest in parts_of(ctx.home.blobs, snapshot):
            if not references.is_used(tx, digest):
                ctx.home.blobs.delete(digest)
    stone = stones[found[0]]
    raise Refused(
        f"{stone.subject} was erased on {format_time(stone.erased_at)} for: {stone.reason}. The "
        "source still holds what was erased.",
        "take the person out of the source, then add it again",
    )


def reach_of(ctx: Context) -> Reach:
    """Return by what sources are reached from here."""
    return Reach(
        base=ctx.local_folder(),
        temporary=ctx.home.temporary_folder,
        endpoint=ctx.home.object_endpoint(),
        connections=read_settings().named_connections(),
    )


def save_source(tx: Tx, ctx: Context, wanted: Wanted, mark: str, problem: str = "") -> None:
    """Write that a dataset's source was read just now."""
    state = SourceState(
        dataset=wanted.name, source=wanted.asked, read_at=ctx.now(), mark=mark, problem=problem
    )
    column_labels.save_source(tx, ctx.project_id, state)


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


def _known_of(ctx: Context, name: str, digest: str) -> Known:
    """Return what is known of a dataset apart from the version with this content."""
    with ctx.read() as tx:
        versions = datasets.versions(tx, ctx.project_id, name)
        labels = column_labels.find_labels(tx, ctx.project_id, name)
    same = next((each.version for each in versions if each.digest == digest), None)
    earlier = [each for each in versions if same is None or each.version < same]
    return Known(
        previous=earlier[0] if earlier else None,
        agreed=next((each for each in earlier if each.trainable), None),
        labels={(label.name, label.dtype): label for label in labels},
    )


def _keep_sketches(tx: Tx, ctx: Context, version: DatasetVersion) -> None:
    label = f"{version.dataset}@{version.version}"
    references.add(tx, ctx.project_id, datasets.PROFILE_KIND, label, version.profile["sketches"])


def _renewed(
    tx: Tx, ctx: Context, known: DatasetVersion, reading: Reading, sketches: str
) -> DatasetVersion:
    """Return a known version with the checks, labels and profile of the present contract.

    A person's decision on whether it may be trained on stands.
    """
    decisions = [check for check in known.checks if "by" in check]
    checks = [*reading.checks, *decisions]
    version = msgspec.structs.replace(
        known,
        columns=reading.columns,
        profile={**reading.profile, "sketches": sketches},
        checks=checks,
        trainable=known.trainable if decisions else _all_pass(checks),
    )
    if version != known:
        datasets.replace_version(tx, ctx.project_id, version)
        _keep_sketches(tx, ctx, version)
    return version


def _version(
    tx: Tx,
    ctx: Context,
    wanted: Wanted,
    prepared: Prepared,
    reading: Reading,
    sketches: str,
) -> DatasetVersion:
    return DatasetVersion(
        dataset=wanted.name,
        version=datasets.next_version(tx, ctx.project_id, wanted.name),
        digest=prepared.name,
        manifest="" if prepared.manifest == prepared.name else prepared.manifest,
        source=wanted.source,
        file_count=prepared.files,
        rows=reading.profile["rows"],
        size=prepared.size,
        columns=reading.columns,
        created_at=ctx.now(),
        actor=ctx.actor.name,
        profile={**reading.profile, "sketches": sketches},
        checks=reading.checks,
        trainable=_all_pass(reading.checks),
        replay=ctx.home.clock().mode is ClockMode.REPLAY,
    )


def remeasured(
    ctx: Context, version: DatasetVersion, snapshot: Snapshot, written: Written
) -> DatasetVersion:
    """Return a version with other files than it had: their rows, size and profile.

    Labels, checks and decisions stay: the version is the same one, with less in it.

    Args:
        ctx: the project.
        version: as it is.
        snapshot: its new files.
        written: their list, as it is stored.
    """
    terms = terms_of(ctx.folder, version.dataset)
    wanted = Wanted(
        name=version.dataset,
        source=version.source,
        asked=version.source,
        owner="",
        why="",
        terms=msgspec.structs.replace(terms, checks=[]),
    )
    delivery = Delivery(
        snapshot=snapshot,
        is_table=version.is_table,
        modified_at=version.created_at,
        source=version.source,
    )
    reading = _read(ctx, delivery, wanted, version.digest, Asked(checks=[], subject=""))
    sketches = ctx.home.blobs.put(reading.sketches) if reading.sketches else ""
    return msgspec.structs.replace(
        version,
        digest=written.name,
        manifest="" if written.manifest == written.name else written.manifest,
        file_count=len(snapshot),
        rows=reading.profile["rows"],
        size=snapshot.size,
        profile={**reading.profile, "sketches": sketches},
    )


def _all_pass(checks: Sequence[dict[str, Any]]) -> bool:
    return not any(check["state"] == FAIL for check in checks)


def _read(ctx: Context, delivery: Delivery, wanted: Wanted, digest: str, asked: Asked) -> Reading:
    """Read a version's rows once and say what they mean.

    Args:
        ctx: the project.
        delivery: the rows.
        wanted: by whose terms they are judged.
        digest: of the version.
        asked: what is to be looked at beside the profile.

    Raises:
        UsageError: the files cannot be read as one table.
    """
    snapshot = delivery.snapshot
    if not delivery.is_table:
        return Reading(columns=[], profile=profile_of_files(snapshot), checks=[], sketches=b"")
    ctx.progress(STORING, "reading the rows")
    terms = Terms(
        data=wanted.terms,
        known=_known_of(ctx, wanted.name, digest),
        now=ctx.now(),
        modified_at=delivery.modified_at,
        typed=suffix_of(snapshot.paths[0]) == "parquet",
        derived=wanted.derived,
    )
    return measured(_surveyed(delivery, asked) or _survey(ctx, delivery, wanted, asked), terms)


def _surveyed(delivery: Delivery, asked: Asked) -> Survey | None:
    """Return what a process beside found in the rows, if it looked at the right things."""
    told = delivery.survey() if delivery.survey is not None else b""
    found = msgspec.msgpack.decode(told, type=Survey) if told else None
    if found is None or found.asked != asked or delivery.originals is None:
        return None
    return found if delivery.originals.is_unchanged() else None


def _survey(ctx: Context, delivery: Delivery, wanted: Wanted, asked: Asked) -> Survey:
    from thrive.data.surveying import Files, survey_files
    from thrive.store.snapshots.people import PeopleIndex

    snapshot, originals = delivery.snapshot, delivery.originals
    entries = list(snapshot.entries())
    index = PeopleIndex(ctx.home.folder)
    table = delivery.ahead.table() if delivery.ahead else None
    direct = table is not None or any(snapshot.places)
    if originals is not None and direct and originals.is_unchanged():
        paths = [Path(originals.locate(each)) for each in snapshot.paths]
        found = survey_files(Files(entries, paths), wanted.source, asked, index, table)
        if originals.is_unchanged():  # else it may have read what is not stored
            return found
    files = Files(entries, local_files(ctx.home.blobs, snapshot))
    return survey_files(files, wanted.source, asked, index)
