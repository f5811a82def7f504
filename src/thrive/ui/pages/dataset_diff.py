"""Two versions of a dataset: what came, what went, and what is distributed differently."""

from collections.abc import Mapping

import msgspec

from thrive.data.diff import ColumnChange, VersionDiff, column_changes
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import NotFound
from thrive.operations import Context
from thrive.store import datasets
from thrive.ui.comparing import comparison
from thrive.ui.forms import asked_version


class DatasetDiffPage(msgspec.Struct, frozen=True, kw_only=True):
    """What differs.

    Attributes:
        columns: what differs by the profiles alone.
        diff: what differs by the rows; None where they are not read.
        pending: they are being read.
        why_not: why they cannot be.
    """

    now: int
    name: str
    before: DatasetVersion
    after: DatasetVersion
    numbers: list[int]
    columns: list[ColumnChange]
    diff: VersionDiff | None
    pending: bool
    why_not: str


def load(ctx: Context, words: Mapping[str, str]) -> DatasetDiffPage:
    """Return what differs from version `before` to `after`; the two newest without numbers.

    Raises:
        NotFound: there is no such dataset, or it has fewer than two versions.
        UsageError: a version is no number.
    """
    name = words["name"]
    with ctx.read() as tx:
        datasets.get(tx, ctx.project_id, name)
        versions = {each.version: each for each in datasets.versions(tx, ctx.project_id, name)}
    if len(versions) < 2:
        raise NotFound(f"{name} has no two versions to compare.", f"thrive data log {name}")
    newest = sorted(versions, reverse=True)
    before = _chosen(versions, words.get("before", ""), newest[1])
    after = _chosen(versions, words.get("after", ""), newest[0])
    compared = comparison(ctx, before, after)
    return DatasetDiffPage(
        now=ctx.now(),
        name=name,
        before=before,
        after=after,
        numbers=newest,
        columns=column_changes(before, after),
        diff=compared.found,
        pending=not compared.ready.is_set(),
        why_not=compared.why_not,
    )


def _chosen(versions: dict[int, DatasetVersion], asked: str, default: int) -> DatasetVersion:
    number = asked_version(asked)
    found = versions.get(default if number is None else number)
    if found is None:
        raise NotFound(f"There is no version {asked}.", "thrive data log NAME")
    return found
