"""Experiments: the names under which runs are compared."""

from typing import Any

import msgspec
import sqlalchemy as sa

from thrive.domain.errors import Conflict, NotFound
from thrive.domain.experiment import Experiment
from thrive.store import changes
from thrive.store.database import Tx
from thrive.store.rows import insert_missing, many, mine, one, replace, to_row
from thrive.store.tables.runs import experiments, runs

RENAMED = "experiment-name"
"""What a change says of an experiment that has another name now, and all its runs with it."""
DEFAULT = Experiment(experiment_id=0, name="Default", created_at=0, updated_at=0)
"""What a run of an MLflow client belongs to that names no experiment."""


def ensure(tx: Tx, project_id: str, name: str, now: int) -> Experiment:
    """Return the experiment of a name, created if there is none."""
    known = named(tx, project_id, name)
    while known is None:
        number = 0 if name == DEFAULT.name else _next(tx, project_id)
        made = Experiment(experiment_id=number, name=name, created_at=now, updated_at=now)
        insert_missing(tx, experiments, [to_row(project_id, made, experiments)])
        known = named(tx, project_id, name)
    return known


def create(
    tx: Tx, project_id: str, name: str, now: int, tags: dict[str, str] | None = None
) -> Experiment:
    """Create an experiment.

    Raises:
        Conflict: the name is taken, perhaps by a deleted one.
    """
    known = named(tx, project_id, name)
    if known is not None:
        deleted = " and is deleted" if known.deleted_at is not None else ""
        raise Conflict(f"Experiment {name!r} already exists{deleted}.", "choose another name")
    made = ensure(tx, project_id, name, now)
    if tags:
        made = msgspec.structs.replace(made, tags=tags)
        save(tx, project_id, made)
    return made


def _next(tx: Tx, project_id: str) -> int:
    last = sa.select(sa.func.max(experiments.c.experiment_id)).where(
        experiments.c.project_id == project_id
    )
    return (tx.execute(last).scalar() or 0) + 1


def named(tx: Tx, project_id: str, name: str) -> Experiment | None:
    """Return the experiment of a name, deleted or not, or None."""
    return one(tx, Experiment, mine(experiments, project_id).where(experiments.c.name == name))


def get(tx: Tx, project_id: str, experiment_id: int) -> Experiment:
    """Return an experiment by its number.

    Raises:
        NotFound: there is none.
    """
    return _numbered(tx, experiment_id, mine(experiments, project_id))


def _numbered(tx: Tx, experiment_id: int, query: sa.Select[Any]) -> Experiment:
    found = one(tx, Experiment, query.where(experiments.c.experiment_id == experiment_id))
    if found is None:
        raise NotFound(f"No Experiment with id={experiment_id} exists", "thrive experiments list")
    return found


def hold(tx: Tx, project_id: str, experiment_id: int) -> Experiment:
    """Return an experiment by its number, and keep other writers from it; raises as `get`."""
    return _numbered(tx, experiment_id, mine(experiments, project_id).with_for_update())


def find(tx: Tx, project_id: str) -> list[Experiment]:
    """Return every experiment, deleted ones included, by number."""
    return many(tx, Experiment, mine(experiments, project_id).order_by(experiments.c.experiment_id))


def save(tx: Tx, project_id: str, experiment: Experiment) -> None:
    """Write the present state of an experiment."""
    replace(tx, project_id, experiments, experiment)


def rename(tx: Tx, project_id: str, experiment: Experiment, name: str) -> None:
    """Give an experiment and all its runs another name.

    Raises:
        Conflict: the name is taken.
    """
    if named(tx, project_id, name) is not None:
        raise Conflict(f"Experiment {name!r} already exists.", "choose another name")
    tx.execute(
        sa.update(runs)
        .where(runs.c.project_id == project_id, runs.c.experiment == experiment.name)
        .values(experiment=name)
    )
    save(tx, project_id, msgspec.structs.replace(experiment, name=name))
    changes.append(tx, project_id, RENAMED, str(experiment.experiment_id))
