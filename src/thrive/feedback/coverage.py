"""How many predictions have their outcome, and how long it took."""

import msgspec

from thrive.domain.clock import DAY, HOUR
from thrive.store.home import Home
from thrive.store.prediction_frames import predictions_between, with_outcomes

AGES = {"1 h": HOUR, "1 day": DAY, "7 days": 7 * DAY}
"""The ages at which the share of labelled predictions is read."""


class LabelCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """The label coverage of one model.

    Attributes:
        model: whose.
        predictions: answers that versions gave to users: neither shadows nor failed requests.
        labelled: those with an outcome now.
        failed: requests of users that no version answered; they are not among `predictions`.
        share_by_age: for each age, the share labelled by then among the predictions that are at
            least so old; None when none is.
        median_delay: microseconds from a prediction to its outcome's recording, None without any.
    """

    model: str
    predictions: int
    labelled: int
    failed: int
    share_by_age: dict[str, float | None]
    median_delay: int | None


def label_coverage(
    home: Home, start: int, now: int, model: str | None = None
) -> list[LabelCoverage]:
    """Return the coverage of each model with predictions from `start` to `now`, by name."""
    import polars as pl

    columns = ("prediction_id", "time", "model", "variant", "live_id", "error")
    frame = predictions_between(home, start, now, model, columns=columns)
    live = frame.filter(pl.col("variant") != "shadow")
    failed = dict(live.filter(pl.col("error") != "")["model"].value_counts().iter_rows())
    live = live.filter(pl.col("error") == "")
    delayed = with_outcomes(home, live, now).with_columns(
        (pl.col("outcome_recorded_at") - pl.col("time")).alias("delay")
    )
    shares = [
        (pl.col("delay") <= age)
        .fill_null(value=False)
        .filter(pl.col("time") <= now - age)
        .mean()
        .alias(name)
        for name, age in AGES.items()
    ]
    grouped = delayed.group_by("model").agg(
        pl.len().alias("rows"),
        pl.col("delay").count().alias("labelled"),
        pl.col("delay").median().alias("median"),
        *shares,
    )
    return [
        LabelCoverage(
            model=row["model"],
            predictions=row["rows"],
            labelled=row["labelled"],
            failed=failed.get(row["model"], 0),
            share_by_age={name: row[name] for name in AGES},
            median_delay=None if row["median"] is None else round(row["median"]),
        )
        for row in grouped.sort("model").to_dicts()
    ]
