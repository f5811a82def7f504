"""What is still to be said of a version's columns; light enough for every command to ask."""

from collections.abc import Collection, Mapping

from thrive.domain.dataset import Column, ColumnLabel, DatasetVersion

NONE = "none"
"""The label of a column that holds no personal data, said aloud."""


def is_closed(column: Column) -> bool:
    """Tell whether the values of a column must stay out of every report."""
    kind = column.personal or column.proposed
    return kind is not None and kind != NONE


def is_trainable(version: DatasetVersion, declared: Collection[str] = ()) -> bool:
    """Tell whether a version may be trained on, as far as it says so itself.

    Its checks passed, or somebody decided so, and nothing is to be said of its columns.

    Args:
        version: the version.
        declared: columns of which the contract says what they hold.
    """
    unanswered = (each for each in version.columns if each.asked and each.personal is None)
    return version.trainable and all(each.name in declared for each in unanswered)


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
