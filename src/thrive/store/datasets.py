"""Datasets and their immutable versions."""

from collections.abc import Collection

import sqlalchemy as sa

from thrive.domain.dataset import Dataset, DatasetTag, DatasetVersion
from thrive.domain.errors import NotFound
from thrive.store import erasures, references
from thrive.store.database import Tx
from thrive.store.rows import insert, many, mine, one, replace, upsert
from thrive.store.tables.data import dataset_tags, dataset_versions, datasets

KIND = "dataset_version"
"""As what a version refers to blobs."""
PROFILE_KIND = "profile"
"""As what a version's profile refers to its sketches."""


def save(tx: Tx, project_id: str, dataset: Dataset) -> None:
    """Create a dataset, or renew its owner and why."""
    upsert(tx, project_id, datasets, dataset)


def find(tx: Tx, project_id: str) -> list[Dataset]:
    """Return all datasets of a project, by name."""
    return many(tx, Dataset, mine(datasets, project_id).order_by(datasets.c.name))


def get(tx: Tx, project_id: str, name: str) -> Dataset:
    """Return a dataset.

    Raises:
        NotFound: there is none of that name.
    """
    dataset = one(tx, Dataset, mine(datasets, project_id).where(datasets.c.name == name))
    if dataset is None:
        raise NotFound(f"There is no dataset {name!r}.", f"thrive data add PATH --name {name}")
    return dataset


def insert_version(
    tx: Tx, project_id: str, version: DatasetVersion, blobs: Collection[str] = ()
) -> None:
    """Insert a version, and the blobs it keeps alive besides its list of files."""
    insert(tx, project_id, dataset_versions, version)
    label = f"{version.dataset}@{version.version}"
    references.add(tx, project_id, KIND, label, version.listed_in, *blobs)


def replace_version(tx: Tx, project_id: str, version: DatasetVersion) -> None:
    """Write what may change of a version: its checks, labels and whether it may be trained on."""
    replace(tx, project_id, dataset_versions, version)


def move_version(tx: Tx, project_id: str, version: DatasetVersion, blobs: Collection[str]) -> None:
    """Write that a version's bytes lie in other blobs: its manifest, and what it keeps alive."""
    replace(tx, project_id, dataset_versions, version)
    label = f"{version.dataset}@{version.version}"
    references.remove_all(tx, project_id, KIND, label)
    references.add(tx, project_id, KIND, label, version.listed_in, *blobs)


def remove_version(tx: Tx, project_id: str, version: DatasetVersion) -> None:
    """Remove a version, and what it kept alive; the bytes go with the next clean-up.

    Raises:
        Refused: a legal hold is on the dataset or the project.
    """
    from thrive.store import holds  # here: `data add` removes nothing

    holds.refuse_held(tx, project_id, holds.of_dataset(version.dataset))
    label = f"{version.dataset}@{version.version}"
    for kind in (KIND, PROFILE_KIND):
        references.remove_all(tx, project_id, kind, label)
    tx.execute(
        sa.delete(dataset_versions).where(
            dataset_versions.c.project_id == project_id,
            dataset_versions.c.dataset == version.dataset,
            dataset_versions.c.version == version.version,
        )
    )


def versions(tx: Tx, project_id: str, name: str) -> list[DatasetVersion]:
    """Return the versions of a dataset, newest first."""
    query = mine(dataset_versions, project_id).where(dataset_versions.c.dataset == name)
    return many(tx, DatasetVersion, query.order_by(dataset_versions.c.version.desc()))


def get_version(tx: Tx, project_id: str, name: str, version: int | None = None) -> DatasetVersion:
    """Return a version of a dataset, the newest when no number is given.

    Raises:
        NotFound: there is no such dataset or version.
    """
    get(tx, project_id, name)
    query = mine(dataset_versions, project_id).where(dataset_versions.c.dataset == name)
    if version is not None:
        query = query.where(dataset_versions.c.version == version)
    found = one(tx, DatasetVersion, query.order_by(dataset_versions.c.version.desc()))
    if found is None:
        label = name if version is None else f"{name}@{version}"
        raise NotFound(f"There is no dataset version {label}.", f"thrive data log {name}")
    return found


def held_back(tx: Tx, project_id: str) -> list[DatasetVersion]:
    """Return the newest version of each dataset on whose newest runs may not train, by name."""
    table = dataset_versions.c
    newest = (
        sa.select(table.dataset, sa.func.max(table.version))
        .where(table.project_id == project_id)
        .group_by(table.dataset)
    )
    label = sa.tuple_(table.dataset, table.version)
    query = mine(dataset_versions, project_id).where(table.trainable.is_(False), label.in_(newest))
    return many(tx, DatasetVersion, query.order_by(table.dataset))


def find_by_digest(tx: Tx, project_id: str, digest: str) -> list[DatasetVersion]:
    """Return the versions with this content, or with what an erasure put in its place."""
    present = erasures.present_digest(tx, project_id, digest)
    query = mine(dataset_versions, project_id).where(dataset_versions.c.digest == present)
    return many(tx, DatasetVersion, query)


def save_tag(tx: Tx, project_id: str, tag: DatasetTag) -> None:
    """Write which version a tag names, in place of the one it named."""
    upsert(tx, project_id, dataset_tags, tag)


def remove_tag(tx: Tx, project_id: str, dataset: str, tag: str) -> None:
    """Remove a tag; one that is not there is already removed."""
    table = dataset_tags.c
    tx.execute(
        sa.delete(dataset_tags).where(
            table.project_id == project_id, table.dataset == dataset, table.tag == tag
        )
    )


def find_tags(tx: Tx, project_id: str, dataset: str) -> list[DatasetTag]:
    """Return the tags of a dataset, by name."""
    query = mine(dataset_tags, project_id).where(dataset_tags.c.dataset == dataset)
    return many(tx, DatasetTag, query.order_by(dataset_tags.c.tag))


def tagged(tx: Tx, project_id: str, dataset: str, tag: str) -> int:
    """Return the number of the version that a tag names.

    Raises:
        NotFound: there is no such tag.
    """
    found = {each.tag: each.version for each in find_tags(tx, project_id, dataset)}
    if tag not in found:
        known = ", ".join(found) or "none"
        raise NotFound(
            f"{dataset} has no tag {tag!r} (there is {known}).", f"thrive data log {dataset}"
        )
    return found[tag]


def next_version(tx: Tx, project_id: str, name: str) -> int:
    """Return the number the next version of a dataset gets."""
    query = sa.select(sa.func.max(dataset_versions.c.version)).where(
        dataset_versions.c.project_id == project_id, dataset_versions.c.dataset == name
    )
    return (tx.execute(query).scalar() or 0) + 1
