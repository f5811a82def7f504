"""Columns of text that are nearly numbers or dates: what made text of them, for whoever adds them.

It looks at a sample of the values and returns none of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

_MOST = 0.9
"""The share of a column's values that must be numbers, or dates, to be told of the others."""
_ENOUGH = 10
"""Values from which on a share says something."""
_COMMA = r"^[-+]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+$"
_DATE = r"^(?:\d{4}-\d\d?-\d\d?|\d\d?[./-]\d\d?[./-]\d{4}|\d{4}/\d\d?/\d\d?)(?:[T ].*)?$"


def nearly(sample: "pl.Series | None") -> str:
    """Return why a column is text though most of its values are numbers or dates; else nothing.

    Args:
        sample: spread values without missing ones; None for types that are not looked at.
    """
    import polars as pl

    if sample is None or sample.dtype != pl.String or sample.len() < _ENOUGH:
        return ""
    texts = sample.str.strip_chars()
    if _share(texts.str.contains(_COMMA)) >= _MOST:
        return "numbers: they have a decimal comma"
    numbers = texts.cast(pl.Float64, strict=False).is_not_null()
    if _share(numbers) >= _MOST:
        return "numbers" + _others(numbers, ": a rare value is none")
    dates = texts.str.contains(_DATE)
    if _share(dates) >= _MOST:
        return "dates" + _others(dates, ": they are written in more than one way")
    return ""


def _share(fits: "pl.Series") -> float:
    return int(fits.sum()) / fits.len()


def _others(fits: "pl.Series", otherwise: str) -> str:
    others = fits.len() - int(fits.sum())
    return f": {others:,} of {fits.len():,} values looked at are none" if others else otherwise
