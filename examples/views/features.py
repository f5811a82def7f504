"""The features of the flight-delay model as views: one definition for training and for serving."""

import polars as pl

from thrive import feature_view, on_demand
from thrive.features import windowed

WEATHER = ["temp", "humid", "wind_speed", "wind_gust", "precip", "visib", "pressure"]


@feature_view(
    entity="origin",
    event_time="time_hour",
    source="weather",
    delay="1h",  # an observation is published an hour after it was made
    ttl="7h",
    freshness="3h",
    owner="data-platform",
)
def weather(observed: pl.LazyFrame) -> pl.LazyFrame:
    """What the sky was like at the airport."""
    return observed.select("origin", "time_hour", *WEATHER)


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


@feature_view(entity="tailnum", source="planes", owner="data-platform")
def plane(register: pl.LazyFrame) -> pl.LazyFrame:
    """How old the plane is."""
    return register.select("tailnum", plane_age=2013 - pl.col("year"))


@on_demand
def dep_minute(sched_dep_time: pl.Expr) -> pl.Expr:
    """Return the minute of the day of the scheduled departure."""
    return sched_dep_time // 100 * 60 + sched_dep_time % 100


@on_demand
def weekday(scheduled: pl.Expr) -> pl.Expr:
    """Return the day of the week of the scheduled departure, 1 for Monday."""
    return scheduled.dt.weekday().cast(pl.Int64)
