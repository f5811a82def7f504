"""The schema of a version against the one before: what was added, removed or retyped."""

from collections.abc import Sequence

import msgspec

from thrive.domain.dataset import Column

SCHEMA = "schema"
"""The name of the check that compares a version with the one before."""

ADDED, REMOVED, RETYPED = "added", "removed", "retyped"


class SchemaChange(msgspec.Struct, frozen=True, kw_only=True):
    """One column that differs; `what` says it in one line."""

    column: str
    change: str
    what: str

    @property
    def breaks(self) -> bool:
        """Whether what reads the data may not go on as it did."""
        return self.change != ADDED


def schema_changes(before: Sequence[Column], after: Sequence[Column]) -> list[SchemaChange]:
    """Return what differs from one schema to another, in the order of the older one."""
    old = {column.name: column for column in before}
    new = {column.name: column for column in after}
    found: list[SchemaChange] = []
    for name, column in old.items():
        if name not in new:
            what = f"the column {name!r} ({column.dtype}) is gone"
            found.append(SchemaChange(column=name, change=REMOVED, what=what))
        elif new[name].dtype != column.dtype:
            what = f"the column {name!r} was {column.dtype} and is {new[name].dtype}"
            found.append(SchemaChange(column=name, change=RETYPED, what=what))
    for name, column in new.items():
        if name not in old:
            what = f"the column {name!r} ({column.dtype}) is new"
            found.append(SchemaChange(column=name, change=ADDED, what=what))
    return found
