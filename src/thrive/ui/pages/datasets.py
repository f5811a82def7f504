"""The list of datasets."""

import msgspec

from thrive.domain.dataset import Dataset, DatasetVersion
from thrive.operations import Context
from thrive.store import datasets


class DatasetLine(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset with its newest version."""

    dataset: Dataset
    versions: int
    newest: int | None
    rows: int | None
    size: int | None
    columns: int | None
    trainable: bool
    changed_at: int


class DatasetsPage(msgspec.Struct, frozen=True, kw_only=True):
    """All datasets, by name."""

    now: int
    datasets: list[DatasetLine]


def load(ctx: Context) -> DatasetsPage:
    """Return all datasets."""
    with ctx.read() as tx:
        lines = [
            _line(each, datasets.versions(tx, ctx.project_id, each.name))
            for each in datasets.find(tx, ctx.project_id)
        ]
    return DatasetsPage(now=ctx.now(), datasets=lines)


def _line(dataset: Dataset, versions: list[DatasetVersion]) -> DatasetLine:
    newest = versions[0] if versions else None
    return DatasetLine(
        dataset=dataset,
        versions=len(versions),
        newest=newest.version if newest is not None else None,
        rows=newest.rows if newest is not None else None,
        size=newest.size if newest is not None else None,
        columns=len(newest.columns) if newest is not None else None,
        trainable=newest is not None and newest.trainable,
        changed_at=newest.created_at if newest is not None else dataset.created_at,
    )
