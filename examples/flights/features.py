"""What is known about a departure two hours before it leaves, and nothing later.

One function serves training and live requests alike, so both sides see the same columns.
"""

import polars as pl

LEAD = pl.duration(hours=2)
FEATURES = [
    "origin",
    "dep_minute",
    "weekday",
    "temp",
    "humid",
    "wind_speed",
    "wind_gust",
    "precip",
    "visib",
    "pressure",
    "recent_delay",
    "recent_departures",
    "plane_age",
]
PROXIES = ["carrier", "distance", "seats"]
"""They say who flies. With them the model finds 31% of one carrier's late arrivals and 7% of the
others', and the bias gate refuses it: try `thrive run train.py --proxies true`."""
WEATHER = ["temp", "humid", "wind_speed", "wind_gust", "precip", "visib", "pressure"]
LATE_MINUTES = 15


def departures(flights: pl.DataFrame, weather: pl.DataFrame, planes: pl.DataFrame) -> pl.DataFrame:
    """Return one row a scheduled departure: keys, features, `asked`, `late` and `known`.

    `asked` is two hours before the scheduled departure. `late` is null for a cancelled flight.
    `known` is when the arrival was reported: an hour after landing.
    """
    table = _scheduled(flights)
    table = _with_weather(table, weather)
    table = _with_recent_delays(table, flights)
    return _with_planes(table, planes).sort("asked", "flight_id")


def _scheduled(flights: pl.DataFrame) -> pl.DataFrame:
    minutes = pl.col("sched_dep_time") // 100 * 60 + pl.col("sched_dep_time") % 100
    return (
        flights.with_columns(
            _scheduled_time(),
            dep_minute=minutes,
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
            weekday=pl.col("scheduled").dt.weekday().cast(pl.Int64),
            late=pl.col("arr_delay") > LATE_MINUTES,
            known=_landed() + pl.duration(hours=1),
        )
        .unique("flight_id", keep="first", maintain_order=True)
        .select(
            "flight_id", "asked", "known", "late", "origin", "carrier", "dest", "tailnum",
            "dep_minute", "weekday", "distance",
        )
    )  # fmt: skip


def _scheduled_time() -> pl.Expr:
    return (pl.col("time_hour") + pl.duration(minutes=pl.col("minute"))).alias("scheduled")


def _landed() -> pl.Expr:
    flown = pl.col("air_time") + pl.col("dep_delay") + 30
    return pl.col("scheduled") + pl.duration(minutes=flown)


def _with_weather(table: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Join the newest observation that was published (an hour after it was made) when asked."""
    published = weather.select(
        "origin", (pl.col("time_hour") + pl.duration(hours=1)).alias("at"), *WEATHER
    )
    return table.sort("asked").join_asof(
        published.sort("at"), left_on="asked", right_on="at", by="origin", tolerance="6h",
        check_sortedness=False,
    ).drop("at", strict=False)  # fmt: skip


def _with_recent_delays(table: pl.DataFrame, flights: pl.DataFrame) -> pl.DataFrame:
    """Join what left the same airport in the three hours before the question was asked."""
    left = flights.filter(pl.col("dep_delay").is_not_null()).with_columns(_scheduled_time())
    left = left.select(
        "origin",
        "dep_delay",
        left=pl.col("scheduled") + pl.duration(minutes=pl.col("dep_delay")),
    ).sort("left")
    recent = left.rolling("left", period="3h", group_by="origin").agg(
        recent_delay=pl.col("dep_delay").mean(), recent_departures=pl.len().cast(pl.Int64)
    )
    return table.join_asof(
        recent.unique(["origin", "left"], keep="last").sort("left"),
        left_on="asked", right_on="left", by="origin", tolerance="2h", check_sortedness=False,
    ).drop("left", strict=False)  # fmt: skip


def _with_planes(table: pl.DataFrame, planes: pl.DataFrame) -> pl.DataFrame:
    built = planes.select("tailnum", "seats", plane_age=2013 - pl.col("year"))
    return table.join(built, on="tailnum", how="left", maintain_order="left").drop("tailnum")
