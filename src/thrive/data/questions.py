"""What is still to be said of a version's columns; light enough for every command to ask."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from thrive.domain.dataset import Column, ColumnLabel, DatasetVersion

NONE = "none"
"""The label of a column that holds no personal data, said aloud."""
COUNTS = ("missing", "distinct")
"""What is told of a column whose values must stay out of reports."""


def is_closed(column: Column) -> bool:
    """Tell whether the values of a column must stay out of every report."""
    kind = column.personal or column.proposed
    return kind is not None and kind != NONE


def as_declared(version: DatasetVersion, declared: Mapping[str, str]) -> DatasetVersion:
    """Return a version as the contract of now labels it, without the values of closed columns.

    What is stored was judged when it was added, maybe before somebody wrote the label.

    Args:
        version: as it is stored.
        declared: what the contract says of the columns of its dataset.
    """
    columns = [
        msgspec.structs.replace(each, personal=declared.get(each.name) or each.personal)
        for each in version.columns
    ]
    hidden = {each.name for each in columns if is_closed(each)}
    profile = version.profile | {
        "columns": without_values(version.profile.get("columns", {}), hidden)
    }
    return msgspec.structs.replace(version, columns=columns, profile=profile)


def without_values(
    profiles: Mapping[str, dict[str, Any]], hidden: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return the profiles of columns; of hidden ones nothing but counts."""
    return {
        name: {key: found[key] for key in COUNTS if key in found} if name in hidden else found
        for name, found in profiles.items()
    }


def is_trainable(version: DatasetVersion, declared: Collection[str] = ()) -> bool:
    """Tell whether a version may be trained on, as far as it says so itself.

    Its checks passed, or somebody decided so, and nothing is to be said of its columns.

    Args:
        version: the version.
        declared: columns of which the contract says what they hold.
    """
    unanswered = (each for each in version.columns if each.asked and each.personal is None)
    return version.trainable and all(each.name in declared for each in unanswered)


def held_back(version: DatasetVersion) -> tuple[str, str] | None:
    """Return why a version may not be trained on whatever its columns hold, and what mends it.

    None where its checks passed, or somebody decided that it may.
    """
    if version.trainable:
        return None
    failed = [check for check in version.checks if check["state"] == "fail"]
    why = "; ".join(f"{check['check']}: {check['found']}" for check in failed)
    label = f"{version.dataset}@{version.version}"
    return (
        f"{label} may not be trained on: {why or 'a person decided so'}",
        f'correct the data, or: thrive data decide {label} --trainable --reason "..."',
    )


def open_questions(
    version: DatasetVersion,
    declared: Mapping[str, str],
    labels: Mapping[tuple[str, str], ColumnLabel],
) -> list[Column]:
    """Return the columns of a version whose content a person must still name."""
    return [
        column
        for column in version.columns
        if column.asked
        and column.name not in declared
        and (column.name, column.dtype) not in labels
    ]


def contradicted(
    version: DatasetVersion,
    declared: Mapping[str, str],
    labels: Mapping[tuple[str, str], ColumnLabel],
) -> list[Column]:
    """Return the columns that the contract says hold nothing personal, and whose values do.

    Where somebody confirmed it by name and with a reason (`data confirm`), that counts.
    """
    return [
        column
        for column in version.columns
        if declared.get(column.name) == NONE
        and column.seems
        and (column.name, column.dtype) not in labels
    ]
