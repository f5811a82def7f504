"""What is measured of the data a version learned from: persons, sensitive columns, lost rows."""

from typing import Any

from thrive.domain.dataset import DatasetVersion
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
