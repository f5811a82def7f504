"""Predictions joined with their outcomes: rows to judge by, and to train on."""

from typing import TYPE_CHECKING

from thrive.domain.model import LABEL, SCORE, TIME
from thrive.store.home import Home
from thrive.store.prediction_frames import predictions_between, with_outcomes

if TYPE_CHECKING:
    import polars as pl

_KEPT = ("prediction_id", "version", "variant")


def joined(
    home: Home, model: str, start: int, end: int, *, known_at: int | None = None
) -> "pl.DataFrame":
    """Return the answered rows that have an outcome, as training data.

    Inputs and keys stand under their own names, as they were served, beside `_label`, `_score`,
    `_time` and the prediction's `prediction_id`, `version` and `variant`. Shadow answers are left
    out: their live row is there.

    Args:
        home: the project's home.
        model: whose predictions.
        start: UTC microseconds, included.
        end: UTC microseconds, excluded.
        known_at: only outcomes recorded up to then.
    """
    import polars as pl

    frame = predictions_between(home, start, end, model)
    live = frame.filter((pl.col("variant") != "shadow") & (pl.col("error") == ""))
    labelled = with_outcomes(home, live, known_at).filter(pl.col("outcome").is_not_null())
    named = {column: column[2:] for column in labelled.columns if column.startswith("x.")}
    taken = set(named.values())
    named |= {
        column: column[2:]
        for column in labelled.columns
        if column.startswith("k.") and column[2:] not in taken
    }
    return labelled.select(
        *_KEPT,
        pl.col("outcome").alias(LABEL),
        pl.col("score").alias(SCORE),
        pl.col("time").alias(TIME),
        *(pl.col(column).alias(name) for column, name in named.items()),
    )
