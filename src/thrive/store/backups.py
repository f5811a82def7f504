"""A whole project in one file: to keep, or to move to another database and object store.

The file is a tar, readable without Thrive: `head.json`, then each table as gzipped JSON lines in
parts (`tables/runs/000001.jsonl.gz`), then each blob under its digest (`blobs/ab/cdef...`), then
`manifest.json` with counts and digests. The manifest comes last: a file without it was cut short.

Rows come from one state of the database; ids, digests and the audit chain stay what they were. A
restore may be broken off at any moment and called again; until all of it is there and verified the
project has no row of its own, so nobody opens half of it.
"""

import base64
import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec
import sqlalchemy as sa
from blake3 import blake3

from thrive.domain.clock import machine_now
from thrive.domain.errors import Conflict, Damaged, InfrastructureError, NotFound, SchemaTooNew
from thrive.domain.identifiers import is_digest
from thrive.domain.project import Project
from thrive.store import audit
from thrive.store.blobs import FolderBlobs
from thrive.store.database import Tx
from thrive.store.disk import full_disk, write_all
from thrive.store.home import Home
from thrive.store.json_text import json_text
from thrive.store.migrations import HEAD
from thrive.store.postgresql import count_from
from thrive.store.rows import insert_missing
from thrive.store.tables.project import blob_references, changes, projects
from thrive.store.tables.schema import metadata

FORMAT = 1
PART_ROWS = 20_000
"""Rows in one part of a table: few enough to hold in memory."""
_COPY = 1 << 20
_TOGETHER = 64
"""Stored files that are handed over at a time."""

_TABLES = {table.name: table for table in metadata.sorted_tables if table is not projects}

Report = Callable[[float, str], None]
Row = dict[str, Any]


class BackupHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself first."""

    format: int
    schema: str
    created_at: int
    project: Project
    clock_mode: str
    replay_now: int


class TableSum(msgspec.Struct, kw_only=True):
    """How many rows of a table there are, and the BLAKE3 of their lines."""

    rows: int = 0
    digest: str = ""


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: its last member."""

    tables: dict[str, TableSum]
    blobs: int
    size: int

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables.values())


def write_backup(home: Home, path: Path, report: Report) -> BackupManifest:
    """Write a project's rows and blobs to a new file, which appears when it is whole.

    Raises:
        Conflict: the file exists.
        Damaged: a blob is not what its digest says.
        NotFound: a blob that a row refers to is gone.
        DiskFull: there is no room; the file does not appear.
    """
    if path.exists():
        raise Conflict(f"{path} exists already.", "choose another name")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with full_disk(path.parent), unfinished.open("xb") as file:
            unfinished.chmod(0o600)
            with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                manifest = _write_members(home, tar, report)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return manifest


def _write_members(home: Home, tar: tarfile.TarFile, report: Report) -> BackupManifest:
    with home.read() as tx:
        _add(tar, "head.json", msgspec.json.encode(_head(tx, home.project)))
        sums = {
            name: _write_table(tx, home.project_id, table, tar) for name, table in _TABLES.items()
        }
        digests = _digests(tx, home.project_id)
    size = 0
    for number, digest in enumerate(digests):
        report(number / len(digests), "copying stored files")
        member = tarfile.TarInfo(f"blobs/{digest[:2]}/{digest[2:]}")
        with home.blobs.open(digest) as stream:
            member.size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            tar.addfile(member, stream)
        size += member.size
    manifest = BackupManifest(tables=sums, blobs=len(digests), size=size)
    _add(tar, "manifest.json", msgspec.json.encode(manifest))
    return manifest


def _head(tx: Tx, project: Project) -> BackupHead:
    row = tx.execute(sa.select(projects).where(projects.c.project_id == project.project_id)).one()
    return BackupHead(
        format=FORMAT,
        schema=HEAD,
        created_at=machine_now(),
        project=project,
        clock_mode=row.clock_mode,
        replay_now=row.replay_now,
    )


def _digests(tx: Tx, project_id: str) -> list[str]:
    column = blob_references.c.digest
    query = sa.select(column).where(blob_references.c.project_id == project_id).distinct()
    return list(tx.execute(query.order_by(column)).scalars())


def _write_table(tx: Tx, project_id: str, table: sa.Table, tar: tarfile.TarFile) -> TableSum:
    hasher, rows = blake3(), 0
    query = sa.select(table).where(table.c.project_id == project_id)
    query = query.order_by(*table.primary_key)
    streaming = {"stream_results": True, "yield_per": PART_ROWS}
    found = tx.execute(query, execution_options=streaming).mappings().partitions(PART_ROWS)
    for number, part in enumerate(found, 1):
        lines = "".join(f"{json_text(_plain(row))}\n" for row in part).encode()
        hasher.update(lines)
        rows += len(part)
        _add(tar, f"tables/{table.name}/{number:06d}.jsonl.gz", gzip.compress(lines, 6, mtime=0))
    return TableSum(rows=rows, digest=hasher.hexdigest())


def _plain(row: Mapping[Any, Any]) -> Row:
    """Return a row as JSON has it: bytes as base64."""
    return {
        key: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for key, value in row.items()
    }


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def read_head(path: Path) -> BackupHead:
    """Return what a backup says of itself.

    Raises:
        NotFound: there is no such file.
        Damaged: it is no backup.
        SchemaTooNew: a newer Thrive wrote it.
        InfrastructureError: an older Thrive wrote it.
    """
    with _members(path) as members:
        return _read_head(path, next(members, ("", io.BytesIO())))


def _read_head(path: Path, member: tuple[str, IO[bytes]]) -> BackupHead:
    name, stream = member
    if name != "head.json":
        raise _cut(path)
    head = msgspec.json.decode(stream.read(), type=BackupHead)
    if head.format > FORMAT or head.schema > HEAD:
        raise SchemaTooNew(
            f"{path} has format {head.format} and schema {head.schema}; this Thrive reads up to "
            f"{FORMAT} and {HEAD}.",
            "pip install --upgrade thrive",
        )
    if head.schema < HEAD:
        raise InfrastructureError(
            f"{path} has schema {head.schema}; this Thrive restores {HEAD}.",
            "restore it with the Thrive that wrote it, then thrive doctor --migrate",
        )
    return head


def restore_backup(path: Path, home: Home, report: Report) -> BackupManifest:
    """Bring a backup into a home without a project row, and add that row when all is verified.

    Rows and blobs that are there already are left alone, so a restore that was broken off goes on.

    Raises:
        Conflict: the home has another row of the same key, or the project has its row already.
        Damaged: the file is cut short or changed, or its audit chain does not hold.
        DiskFull: there is no room; call again when there is.
    """
    total = max(1, path.stat().st_size)
    with _members(path) as members:
        head = _read_head(path, next(members, ("", io.BytesIO())))
        _refuse_other(home, head)
        restoring = _Restoring(path, home)
        done = 0
        for name, stream in members:
            done += restoring.take(name, stream)
            report(min(0.99, done / total), "restoring")
    manifest = restoring.verified()
    _finish(home, head, manifest)
    return manifest


class _Restoring:
    """A backup on its way into a home, member by member."""

    def __init__(self, path: Path, home: Home) -> None:
        self._path = path
        self._home = home
        self._local = FolderBlobs(home.blobs.local.root)
        self._sums: dict[str, TableSum] = {}
        self._hashers: dict[str, blake3] = {}
        self._digests: set[str] = set()
        self._waiting: list[str] = []
        self._manifest: BackupManifest | None = None

    def take(self, name: str, stream: IO[bytes]) -> int:
        """Bring one member in; return its size."""
        kind, _, rest = name.partition("/")
        if kind == "tables":
            return self._take_rows(rest.partition("/")[0], stream.read())
        if kind == "blobs":
            return self._take_blob(rest.replace("/", ""), stream)
        self._manifest = msgspec.json.decode(stream.read(), type=BackupManifest)
        return 0

    def _take_rows(self, name: str, packed: bytes) -> int:
        if name not in _TABLES:
            raise _changed(self._path, f"{name[:60]!r} is no table")
        lines = gzip.decompress(packed)
        self._hashers.setdefault(name, blake3()).update(lines)
        known = self._sums.setdefault(name, TableSum())
        rows = [json.loads(line) for line in lines.splitlines()]
        _restore_rows(self._path, self._home, _TABLES[name], rows, known.rows)
        known.rows += len(rows)
        return len(packed)

    def _take_blob(self, digest: str, stream: IO[bytes]) -> int:
        if not is_digest(digest):
            raise _changed(self._path, "a stored file has no digest for a name")

        def copy(handle: int) -> None:
            while chunk := stream.read(_COPY):
                write_all(handle, chunk)

        if not self._local.has(digest):
            self._local.put_stream(copy, digest)
        self._digests.add(digest)
        self._waiting.append(digest)
        if len(self._waiting) >= _TOGETHER:
            self._admit()
        return self._local.size(digest)

    def _admit(self) -> None:
        self._home.blobs.admit(*self._waiting)
        self._waiting.clear()

    def verified(self) -> BackupManifest:
        """Compare what was read with what the backup says it holds; return that."""
        self._admit()
        if self._manifest is None:
            raise _cut(self._path)
        for name, hasher in self._hashers.items():
            self._sums[name].digest = hasher.hexdigest()
        empty = TableSum(digest=blake3().hexdigest())
        for name, said in self._manifest.tables.items():
            if said != self._sums.get(name, empty):
                raise _changed(self._path, f"the rows of {name} are others")
        with self._home.read() as tx:
            lacking = set(_digests(tx, self._home.project_id)) - self._digests
        if lacking or len(self._digests) != self._manifest.blobs:
            raise _changed(self._path, "a stored file is missing")
        return self._manifest


@contextmanager
def _members(path: Path) -> Generator[Iterator[tuple[str, IO[bytes]]]]:
    """Give the members of a backup in their order, each with its bytes."""
    try:
        with tarfile.open(path, "r|") as tar:
            yield (
                (member.name, stream)
                for member in tar
                if (stream := tar.extractfile(member)) is not None
            )
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.", "check the path") from None
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, ValueError) as error:
        raise Damaged(f"{path} is no whole backup: {error}.", "take another one") from None


def _cut(path: Path) -> Damaged:
    return Damaged(f"{path} is no whole backup: it was cut short.", "take another one")


def _changed(path: Path, what: str) -> Damaged:
    return Damaged(f"{path} was changed after it was written: {what}.", "take another one")


def _refuse_other(home: Home, head: BackupHead) -> None:
    if head.project != home.project:
        raise Conflict(
            f"The backup is of project {head.project.name}, the home of {home.project.name}.",
            "restore it into a folder without a home",
        )
    with home.read() as tx:
        taken = sa.or_(
            projects.c.project_id == head.project.project_id, projects.c.name == head.project.name
        )
        if tx.execute(sa.select(projects.c.name).where(taken)).first() is not None:
            raise Conflict(
                f"Project {head.project.name} is there already.",
                "restore it into another database or folder",
            )


def _restore_rows(
    path: Path, home: Home, table: sa.Table, rows: Sequence[Row], before: int
) -> None:
    """Insert rows that are not there; those that are must be the same."""
    columns = set(table.c.keys())
    for row in rows:
        if row.get("project_id") != home.project_id or row.keys() != columns:
            raise _changed(path, f"a row of {table.name} is not of this project")
        for column in table.columns:
            if isinstance(column.type, sa.LargeBinary):
                row[column.name] = base64.b64decode(row[column.name])
    with home.write() as tx:
        if table is changes:
            _restore_changes(tx, home.project_id, rows, before)
        elif insert_missing(tx, table, rows) < len(rows):
            _compare_rows(tx, table, rows)


def _compare_rows(tx: Tx, table: sa.Table, rows: Sequence[Row]) -> None:
    """Compare rows, which come in the order of their keys, with those of the home."""
    keys = [column.name for column in table.primary_key]
    place = sa.tuple_(*table.primary_key)
    first, last = (sa.tuple_(*(row[key] for key in keys)) for row in (rows[0], rows[-1]))
    query = sa.select(table).where(place >= first, place <= last)
    known = {tuple(row[key] for key in keys): dict(row) for row in tx.execute(query).mappings()}
    for row in rows:
        if known.get(tuple(row[key] for key in keys)) != row:
            named = ", ".join(f"{key} {row[key]}" for key in keys if key != "project_id")
            raise Conflict(
                f"The home has another row of {table.name} ({named}).",
                "restore into an empty home",
            )


def _restore_changes(tx: Tx, project_id: str, rows: Sequence[Row], before: int) -> None:
    """Append changes in their order; their numbers stay if no other project has used any.

    Numbers count all projects of a database together, so beside others they are given anew.
    """
    known = tx.execute(
        sa.select(changes.c.kind, changes.c.id)
        .where(changes.c.project_id == project_id)
        .order_by(changes.c.seq)
        .offset(before)
        .limit(len(rows))
    ).all()
    if [tuple(row) for row in known] != [(row["kind"], row["id"]) for row in rows[: len(known)]]:
        raise Conflict("The home has other changes.", "restore into an empty home")
    alone = tx.execute(sa.select(changes).where(changes.c.project_id != project_id)).first() is None
    fresh = [
        row if alone else {key: row[key] for key in row if key != "seq"}
        for row in rows[len(known) :]
    ]
    if fresh:
        tx.execute(sa.insert(changes), fresh)
    if tx.dialect.name == "postgresql":
        count_from(tx, changes.c.seq)


def _finish(home: Home, head: BackupHead, manifest: BackupManifest) -> None:
    """Verify the home and add the project's row."""
    with home.write() as tx:
        for name, said in manifest.tables.items():
            _compare_count(tx, _TABLES[name], home.project_id, said.rows)
        broken = audit.first_broken(tx, home.project_id)
        if broken is not None:
            raise Damaged(f"Audit entry {broken} of the backup does not hold.", "thrive doctor")
        tx.execute(
            sa.insert(projects).values(
                msgspec.structs.asdict(head.project)
                | {"clock_mode": head.clock_mode, "replay_now": head.replay_now}
            )
        )


def _compare_count(tx: Tx, table: sa.Table, project_id: str, expected: int) -> None:
    query = sa.select(sa.func.count()).where(table.c.project_id == project_id)
    found = tx.execute(query).scalar_one()
    if found != expected:
        raise Conflict(
            f"The home has {found} rows of {table.name}, the backup {expected}.",
            "restore into an empty home",
        )
