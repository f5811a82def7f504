"""Models that runs logged: files under an id, before anybody registers them."""

from thrive.domain.errors import NotFound
from thrive.domain.experiment import LoggedModel
from thrive.store.database import Tx
from thrive.store.rows import many, mine, one, upsert
from thrive.store.tables.runs import logged_models


def save(tx: Tx, project_id: str, model: LoggedModel) -> None:
    """Insert a logged model, or write its present state."""
    upsert(tx, project_id, logged_models, model)


def get(tx: Tx, project_id: str, model_id: str, *, deleted: bool = False) -> LoggedModel:
    """Return a logged model.

    Args:
        tx: a transaction.
        project_id: the project.
        model_id: its id, `m-` and 32 hex digits.
        deleted: whether a deleted one is returned too.

    Raises:
        NotFound: there is none.
    """
    query = mine(logged_models, project_id).where(logged_models.c.model_id == model_id)
    found = one(tx, LoggedModel, query)
    if found is None or (found.deleted_at is not None and not deleted):
        raise NotFound(f"Logged model with ID '{model_id}' not found.")
    return found


def find(tx: Tx, project_id: str, experiment_ids: list[int]) -> list[LoggedModel]:
    """Return the logged models of some experiments that are not deleted, newest first."""
    query = mine(logged_models, project_id).where(
        logged_models.c.experiment_id.in_(experiment_ids), logged_models.c.deleted_at.is_(None)
    )
    newest = query.order_by(logged_models.c.created_at.desc(), logged_models.c.model_id.desc())
    return many(tx, LoggedModel, newest)
