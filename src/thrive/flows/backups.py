"""Backups: a whole project to one file, and back into a home of either kind."""

from pathlib import Path

import msgspec

from thrive.domain.actor import KEEPERS
from thrive.domain.errors import UsageError
from thrive.operations import Context, Kind, operation
from thrive.serving.sealing import seal_logs
from thrive.store.backups import BackupManifest, read_head, restore_backup, write_backup
from thrive.store.home import vacant_home


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was written or restored: what it holds, in rows, stored files and bytes."""

    file: str
    project: str
    rows: int
    files: int
    size: int


@operation(
    "backups create",
    kind=Kind.CLIENT,
    role=KEEPERS,
    writes=True,
    next_hint="thrive backups restore {file}",
)
def create(ctx: Context, file: Path) -> Backup:
    """Copy the whole project to one file: every row, every stored file, one moment.

    Others may go on working meanwhile. The file holds everything the project knows, personal data
    included, so only its owner may read it.

    Args:
        file: the file to write; it appears when it is whole.

    Raises:
        Conflict: the file exists.
        Damaged: a stored file is not what its digest says.

    Examples:
        thrive backups create flights.backup
    """
    target = (ctx.local_folder() / file).resolve()
    seal_logs(ctx.home, force=True)
    with ctx.write(f"backup:{target.name[:100]}"):
        pass
    manifest = write_backup(ctx.home, target, ctx.progress)
    return _said(target, ctx.home.project.name, manifest)


@operation(
    "backups restore", kind=Kind.CLIENT, role=KEEPERS, writes=True, next_hint="thrive doctor"
)
def restore(ctx: Context, file: Path, *, database: str = "", objects: str = "") -> Backup:
    """Bring a project back from a backup, into this folder's home; call again if it was broken off.

    Ids, digests and the audit chain stay what they were; the project appears when everything is
    there and verified. With --database and --objects it moves to a team's stores, without them to
    this folder.

    Args:
        file: a file that `thrive backups create` wrote.
        database: the team's database, postgresql://user@host/database; its password in PGPASSWORD.
        objects: where the team's files are, s3://bucket/prefix; its keys in AWS_* variables.

    Raises:
        Conflict: the folder or the database has a project already.
        Damaged: the file is cut short or was changed.
        UsageError: a database and a place for files go together.

    Examples:
        thrive backups restore flights.backup
        thrive backups restore flights.backup --database postgresql://thrive@db/ml \
--objects s3://ml/thrive
    """
    if bool(database) != bool(objects):
        raise UsageError(
            "A team's database and the place of its files go together.",
            f"thrive backups restore {file} --database postgresql://... --objects s3://...",
        )
    source = (ctx.local_folder() / file).resolve()
    home = vacant_home(read_head(source).project, ctx.local_folder(), database, objects)
    try:
        manifest = restore_backup(source, home, ctx.progress)
        with Context(home, ctx.actor, operation=ctx.operation).write(f"backup:{source.name[:100]}"):
            pass
    finally:
        home.close()
    return _said(source, home.project.name, manifest)


def _said(file: Path, project: str, manifest: BackupManifest) -> Backup:
    return Backup(
        file=str(file),
        project=project,
        rows=manifest.rows,
        files=manifest.blobs,
        size=file.stat().st_size,
    )
