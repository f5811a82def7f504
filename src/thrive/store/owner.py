"""Whose an object store is: of one database, as a clean-up removes what that one does not know.

The record beside the blobs names the project that came first; every project of its database may
use the store. Two databases under one prefix would delete each other's files.
"""

import msgspec

from thrive.domain.errors import Conflict, Damaged, SchemaTooNew
from thrive.domain.project import Project
from thrive.store import projects
from thrive.store.blobs import BlobStore
from thrive.store.database import Database

RECORD = "owner.json"
FORMAT = 1


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """The first project that used a store, by id and by name."""

    format: int = FORMAT
    project: str
    name: str


def claim(blobs: BlobStore, database: Database, project: Project) -> None:
    """Write down whose blobs these are, unless it is written; raises as `refuse_foreign` does.

    Args:
        blobs: the store.
        database: the database whose projects refer to the blobs.
        project: the one that asks; its row may not be there yet.
    """
    asking = Owner(project=project.project_id, name=project.name)
    data = blobs.create_record(RECORD, msgspec.json.encode(asking))
    _refuse(data, database, project.project_id)


def refuse_foreign(blobs: BlobStore, database: Database) -> None:
    """Make sure that no other database keeps its blobs here.

    Raises:
        Conflict: one does.
        Damaged: the record of the owner is none.
        SchemaTooNew: a newer Thrive wrote it.
    """
    data = blobs.read_record(RECORD)
    if data is not None:
        _refuse(data, database, "")


def _refuse(data: bytes, database: Database, asking: str) -> None:
    try:
        owner = msgspec.json.decode(data, type=Owner)
    except msgspec.MsgspecError as error:
        raise Damaged(
            f"{RECORD} of the object store is damaged: {error}.", "thrive doctor"
        ) from None
    if owner.format > FORMAT:
        raise SchemaTooNew(
            f"{RECORD} of the object store has format {owner.format}.",
            "pip install --upgrade thrive",
        )
    if owner.project == asking:
        return
    with database.read() as tx:
        known = {each.project_id for each in projects.every(tx)}
    if owner.project not in known:
        raise Conflict(
            f"These objects belong to another database, the one of the project {owner.name!r}: a "
            "clean-up of either would delete what the other needs.",
            "give a place of its own: --objects s3://BUCKET/PREFIX",
        )
