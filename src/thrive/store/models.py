"""Registered models and their immutable versions."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from thrive.domain.errors import NotFound
from thrive.domain.model import Model, ModelVersion
from thrive.domain.project import StoredContract
from thrive.store import holds, references
from thrive.store.database import Tx
from thrive.store.rows import batched, from_row, insert, many, mine, one, replace, upsert
from thrive.store.tables.models import model_versions, models
from thrive.store.tables.project import contracts

_model = sa.select(models).where(
    models.c.project_id == sa.bindparam("project"), models.c.name == sa.bindparam("name")
)
_numbers = sa.select(
    sa.select(sa.func.max(model_versions.c.version))
    .where(
        model_versions.c.project_id == sa.bindparam("project"),
        model_versions.c.model == sa.bindparam("name"),
    )
    .scalar_subquery()
    .label("highest"),
    sa.select(models.c.last_version)
    .where(models.c.project_id == sa.bindparam("project"), models.c.name == sa.bindparam("name"))
    .scalar_subquery()
    .label("given"),
)


def save(tx: Tx, project_id: str, model: Model) -> None:
    """Create a model, or renew its owner and purpose."""
    upsert(tx, project_id, models, model)


def find(tx: Tx, project_id: str) -> list[Model]:
    """Return all models of a project, by name."""
    return many(tx, Model, mine(models, project_id).order_by(models.c.name))


def get(tx: Tx, project_id: str, name: str) -> Model:
    """Return a model.

    Raises:
        NotFound: there is none of that name.
    """
    row = tx.execute(_model, {"project": project_id, "name": name}).mappings().first()
    model = None if row is None else from_row(Model, row)
    if model is None:
        raise NotFound(f"There is no model {name!r}.", "thrive models list")
    return model


def insert_version(tx: Tx, project_id: str, version: ModelVersion, files: list[str]) -> None:
    """Insert a version, and the blobs it keeps alive: its package's files and its tables."""
    insert(tx, project_id, model_versions, version)
    label = f"{version.model}@{version.version}"
    tables = (version.evaluation, version.reference, version.trained_rows)
    kept = (version.package, *filter(None, tables), *files)
    references.add(tx, project_id, "model_version", label, *kept)


def is_packaged(tx: Tx, project_id: str, label: str, digest: str) -> bool:
    """Tell whether a blob that the version `model@number` keeps is of its package, not a table."""
    name, _, number = label.rpartition("@")
    version = get_version(tx, project_id, name, int(number))
    return digest not in {version.evaluation, version.reference, version.trained_rows}


def judged_on(tx: Tx, project_id: str, name: str, evaluation: str) -> list[ModelVersion]:
    """Return the versions of a model that have this evaluation table, newest first."""
    query = mine(model_versions, project_id).where(
        model_versions.c.model == name, model_versions.c.evaluation == evaluation
    )
    return many(tx, ModelVersion, query.order_by(model_versions.c.version.desc()))


def replace_version(tx: Tx, project_id: str, version: ModelVersion) -> None:
    """Write what may change of a version: its note and whether it is retired."""
    replace(tx, project_id, model_versions, version)


MOST_SHOWN = 100
"""Versions of a model that a page or an answer shows: the newest."""


def versions(
    tx: Tx,
    project_id: str,
    name: str,
    *,
    limit: int | None = None,
    among: Collection[int] | None = None,
) -> list[ModelVersion]:
    """Return the versions of a model, newest first.

    Args:
        tx: a transaction.
        project_id: the project.
        name: the model.
        limit: how many at most, None for all.
        among: the numbers that are asked for, None for all.
    """
    query = mine(model_versions, project_id).where(model_versions.c.model == name)
    if among is not None:
        query = query.where(model_versions.c.version.in_(sorted(among)))
    query = query.order_by(model_versions.c.version.desc()).limit(limit)
    return many(tx, ModelVersion, query)


def count_versions(tx: Tx, project_id: str, name: str) -> int:
    """Return how many versions a model has."""
    query = sa.select(sa.func.count()).where(
        model_versions.c.project_id == project_id, model_versions.c.model == name
    )
    return tx.execute(query).scalar_one()


def numbers(tx: Tx, project_id: str) -> dict[str, tuple[int, int]]:
    """Return how many versions each model has, and the number of its newest."""
    columns = (sa.func.count(), sa.func.max(model_versions.c.version))
    query = (
        sa.select(model_versions.c.model, *columns)
        .where(model_versions.c.project_id == project_id)
        .group_by(model_versions.c.model)
    )
    return {model: (count, newest) for model, count, newest in tx.execute(query)}


def versions_at(
    tx: Tx, project_id: str, labels: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], ModelVersion]:
    """Return versions of many models by (model, number)."""
    label = sa.tuple_(model_versions.c.model, model_versions.c.version)
    return {
        (each.model, each.version): each
        for some in batched(labels)
        for each in many(tx, ModelVersion, mine(model_versions, project_id).where(label.in_(some)))
    }


def get_version(tx: Tx, project_id: str, name: str, version: int | None = None) -> ModelVersion:
    """Return a version of a model, the newest when no number is given.

    Raises:
        NotFound: there is no such model or version.
    """
    get(tx, project_id, name)
    query = mine(model_versions, project_id).where(model_versions.c.model == name)
    if version is not None:
        query = query.where(model_versions.c.version == version)
    found = one(tx, ModelVersion, query.order_by(model_versions.c.version.desc()))
    if found is None:
        label = name if version is None else f"{name}@{version}"
        raise NotFound(f"There is no model version {label}.", f"thrive models show {name}")
    return found


def newest_contract(tx: Tx, project_id: str) -> StoredContract | None:
    """Return the contract under which a version was registered last, None if none is stored."""
    same = (contracts.c.project_id == model_versions.c.project_id) & (
        contracts.c.digest == model_versions.c.contract
    )
    query = mine(contracts, project_id).join(model_versions, same)
    return one(tx, StoredContract, query.order_by(model_versions.c.created_at.desc()))


def next_version(tx: Tx, project_id: str, name: str) -> int:
    """Return the number the next version of a model gets."""
    row = tx.execute(_numbers, {"project": project_id, "name": name}).one()
    return max(row.highest or 0, row.given or 0) + 1


def exists(tx: Tx, project_id: str, name: str) -> bool:
    """Tell whether there is a model of a name."""
    return one(tx, Model, mine(models, project_id).where(models.c.name == name)) is not None


def rename(tx: Tx, project_id: str, name: str, new: str) -> None:
    """Give a model and its versions another name; none of them may have been released.

    Raises:
        Refused: a legal hold is on it, by its name, or on the project.
    """
    holds.refuse_held(tx, project_id, *_held_as(tx, project_id, name))
    for table, column in ((models, models.c.name), (model_versions, model_versions.c.model)):
        change = sa.update(table).where(table.c.project_id == project_id, column == name)
        tx.execute(change.values({column.name: new}))


def delete(tx: Tx, project_id: str, name: str) -> None:
    """Delete a model with its versions; none of them may have been packaged.

    Raises:
        Refused: a legal hold is on the model, a version of it, or the project.
    """
    holds.refuse_held(tx, project_id, *_held_as(tx, project_id, name))
    for table, column in ((models, models.c.name), (model_versions, model_versions.c.model)):
        tx.execute(sa.delete(table).where(table.c.project_id == project_id, column == name))


def _held_as(tx: Tx, project_id: str, name: str) -> list[str]:
    known = versions(tx, project_id, name)
    return [holds.of_model(name), *(holds.of_model(name, each.version) for each in known)]


def delete_version(tx: Tx, project_id: str, version: ModelVersion) -> None:
    """Delete a version, and let go of the blobs it kept; its number is not given again.

    Raises:
        Refused: a legal hold is on it, its model or the project.
    """
    model, number = version.model, version.version
    holds.refuse_held(tx, project_id, holds.of_model(model), holds.of_model(model, number))
    label = f"{version.model}@{version.version}"
    references.remove_all(tx, project_id, "model_version", label)
    tx.execute(
        sa.delete(model_versions).where(
            model_versions.c.project_id == project_id,
            model_versions.c.model == version.model,
            model_versions.c.version == version.version,
        )
    )


def every_version(tx: Tx, project_id: str, name: str | None = None) -> list[ModelVersion]:
    """Return the versions of all models, or of one: the last changed first."""
    query = mine(model_versions, project_id)
    if name is not None:
        query = query.where(model_versions.c.model == name)
    changed = sa.func.coalesce(model_versions.c.updated_at, model_versions.c.created_at)
    order = (changed.desc(), model_versions.c.model, model_versions.c.version.desc())
    return many(tx, ModelVersion, query.order_by(*order))


def of_logged(
    tx: Tx, project_id: str, model_ids: Sequence[str]
) -> dict[str, list[tuple[str, int]]]:
    """Return under which (name, version) logged models are registered, by their ids."""
    found: dict[str, list[tuple[str, int]]] = {}
    columns = (model_versions.c.logged_model, model_versions.c.model, model_versions.c.version)
    query = sa.select(*columns).where(
        model_versions.c.project_id == project_id, model_versions.c.logged_model.in_(model_ids)
    )
    for model_id, name, version in tx.execute(query.order_by(*columns)):
        found.setdefault(model_id, []).append((name, version))
    return found
