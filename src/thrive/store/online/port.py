"""What every online store does."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from thrive.domain.errors import NotFound
from thrive.domain.features import FeatureColumn

if TYPE_CHECKING:
    import polars as pl

AT = "_at"
"""The column of the event time, in UTC microseconds; 0 for views without times."""


class OnlineTable(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a view as a store keeps it, named by the digest of its definition."""

    digest: str
    keys: list[FeatureColumn]
    columns: list[FeatureColumn]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What publishing did: keys that are there now, rows written, rows removed."""

    rows: int
    changed: int
    removed: int


class Renewed(msgspec.Struct, frozen=True, kw_only=True):
    """What renewing did: keys that were not there before, rows written."""

    added: int
    changed: int


class RawRows(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a store holds for some keys.

    Attributes:
        at: for each table the event time of each key, None where it has no row.
        cells: for each column of the first table, then of the next, a value a key; None with no
            row.
    """

    at: Sequence[Sequence[int | None]]
    cells: list[Sequence[Any]]


def require(store: "OnlineStore", tables: Sequence[OnlineTable]) -> None:
    """See that a store holds some tables.

    Raises:
        NotFound: one is not there.
    """
    for table in tables:
        if not store.holds(table.digest):
            raise NotFound(
                f"The online store holds no view {table.digest[:12]}.",
                "thrive features materialize",
            )


class OnlineReader(Protocol):
    """Reads the rows of fixed tables."""

    def read(self, keys: Sequence[Mapping[str, Any]]) -> RawRows:
        """Return the rows of keys, in their order.

        Args:
            keys: for each row asked for, the values of the tables' key columns by name; one that
                is missing or None finds nothing.
        """
        ...

    def close(self) -> None:
        """Close what it holds open."""
        ...


class OnlineStore(Protocol):
    """Keeps the newest row of each key."""

    def publish(self, table: OnlineTable, newest: "pl.DataFrame") -> Written:
        """Make the table hold exactly these rows; readers see the old ones or the new ones.

        Args:
            table: which; made if it is not there.
            newest: one row a key: its keys, its columns and `_at`.
        """
        ...

    def renew(self, table: OnlineTable, newer: "pl.DataFrame") -> Renewed:
        """Put these rows over those of the same keys that are not newer; leave all others alone.

        Args:
            table: which; it is there.
            newer: at most one row a key: its keys, its columns and `_at`.
        """
        ...

    def holds(self, digest: str) -> bool:
        """Tell whether a table is there."""
        ...

    def drop(self, digest: str) -> None:
        """Remove a table, if it is there."""
        ...

    def reader(self, tables: Sequence[OnlineTable]) -> OnlineReader:
        """Return a reader of some tables.

        Raises:
            NotFound: a table is not there.
        """
        ...

    def close(self) -> None:
        """Close what it holds open."""
        ...
