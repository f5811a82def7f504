"""One dataset: is the input right, whose is it, and what may it be used for?"""

from typing import Any

import msgspec

from thrive.contract.parse import load as load_contract
from thrive.contract.schema import DataTerms
from thrive.data.lineage import Lineage, traced
from thrive.data.questions import as_declared
from thrive.domain.dataset import Column, Dataset, DatasetVersion
from thrive.domain.errors import ThriveError
from thrive.operations import Context
from thrive.store import datasets
from thrive.store.database import Tx
from thrive.ui.forms import asked_version


class ColumnRow(msgspec.Struct, frozen=True, kw_only=True):
    """One column with what its profile says; empty where the profile is silent."""

    column: Column
    profile: dict[str, Any]


class DatasetPage(msgspec.Struct, frozen=True, kw_only=True):
    """One dataset, one version of it in full, and what the contract says of it.

    `terms` are those of the project's present `thrive.toml`; None where it does not name the
    dataset, or where pages are served without the project's folder.
    """

    now: int
    dataset: Dataset
    shown: DatasetVersion | None
    columns: list[ColumnRow]
    versions: list[DatasetVersion]
    lineage: Lineage | None
    terms: DataTerms | None


def load(ctx: Context, name: str, version: str = "") -> DatasetPage:
    """Return the page of a dataset with one of its versions, the newest without a number.

    Raises:
        NotFound: there is no such dataset or version.
        UsageError: the version is no number.
    """
    number = asked_version(version)
    with ctx.read() as tx:
        dataset = datasets.get(tx, ctx.project_id, name)
        versions = datasets.versions(tx, ctx.project_id, name)
        shown = datasets.get_version(tx, ctx.project_id, name, number) if versions else None
        lineage = _lineage(ctx, tx, shown)
    terms = _terms(ctx, name)
    if shown is not None and terms is not None:
        shown = as_declared(shown, terms.personal_kinds)
    profile: dict[str, Any] = shown.profile.get("columns", {}) if shown is not None else {}
    columns = shown.columns if shown is not None else []
    return DatasetPage(
        now=ctx.now(),
        dataset=dataset,
        shown=shown,
        columns=[
            ColumnRow(column=column, profile=profile.get(column.name, {})) for column in columns
        ],
        versions=versions,
        lineage=lineage,
        terms=terms,
    )


def _lineage(ctx: Context, tx: Tx, shown: DatasetVersion | None) -> Lineage | None:
    if shown is None:
        return None
    return traced(tx, ctx, shown)


def _terms(ctx: Context, name: str) -> DataTerms | None:
    if ctx.folder is None:
        return None
    try:
        return load_contract(ctx.folder).contract.data.get(name)
    except ThriveError:  # `thrive check` names the line; the page shows what is stored
        return None
