"""What the rows of a table show by themselves, as it passes from who reads them to who judges."""

from typing import Any

import msgspec


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a contract wants to be looked at while the rows of a dataset are read.

    Attributes:
        checks: as they are spelled.
        subject: the column that names people; empty for none.
    """

    checks: list[str]
    subject: str


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of personal data that a column seems to hold.

    Attributes:
        kind: what.
        share: of the values looked at, how many have its form; 0 where only the name says so.
        by: what it rests on, in words.
    """

    kind: str
    share: float
    by: str


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found in the rows: a number, or why it cannot be asked of such columns."""

    problem: str | None = None
    value: int | None = None


class SurveyedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows show of one column.

    Attributes:
        name: of the column.
        dtype: its type, as Polars spells it.
        found: its part of the profile, as JSON values.
        numeric: its sketch is one of numbers.
        sketch: the counters that monitoring compares with, packed; empty without any.
        proposal: the kind of personal data that it seems to hold.
        nearly: of text that is nearly numbers or dates: which, and what is not; else empty.
    """

    name: str
    dtype: str
    found: dict[str, Any]
    numeric: bool
    sketch: bytes
    proposal: Proposal | None
    nearly: str = ""


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of a table show by themselves.

    Attributes:
        asked: what was looked at for the contract.
        rows: how many.
        exact: quantiles and distinct values were counted exactly.
        columns: in their order.
        checks: what those asked for found.
        faults: failed checks that nobody asked for.
        people: the index of the people in its file; empty where none was made.
    """

    asked: Asked
    rows: int
    exact: bool
    columns: list[SurveyedColumn]
    checks: list[Measured]
    faults: list[dict[str, Any]] = []
    people: bytes = b""
