"""What is known about a departure two hours before it leaves, and nothing later.

Weather and planes are feature views: training takes their history, serving their newest values, and
both run the functions below. What a caller knows better than any feed is sent with the question.
"""

import polars as pl

from thrive import feature_view, on_demand

LEAD = pl.duration(hours=2)
VIEWS = ["weather", "plane", "dep_minute", "weekday"]
WEATHER = ["temp", "humid", "wind_speed", "wind_gust", "precip", "visib", "pressure"]
FEATURES = [
    "origin",
    "dep_minute",
    "weekday",
    *WEATHER,
    "recent_delay",
    "recent_departures",
    "plane_age",
]
PROXIES = ["carrier", "distance", "seats"]
"""They say who flies. With them the model finds 31% of one carrier's late arrivals and 7% of the
others', and the bias gate refuses it: try `thrive run train.py --proxies true`."""
LATE_MINUTES = 15


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


@feature_view(entity="tailnum", source="planes", owner="data-platform")
def plane(register: pl.LazyFrame) -> pl.LazyFrame:
    """How old and how large the plane is."""
    return register.select("tailnum", "seats", plane_age=2013 - pl.col("year"))


@on_demand
def dep_minute(sched_dep_time: pl.Expr) -> pl.Expr:
    """Return the minute of the day of the scheduled departure."""
    return sched_dep_time // 100 * 60 + sched_dep_time % 100


@on_demand
def weekday(scheduled: pl.Expr) -> pl.Expr:
    """Return the day of the week of the scheduled departure, 1 for Monday."""
    return scheduled.dt.weekday().cast(pl.Int64)


def questions(flights: pl.DataFrame) -> pl.DataFrame:
    """Return one row a scheduled departure: what a caller sends, and what came of it.

    `asked` is two hours before the scheduled departure. `late` is null for a cancelled flight.
    `known` is when the arrival was reported: an hour after landing.
    """
    table = _with_recent_delays(_scheduled(flights), flights)
    return table.sort("asked", "flight_id")


def _scheduled(flights: pl.DataFrame) -> pl.DataFrame:
    return (
        flights.with_columns(
            _scheduled_time(),
            flight_id=pl.format(
                "{}-{}-{}-{}",
                "carrier",
                "flight",
                "origin",
                pl.col("time_hour").dt.strftime("%Y%m%dT%H"),
            ),
        )
        .with_columns(
            asked=pl.col("scheduled") - LEAD,
            late=pl.col("arr_delay") > LATE_MINUTES,
            known=_landed() + pl.duration(hours=1),
        )
        .unique("flight_id", keep="first", maintain_order=True)
        .select(
            "flight_id", "asked", "known", "late", "origin", "carrier", "tailnum",
            "sched_dep_time", "scheduled", "distance",
        )
    )  # fmt: skip


def _scheduled_time() -> pl.Expr:
    return (pl.col("time_hour") + pl.duration(minutes=pl.col("minute"))).alias("scheduled")


def _landed() -> pl.Expr:
    flown = pl.col("air_time") + pl.col("dep_delay") + 30
    return pl.col("scheduled") + pl.duration(minutes=flown)


def _with_recent_delays(table: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    """Join what the board shows: who left the airport in the three hours before the question."""
    left = flights.filter(pl.col("dep_delay").is_not_null()).with_columns(_scheduled_time())
    left = left.select(
        "origin",
        "dep_delay",
        left=pl.col("scheduled") + pl.duration(minutes=pl.col("dep_delay")),
    ).sort("left")
    recent = left.rolling("left", period="3h", group_by="origin").agg(
        recent_delay=pl.col("dep_delay").mean(), recent_departures=pl.len().cast(pl.Int64)
    )
    return table.sort("asked").join_asof(
        recent.unique(["origin", "left"], keep="last").sort("left"),
        left_on="asked", right_on="left", by="origin", tolerance="2h", check_sortedness=False,
    ).drop("left", strict=False)  # fmt: skip
