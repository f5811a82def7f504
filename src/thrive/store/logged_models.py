"""Models that runs logged: files under an id, before anybody registers them."""

from collections.abc import Iterable

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
        raise unknown(model_id)
    return found


def hold(tx: Tx, project_id: str, model_ids: Iterable[str]) -> dict[str, LoggedModel]:
    """Return those of some logged models that are there and not deleted, by their ids.

    Other writers are kept from them until the transaction ends.
    """
    query = mine(logged_models, project_id).where(
        logged_models.c.model_id.in_(sorted(set(model_ids))), logged_models.c.deleted_at.is_(None)
    )
    held = query.order_by(logged_models.c.model_id).with_for_update()
    return {model.model_id: model for model in many(tx, LoggedModel, held)}


def hold_one(tx: Tx, project_id: str, model_id: str) -> LoggedModel:
    """Return a logged model, and keep other writers from it until the transaction ends.

    Raises:
        NotFound: there is none.
    """
    found = hold(tx, project_id, [model_id]).get(model_id)
    if found is None:
        raise unknown(model_id)
    return found


def unknown(model_id: str) -> NotFound:
    """Return the error that says that there is no such logged model."""
    return NotFound(f"Logged model with ID '{model_id[:80]}' not found.")


def find(tx: Tx, project_id: str, experiment_ids: list[int]) -> list[LoggedModel]:
    """Return the logged models of some experiments that are not deleted, newest first."""
    query = mine(logged_models, project_id).where(
        logged_models.c.experiment_id.in_(experiment_ids), logged_models.c.deleted_at.is_(None)
    )
    newest = query.order_by(logged_models.c.created_at.desc(), logged_models.c.model_id.desc())
    return many(tx, LoggedModel, newest)
