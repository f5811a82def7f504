"""Deleting what held the person: stored content, copies on this host, free pages of databases."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from thrive.domain.identifiers import is_digest
from thrive.flows.erasure.sought import Sought
from thrive.operations import Context
from thrive.serving import records
from thrive.serving.sealing import seal_logs
from thrive.store import references
from thrive.store.blobs import FolderBlobs
from thrive.store.eventlog import Record, blank_records, segments
from thrive.store.home import Home
from thrive.store.online import SqliteOnline, open_online
from thrive.store.postgresql import lock_blobs
from thrive.store.snapshots.bring import ASSEMBLED
from thrive.store.snapshots.people import PeopleIndex

STORES = ("thrive.db", "thrive.db-wal", "thrive.db-shm", "lock")
"""What lies in a home's folder and is searched in a way of its own, beside the blobs."""
TOGETHER = 100
"""Blobs that are deleted while others wait who want to refer to some."""
COPIES = ("cache", "tmp")
"""Folders that hold only what can be made or fetched again."""


def blank_logs(ctx: Context, sought: Sought, columns: set[str]) -> int:
    """Blank what is sealed of this host's prediction log and names the person; return records."""

    def names(record: Record) -> bool:
        return _record_names(record, sought, columns)

    blanked = sum(blank_records(each.path, names) for each in segments(ctx.home.log_folder))
    seal_logs(ctx.home, force=True)
    return blanked


def _record_names(record: Record, sought: Sought, columns: set[str]) -> bool:
    if sought.distinctive and sought.in_raw(record.payload):
        return True
    logged = records.read(record)
    named = (
        value
        for values in (logged.x, logged.k)
        for column in columns & values.keys()
        for value in values[column]
    )
    return any(str(value) in sought.spellings or value == sought.number for value in named)


def remove_content(ctx: Context, digests: Sequence[str]) -> None:
    """Delete stored content, here and in this host's cache; what anybody uses stays.

    Args:
        ctx: the project.
        digests: of this and of earlier erasures: another host of a team may have copies of those.
    """
    for first in range(0, len(digests), TOGETHER):
        with ctx.home.write() as tx:
            lock_blobs(tx)
            for digest in digests[first : first + TOGETHER]:
                if not references.is_used(tx, digest):
                    ctx.home.blobs.delete(digest)


def forget_online(ctx: Context, sought: Sought) -> int:
    """Delete the person's rows from this host's online store; return how many there were."""
    online = open_online(ctx.home.folder)
    if not isinstance(online, SqliteOnline):
        return 0
    return sum(online.forget(each) for each in sought.spellings)


def remove_copies(ctx: Context, digests: Sequence[str], sought: Sought) -> None:
    """Delete this host's copies: checkouts of erased versions, scratch files that name the person.

    Args:
        ctx: the project.
        digests: what was erased.
        sought: the person.
    """
    for folder in _checkouts(ctx.home, digests):
        shutil.rmtree(folder)
    assembled = FolderBlobs(ctx.home.blobs.local.root / ASSEMBLED, durable=False)
    for digest in digests:
        assembled.delete(digest)
    PeopleIndex(ctx.home.folder).forget()
    for path in _copies(ctx.home):
        if sought.distinctive and sought.named_in(path.read_bytes()):
            path.unlink(missing_ok=True)


def _checkouts(home: Home, digests: Sequence[str]) -> list[Path]:
    """Return folders made from erased versions, and what is remembered of sources."""
    data = [home.folder / "cache" / "data" / digest for digest in digests]
    return [folder for folder in (*data, home.folder / "cache" / "states") if folder.is_dir()]


def _copies(home: Home) -> Iterator[Path]:
    for name in COPIES:
        folder = home.folder / name
        if folder.is_dir():
            yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def other_files(home: Home) -> Iterator[Path]:
    """Yield the files of a home's folder that are no blobs and no database.

    Segments of the prediction log, old copies, files that were put together from pieces, notes.
    """
    for path in sorted(home.folder.rglob("*")):
        first, *more = path.relative_to(home.folder).parts
        is_blob = first == "blobs" and len(more) == 2 and is_digest("".join(more))
        if path.is_file() and first not in STORES and not is_blob:
            yield path
