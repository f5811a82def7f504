"""A value in the texts of every table: where it stands, and how it is taken out.

What leads nowhere else is searched: free texts, JSON, names. The audit chain is searched and never
changed: its links hold each other.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa

from thrive.store.database import Tx
from thrive.store.json_text import json_text
from thrive.store.tables.erasures import erasures, tombstones
from thrive.store.tables.project import audit, blob_references, changes
from thrive.store.tables.runs import uses
from thrive.store.tables.schema import metadata

_OWN = {erasures.name, tombstones.name}
_FIXED = {audit.name, changes.name}
_HISTORY = _FIXED | {uses.name, blob_references.name}
DIGEST_LENGTH = 64


def places_of(tx: Tx, project_id: str, value: str) -> list[tuple[str, str, int]]:
    """Return (table, column, rows) wherever a project's rows hold the value as text."""
    found: list[tuple[str, str, int]] = []
    for table, column in _columns():
        query = sa.select(sa.func.count()).select_from(table)
        rows = tx.execute(query.where(*_holding(tx, project_id, table, column, value))).scalar()
        if rows:
            found.append((table.name, column.name, rows))
    return found


def rewrite_texts(tx: Tx, project_id: str, value: str, renew: Callable[[Any], Any]) -> int:
    """Renew what holds a value in texts and JSON, apart from keys and the audit chain; count rows.

    Args:
        tx: a writing transaction.
        project_id: the project.
        value: what to look for.
        renew: gives the new text, or JSON value, for the old one.
    """
    changed = 0
    for table, column in _columns():
        if column.primary_key or table.name in _FIXED:
            continue
        keys = list(table.primary_key)
        query = sa.select(*keys, column).where(*_holding(tx, project_id, table, column, value))
        for row in tx.execute(query).all():
            same = [key == known for key, known in zip(keys, row, strict=False)]
            renewed = {column.name: renew(row[-1])}
            changed += tx.execute(sa.update(table).where(*same).values(renewed)).rowcount
    return changed


def rename_digest(tx: Tx, project_id: str, old: str, new: str) -> None:
    """Let every row that names content by `old` name it by `new`; lineage and audit stay as is."""
    for table, column in _columns():
        if table.name in _HISTORY or column.primary_key:
            continue
        if isinstance(column.type, sa.JSON):
            _rename_in_json(tx, project_id, table, column, old, new)
        elif getattr(column.type, "length", None) == DIGEST_LENGTH:
            mine = table.c.project_id == project_id
            tx.execute(sa.update(table).where(mine, column == old).values({column.name: new}))


def _rename_in_json(
    tx: Tx, project_id: str, table: sa.Table, column: sa.Column[Any], old: str, new: str
) -> None:
    keys = list(table.primary_key)
    query = sa.select(*keys, column).where(*_holding(tx, project_id, table, column, old))
    for row in tx.execute(query).all():
        value = msgspec.json.decode(json_text(row[-1]).replace(old, new))
        same = [key == known for key, known in zip(keys, row, strict=False)]
        tx.execute(sa.update(table).where(*same).values({column.name: value}))


def _columns() -> Iterator[tuple[sa.Table, sa.Column[Any]]]:
    for table in metadata.sorted_tables:
        if table.name in _OWN:
            continue
        for column in table.columns:
            if isinstance(column.type, sa.String | sa.JSON) and column.name != "project_id":
                yield table, column


def _holding(
    tx: Tx, project_id: str, table: sa.Table, column: sa.Column[Any], value: str
) -> list[sa.ColumnElement[bool]]:
    text: Any = sa.cast(column, sa.Text) if isinstance(column.type, sa.JSON) else column
    place = sa.func.instr if tx.dialect.name == "sqlite" else sa.func.strpos
    spelled = json_text(value)[1:-1] if isinstance(column.type, sa.JSON) else value
    return [table.c.project_id == project_id, place(text, spelled) > 0]
