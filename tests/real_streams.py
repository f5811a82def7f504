"""Real streams for the proofs of monitoring: the flights of 2013, and the census of Massachusetts."""

import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import polars as pl
from tests.streams import Stream

from thrive.contract.parse import parse
from thrive.domain.monitoring import Alert
from thrive.features.join import add_on_demand, join_views
from thrive.features.rows import normal_rows
from thrive.monitoring.alerts import raise_alerts
from thrive.monitoring.closing import close_windows
from thrive.monitoring.terms import TermsInForce
from thrive.operations import Context
from thrive.store import monitoring

EXAMPLE = Path(__file__).parents[1] / "examples" / "flights"
COLUMNS = [
    "flight_id", "asked", "known", "late", "origin", "carrier", "dep_minute", "weekday", "distance",
    "temp", "humid", "wind_speed", "wind_gust", "precip", "visib", "pressure", "recent_delay",
    "recent_departures", "seats", "plane_age",
]  # fmt: skip
CONTRACT = """
contract = 1
[project]
name = "stream"
[team.ml]
channel = "file:ml.txt"
[team.data]
channel = "file:data.txt"
[data.rows]
owner = "data"
[model.m]
purpose = "tell"
owner = "ml"
target = {{ column = "y", positive = true, threshold = {threshold} }}
entity = ["id"]
sla = {{ outcomes_within = "1 day" }}
[model.m.monitor]
window = "{window}"
false_alarms_per_year = {budget}
"""


def terms(*, window: str = "1 day", budget: float = 4, threshold: float = 0.5) -> TermsInForce:
    """Return a contract of one model."""
    text = CONTRACT.format(window=window, budget=budget, threshold=threshold)
    contract = parse(text).contract
    return TermsInForce(contract=contract, model=contract.model["m"])


@lru_cache(maxsize=1)
def departures() -> pl.DataFrame:
    """Return every departure of 2013 with what was known two hours before, labelled where it flew."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        from features import dep_minute, plane, questions, weather, weekday
        from world import World
    finally:
        sys.path.remove(str(EXAMPLE))
        for name in ("features", "world"):
            sys.modules.pop(name, None)
    world = World()
    views = [
        normal_rows(weather, [world.weather.lazy()]),
        normal_rows(plane, [world.planes.lazy()]),
    ]
    rows = join_views(questions(world.flights).lazy(), "asked", views, EXAMPLE)
    table = add_on_demand(rows, [dep_minute, weekday]).collect()
    return table.select(COLUMNS).with_columns(pl.col("asked").dt.epoch("us").alias("_time"))


@lru_cache(maxsize=1)
def scored_flights() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (reference, live) with `_score`, `_label`, `_time`.

    The model is trained on the even days of January to April; the odd days are the reference, May
    to December is live.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    table = departures()
    day = pl.col("asked").dt.ordinal_day()
    early = pl.col("asked").dt.month() <= 4
    known = table.filter(pl.col("late").is_not_null())
    names = model_inputs(table)
    model = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.08, categorical_features="from_dtype", random_state=7
    )
    train = known.filter(early & (day % 2 == 0))
    model.fit(encoded(train, names), train["late"].cast(pl.Int8).to_numpy())
    score = model.predict_proba(encoded(table, names))[:, 1]
    rated = table.select(
        "flight_id",
        *names,
        pl.Series("_score", score),
        pl.col("late").cast(pl.Float64).alias("_label"),
        "_time",
        "asked",
    )
    reference = rated.filter(early & (day % 2 == 1) & pl.col("_label").is_not_null())
    return reference.drop("asked"), rated.filter(~early).drop("asked")


def model_inputs(table: pl.DataFrame) -> list[str]:
    """Return the columns that the flight model reads."""
    left_out = {"flight_id", "asked", "known", "late", "_time"}
    return [name for name in table.columns if name not in left_out]


def encoded(table: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Return a model's columns; texts are spelled as categories."""
    return table.select(names).with_columns(pl.selectors.string().cast(pl.Categorical))


def census_file(name: str) -> Path:
    """Return a file of the census stream that the `nannyml` wheel carries."""
    found = find_spec("nannyml")
    assert found is not None, "run `make install`"
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / name


class RealStream(Stream):
    """A real stream behind the same doors: its reference, and days that are served as they are."""

    def __init__(self, context: Context, past: pl.DataFrame, inputs: list[str], start: int) -> None:
        self.past, self.inputs, self.start = past, tuple(inputs), start
        super().__init__(context, contract=CONTRACT.format(window="1 day", budget=4, threshold=0.3))

    def reference(self) -> pl.DataFrame:
        return self.past

    def pass_day(self, frame: pl.DataFrame, *, labelled: bool = True) -> None:
        """Serve a day, tell its outcomes, close its window and look for alerts."""
        ids = self.serve(frame.with_columns(pl.col("id").cast(pl.String)))
        if labelled:
            known = frame["_label"].is_not_null()
            told = [name for name, held in zip(ids, known.to_list(), strict=True) if held]
            self.tell(frame.filter(known), told)
        self.day += 1
        self.advance()
        close_windows(self.context, "m")
        raise_alerts(self.context, "m")

    def alerts(self) -> list[Alert]:
        with self.context.read() as tx:
            return monitoring.find_alerts(tx, self.context.project_id)[::-1]
