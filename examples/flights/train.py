"""Train the flight-delay model: `thrive run train.py --until 2013-05-01`."""

from datetime import UTC, datetime, timedelta

import polars as pl
from features import FEATURES, PROXIES, VIEWS, questions
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score

from thrive import data, features, log, pipeline, register, step

CATEGORIES = ["origin", "carrier"]
WEIGHED = 5_000
KEPT = ["flight_id", *FEATURES, *PROXIES, "asked", "late", "score"]


def encoded(table: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """Return the model's columns; categories are spelled as such."""
    categories = [name for name in CATEGORIES if name in columns]
    return table.select(columns).with_columns(pl.col(categories).cast(pl.Categorical))


def between(table: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """Return the departures asked about in a period whose end is known."""
    return table.filter(pl.col("asked") >= start, pl.col("asked") < end, pl.col("known") < end)


@step
def build(flights: pl.DataFrame) -> pl.DataFrame:
    """Make the training table: each question with what its views said when it was asked."""
    landed = questions(flights).filter(pl.col("late").is_not_null())
    return features.training_set(landed, VIEWS, time="asked")


@step
def fit(
    table: pl.DataFrame, columns: list[str], rate: float, trees: int, seed: int
) -> HistGradientBoostingClassifier:
    """Fit one model."""
    model = HistGradientBoostingClassifier(
        learning_rate=rate,
        max_iter=trees,
        categorical_features="from_dtype",
        early_stopping=False,
        random_state=seed,
    )
    return model.fit(encoded(table, columns), table["late"].cast(pl.Int8).to_numpy())


@step
def predict(model: HistGradientBoostingClassifier, table: pl.DataFrame) -> pl.DataFrame:
    """Add the model's probability of being late."""
    score = model.predict_proba(encoded(table, list(model.feature_names_in_)))[:, 1]
    return table.with_columns(score=pl.Series(score))


@step
def weigh(model: HistGradientBoostingClassifier, table: pl.DataFrame) -> dict[str, float]:
    """Return what each column is worth: what the ranking loses when it is shuffled."""
    columns = encoded(table, list(model.feature_names_in_))

    def ranking(shown: pl.DataFrame) -> float:
        return roc_auc_score(table["late"], model.predict_proba(shown)[:, 1])

    whole = ranking(columns)
    return {
        name: whole - ranking(columns.with_columns(pl.col(name).shuffle(seed=1)))
        for name in columns.columns
    }


@pipeline
def train(
    start: str = "2013-01-01",
    until: str = "2013-05-01",
    test_days: int = 30,
    rate: float = 0.08,
    trees: int = 150,
    proxies: bool = False,
    seed: int = 7,
) -> None:
    """Train on the past, test on the last days, and predict the past as it would have been.

    The last `test_days` are never trained on. Two earlier stretches of the same length are
    predicted by models that saw only what came before them: with the test they are the
    out-of-sample past that monitoring compares with.
    """
    table = build(data.load("flights"))
    columns = FEATURES + PROXIES if proxies else FEATURES
    begin, end = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, until))
    cuts = [end - timedelta(days=test_days * back) for back in (3, 2, 1, 0)]
    past: list[pl.DataFrame] = []
    for cut, following in zip(cuts[:-1], cuts[1:], strict=True):
        model = fit(between(table, begin, cut), columns, rate, trees, seed)
        past.append(predict(model, between(table, cut, following)))
    test = past[-1]
    log(
        roc_auc=roc_auc_score(test["late"], test["score"]),
        brier=brier_score_loss(test["late"], test["score"]),
        train_rows=between(table, begin, cuts[-2]).height,
        test_rows=test.height,
    )
    register(
        model,
        "flight-delay",
        features=columns,
        evaluation=test.select(KEPT),
        reference=pl.concat(past).select(KEPT),
        label="late",
        time="asked",
        score="score",
        importance=weigh(model, test.sample(min(test.height, WEIGHED), seed=seed)),
    )
