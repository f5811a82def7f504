"""What is measured of the data a version learned from: persons, sensitive columns, lost rows."""

from typing import Any

import msgspec

from thrive.domain.dataset import DatasetVersion
from thrive.domain.duty import Restriction
from thrive.governance.law import questions
from thrive.governance.records import Records


def profiled_columns(version: DatasetVersion) -> dict[str, dict[str, Any]]:
    """Return what a version's profile says of each column."""
    columns: dict[str, dict[str, Any]] = version.profile.get("columns", {})
    return columns


def missing_shares(version: DatasetVersion) -> dict[str, float]:
    """Return the share of missing values of each profiled column."""
    rows = max(version.rows, 1)
    return {
        name: found["missing"] / rows
        for name, found in profiled_columns(version).items()
        if "missing" in found
    }


def dropped_shares(records: Records) -> dict[str, float]:
    """Return the share of rows that each dataset has fewer than the largest it was made from."""
    found: dict[str, float] = {}
    for name, parents in records.parents.items():
        most, own = max((each.rows for each in parents), default=0), records.upstream[name]
        if own is not None and most > own.rows:
            found[name] = 1 - own.rows / most
    return found


class GroupShare(msgspec.Struct, frozen=True, kw_only=True):
    """A group's share of a dataset's rows, None where it is not known, and of the population."""

    dataset: str
    column: str
    group: str
    share: float | None
    population: float

    def is_off(self, much: float) -> bool:
        """Tell whether the share is off the population's by more than a share of it."""
        return self.share is not None and abs(self.share - self.population) > (
            much * self.population
        )

    def said(self) -> str:
        """Return both in words."""
        own = "an unknown share" if self.share is None else f"{self.share:.1%}"
        whole = f"{self.population:.1%} of the population"
        return f"{self.column} {self.group} has {own} of the rows of {self.dataset} and {whole}"


def population_shares(records: Records) -> list[GroupShare]:
    """Return each group that people stated a share of the population for, by dataset and column."""
    found: list[GroupShare] = []
    for name, version in records.known.items():
        columns = profiled_columns(version)
        for column, groups in records.answers.population.items():
            if column in columns:
                own = _shares(columns[column], version.rows)
                found += [
                    GroupShare(
                        dataset=name,
                        column=column,
                        group=group,
                        share=own.get(group.casefold(), own.get("")),
                        population=share,
                    )
                    for group, share in groups.items()
                ]
    return found


def _shares(profile: dict[str, Any], rows: int) -> dict[str, float]:
    """Return the shares of a column's values; under "" that of others, where all are counted."""
    top = profile.get("top", [])
    found = {str(value).casefold(): count / max(rows, 1) for value, count in top}
    if len(top) >= int(profile.get("distinct") or 0) and top:
        found[""] = 0.0
    return found


def learned_from(records: Records) -> list[Restriction]:
    """Return the restrictions on people whose rows a version learned from before they began."""
    learned = training_digests(records)
    return [
        each
        for each in records.restrictions
        if learned & {*each.digests} and records.version.created_at < each.placed_at
    ]


def training_digests(records: Records) -> set[str]:
    """Return the content that a version learned from, and what that was made from."""
    made_from = {each.digest for parents in records.parents.values() for each in parents}
    return {*records.version.training.values(), *made_from}


def sensitive_columns(records: Records) -> dict[str, dict[str, str]]:
    """Return the columns of special categories, by dataset."""
    special = questions().special_categories
    found = {
        name: {column: kind for column, kind in columns.items() if kind.casefold() in special}
        for name, columns in records.personal().items()
    }
    return {name: columns for name, columns in found.items() if columns}


def persons(records: Records) -> int:
    """Return how many different persons the largest training dataset names, 0 if none is known."""
    most = 0
    for name, found in records.known.items():
        subject = records.data_terms(name).subject
        counted = profiled_columns(found).get(subject, {}).get("distinct") if subject else None
        most = max(most, int(counted or 0))
    return most
