"""What is known of a dataset before a version of it is read, and what its rows mean."""

from typing import Any

import msgspec

from thrive.contract.schema import DataTerms
from thrive.data.wanted import Derived
from thrive.domain.dataset import Column, ColumnLabel, DatasetVersion


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a dataset before a version of it is read.

    Attributes:
        previous: the version before, None for the first.
        agreed: the newest version before that may be trained on: the schema to keep to.
        labels: what people confirmed of columns, by name and type.
    """

    previous: DatasetVersion | None = None
    agreed: DatasetVersion | None = None
    labels: dict[tuple[str, str], ColumnLabel] = {}


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over a version's rows found.

    Attributes:
        columns: its columns with their labels.
        profile: what each column holds.
        checks: what the checks said.
        sketches: the sketches, packed; empty without any.
        people: the index of the people in its file; empty where none was made.
    """

    columns: list[Column]
    profile: dict[str, Any]
    checks: list[dict[str, Any]]
    sketches: bytes
    people: bytes = b""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """By what a table is judged.

    Attributes:
        data: the contract's terms of the dataset.
        known: what is known of it.
        now: the project's present moment, UTC microseconds.
        modified_at: when the newest source file was written, UTC microseconds.
        typed: the source says its types itself (Parquet), so an empty column has one.
        derived: columns that were computed from personal ones.
    """

    data: DataTerms
    known: Known
    now: int
    modified_at: int
    typed: bool
    derived: dict[str, Derived] = {}
