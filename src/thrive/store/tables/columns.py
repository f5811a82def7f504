"""The column kinds that all tables share."""

from functools import cache
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, MetaData, String, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

JSON_VALUE = JSON(none_as_null=True)
"""JSON kept as it was written: PostgreSQL's JSONB spells numbers anew, and digests would differ."""

COUNTER = BigInteger().with_variant(Integer, "sqlite")
"""An automatic counter: SQLite counts only in a column spelled INTEGER."""


@cache  # types are values: many columns share one
def short_text(length: int) -> String:
    """Return a text type that is ordered and compared by its bytes on every database."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def project() -> Column[Any]:
    """Return the leading column of every table."""
    return Column("project_id", short_text(32), primary_key=True)


def key(name: str, length: int = 32) -> Column[Any]:
    """Return a text column that is part of the primary key."""
    return Column(name, short_text(length), primary_key=True)


def key_number(name: str) -> Column[Any]:
    """Return a whole-number column that is part of the primary key."""
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


def name(column: str) -> Column[Any]:
    """Return a column for a name people give: at most 200 characters."""
    return Column(column, short_text(200), nullable=False)


def digest(column: str) -> Column[Any]:
    """Return a column for a content digest; empty where there is none."""
    return Column(column, short_text(64), nullable=False, default="", server_default="")


def text(column: str) -> Column[Any]:
    """Return a column for text of any length."""
    return Column(column, Text, nullable=False, default="", server_default="")


def number(column: str, *, null: bool = False) -> Column[Any]:
    """Return a whole-number column (counts, revisions, times in UTC microseconds)."""
    return Column(column, BigInteger, nullable=null)


def flag(column: str) -> Column[Any]:
    """Return a yes-or-no column; no where nothing was said."""
    return Column(column, Boolean, nullable=False, default=False)


def value(column: str, *, null: bool = False) -> Column[Any]:
    """Return a JSON column, read and written whole."""
    return Column(column, JSON_VALUE, nullable=null)
