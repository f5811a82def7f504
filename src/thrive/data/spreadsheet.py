"""Text that a spreadsheet would run: CSV has no types, so a cell that begins like a formula is one.

OWASP, "CSV Injection": such a cell gets an apostrophe before it. Numbers are left as they are, and
so is every other format.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")
_FORMULA = r"^[=+\-@\t\r]"


def without_formulas(rows: "pl.LazyFrame") -> "pl.LazyFrame":
    """Return the same rows with no text, and no column name, that a spreadsheet runs."""
    import polars as pl

    made: list[pl.Expr] = []
    for name, kind in rows.collect_schema().items():
        cell = pl.col(name)
        if isinstance(kind, pl.String | pl.Categorical | pl.Enum):
            text = cell.cast(pl.String)
            evil = text.str.contains(_FORMULA)
            cell = pl.when(evil).then(pl.concat_str(pl.lit("'"), text)).otherwise(text)
        made.append(cell.alias(f"'{name}" if name.startswith(_BEGINNINGS) else name))
    return rows.select(made)
