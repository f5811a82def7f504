"""What a view's columns are computed from, as Polars plans it: so that labels travel with them."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from thrive.data.projection import watched
from thrive.features.declare import View

if TYPE_CHECKING:
    import polars as pl


def renamed_columns(view: View, schemas: Sequence["pl.Schema"]) -> dict[str, tuple[str, str]]:
    """Return of each column of a view that comes from one source column alone: which it is.

    A column of another name and the same type that needs nothing else (a rename, a trimmed text)
    still says what that column said. What is computed from several, or becomes another type, is
    another fact: a person is asked about it as about any new column.

    Args:
        view: the view; its function is called on empty tables.
        schemas: the columns of its sources, in their order.

    Returns:
        column of the view = (dataset, its column).
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
    found: dict[str, tuple[str, str]] = {}
    for name, dtype in rows.collect_schema().items():
        read.clear()
        rows.select(name).collect()
        needed = {
            (place, column)
            for place, columns in read
            for column in (schemas[place].names() if columns is None else columns)
        }
        if len(needed) != 1:
            continue
        place, column = needed.pop()
        if schemas[place][column] == dtype:
            found[name] = (view.definition.sources[place], column)
    return found
