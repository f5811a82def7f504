"""What a view's columns are computed from, as Polars plans it: so that labels travel with them."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from thrive.data.projection import watched
from thrive.features.declare import View

if TYPE_CHECKING:
    import polars as pl


class Origin(NamedTuple):
    """A column of a dataset; `same` if a view's column is it, under whatever name."""

    dataset: str
    column: str
    same: bool


def column_origins(view: View, schemas: Sequence["pl.Schema"]) -> dict[str, list[Origin]]:
    """Return from which source columns each column of a view comes.

    A column of the same type that needs one source column and nothing else (a rename, a trimmed
    text) still says what that column said. What is computed from several, or becomes another
    type, is another fact, made from each of them.

    Args:
        view: the view; its function is called on empty tables.
        schemas: the columns of its sources, in their order.
    """
    import polars as pl

    read: list[tuple[int, list[str] | None]] = []

    def tell(place: int, columns: list[str] | None) -> None:
        read.append((place, columns))

    frames = [
        watched(pl.LazyFrame(schema=schema), partial(tell, place))
        for place, schema in enumerate(schemas)
    ]
    rows = view(*frames)
    names = view.definition.sources
    found: dict[str, list[Origin]] = {}
    for name, dtype in rows.collect_schema().items():
        read.clear()
        rows.select(name).collect()
        needed = {
            (place, column)
            for place, columns in read
            for column in (schemas[place].names() if columns is None else columns)
        }
        found[name] = [
            Origin(names[place], column, len(needed) == 1 and schemas[place][column] == dtype)
            for place, column in sorted(needed)
        ]
    return found
