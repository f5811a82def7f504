"""Train the flight-delay model on feature views: `thrive run train.py --until 2013-02-05`."""

from datetime import UTC, datetime, timedelta

import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from thrive import data, features, log, pipeline, register, step

VIEWS = ["weather", "recent", "plane", "dep_minute", "weekday"]
FEATURES = [
    "dep_minute", "weekday", "temp", "humid", "wind_speed", "wind_gust", "precip", "visib",
    "pressure", "recent_delay", "recent_departures", "plane_age",
]  # fmt: skip


def questions(flights: pl.DataFrame) -> pl.DataFrame:
    """Return what a caller sends, two hours before each departure, and what came of it."""
    scheduled = pl.col("time_hour") + pl.duration(minutes=pl.col("minute"))
    flight_id = pl.format(
        "{}-{}-{}-{}", "carrier", "flight", "origin", pl.col("time_hour").dt.strftime("%Y%m%dT%H")
    )
    return (
        flights.select(
            "origin",
            "carrier",
            "tailnum",
            "sched_dep_time",
            scheduled=scheduled,
            asked=scheduled - pl.duration(hours=2),
            late=pl.col("arr_delay") > 15,
            flight_id=flight_id,
        )
        .unique("flight_id", keep="first", maintain_order=True)
        .sort("asked", "flight_id")
    )


@step
def build(flights: pl.DataFrame) -> pl.DataFrame:
    """Make the training table: each question with what was known when it was asked."""
    known = questions(flights).filter(pl.col("late").is_not_null())
    return features.training_set(known, VIEWS, time="asked")


@step
def fit(table: pl.DataFrame, trees: int) -> HistGradientBoostingClassifier:
    """Fit the model."""
    model = HistGradientBoostingClassifier(max_iter=trees, early_stopping=False, random_state=7)
    return model.fit(table.select(FEATURES), table["late"])


@pipeline
def train(until: str = "2013-05-01", test_days: int = 9, trees: int = 60) -> None:
    """Train on what is older than the last days, test on those."""
    table = build(data.load("flights"))
    end = datetime.fromisoformat(until).replace(tzinfo=UTC)
    cut = end - timedelta(days=test_days)
    past = table.filter(pl.col("asked") < cut)
    test = table.filter(pl.col("asked") >= cut, pl.col("asked") < end)
    model = fit(past, trees)
    score = model.predict_proba(test.select(FEATURES))[:, 1]
    log(roc_auc=roc_auc_score(test["late"], score), rows=past.height)
    register(model, "flight-delay", features=FEATURES, evaluation=test, label="late", time="asked")
