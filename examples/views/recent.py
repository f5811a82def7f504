"""Recent delays as a view of their own: append it to `features.py` of the flights example."""

import polars as pl

from thrive import feature_view
from thrive.features import windowed


@feature_view(entity="origin", event_time="left", source="flights", owner="flights-ml")
def recent(flights: pl.LazyFrame) -> pl.LazyFrame:
    """How late the last three hours left the same airport."""
    left = pl.col("time_hour") + pl.duration(minutes=pl.col("minute") + pl.col("dep_delay"))
    return windowed(
        flights.with_columns(left=left),
        by="origin",
        time="left",
        period="3h",
        recent_delay=("dep_delay", "mean"),
        recent_departures=("dep_delay", "count"),
    )
