"""What people said the columns of datasets hold, and when sources were last read."""

from thrive.domain.dataset import ColumnLabel, SourceState
from thrive.store.database import Tx
from thrive.store.rows import many, mine, one, upsert
from thrive.store.tables.data import column_labels, source_states


def save_label(tx: Tx, project_id: str, label: ColumnLabel) -> None:
    """Write what a column holds; a later word replaces an earlier one."""
    upsert(tx, project_id, column_labels, label)


def find_labels(tx: Tx, project_id: str, dataset: str) -> list[ColumnLabel]:
    """Return all that was said of a dataset's columns, by name."""
    query = mine(column_labels, project_id).where(column_labels.c.dataset == dataset)
    return many(tx, ColumnLabel, query.order_by(column_labels.c.name, column_labels.c.dtype))


def save_source(tx: Tx, project_id: str, state: SourceState) -> None:
    """Write when a source was read."""
    upsert(tx, project_id, source_states, state)


def find_source(tx: Tx, project_id: str, dataset: str) -> SourceState | None:
    """Return when a dataset's source was last read, None if it never was."""
    query = mine(source_states, project_id).where(source_states.c.dataset == dataset)
    return one(tx, SourceState, query)
