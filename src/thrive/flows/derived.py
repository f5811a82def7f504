"""What the columns of data that was made here hold, from what its sources' columns hold.

A column that is one of a source keeps what people said of that; one that was computed from columns
that hold personal data is proposed to hold such data too, and a person says whether it does.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from thrive.data.questions import NONE
from thrive.data.wanted import Derived
from thrive.domain.dataset import Column, ColumnLabel
from thrive.operations import Context
from thrive.store import column_labels

_INHERITED = "as "
"""How the reason of a label begins that nobody said of this column itself."""


class Origin(NamedTuple):
    """A column of a source, with what is said of it.

    `source` names its dataset, `same` tells whether the made column is it, under whatever name.
    """

    column: Column
    source: str
    same: bool


def inherit(
    ctx: Context, dataset: str, schema: Mapping[str, str], origins: Mapping[str, Sequence[Origin]]
) -> dict[str, Derived]:
    """Write the labels that a dataset's columns have from its sources; return what is proposed.

    What a person said of a column of this dataset itself stands.

    Args:
        ctx: the project.
        dataset: what is about to be made.
        schema: its columns, with the names of their types.
        origins: by column, the source columns that it is or was computed from.
    """
    with ctx.read() as tx:
        known = column_labels.find_labels(tx, ctx.project_id, dataset)
    said = {(each.name, each.dtype): each for each in known}
    proposed: dict[str, Derived] = {}
    for column, found in origins.items():
        dtype = schema.get(column, "")
        label = next((each for each in found if _holds(each, dtype)), None)
        present = said.get((column, dtype))
        if label is not None:
            if present is None or present.reason.startswith(_INHERITED):
                _save(ctx, dataset, column, dtype, label, present)
        elif closed := [each for each in found if _kind(each)]:
            proposed[column] = Derived(kind=_kind(closed[0]), why=_words(closed[0]))
    return proposed


def _holds(origin: Origin, dtype: str) -> bool:
    """Tell whether a label goes with a column; pseudonyms are text, and personal."""
    kind = origin.column.personal
    types = {origin.column.dtype} if kind == NONE else {origin.column.dtype, "String"}
    return origin.same and kind is not None and dtype in types


def _kind(origin: Origin) -> str:
    """Return the kind of personal data a source's column holds or seems to, "" for none."""
    kind = origin.column.personal or origin.column.proposed or NONE
    return "" if kind == NONE else kind


def _words(origin: Origin) -> str:
    made = "it is" if origin.same else "it was computed from"
    return f"{made} {origin.column.name} of {origin.source}"


def _save(
    ctx: Context,
    dataset: str,
    column: str,
    dtype: str,
    origin: Origin,
    present: ColumnLabel | None,
) -> None:
    kind = origin.column.personal or NONE
    if present is not None and present.kind == kind:
        return
    label = ColumnLabel(
        dataset=dataset,
        name=column,
        dtype=dtype,
        kind=kind,
        actor=ctx.actor.name,
        at=ctx.now(),
        reason=f"{_INHERITED}{origin.column.name} of {origin.source}",
    )
    with ctx.write(f"dataset:{dataset}", column=column, kind=kind, reason=label.reason) as tx:
        column_labels.save_label(tx, ctx.project_id, label)
