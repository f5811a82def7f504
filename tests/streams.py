"""Synthetic streams of predictions, sealed and labelled as serving and feedback would do it."""

from io import BytesIO

import msgspec
import numpy as np
import polars as pl

from thrive.contract.parse import parse
from thrive.domain.clock import DAY, HOUR, ClockMode, ClockState
from thrive.domain.features import VIEW_STATUS
from thrive.domain.identifiers import new_id
from thrive.domain.model import Model, ModelVersion
from thrive.domain.prediction import Outcome, SealedLog
from thrive.domain.project import StoredContract
from thrive.domain.release import RoutingTable, Variant
from thrive.operations import Context
from thrive.store import models, predictions, projects, releases
from thrive.store.eventlog import PredictionId

START = 15_000 * DAY
"""The first day of live traffic."""

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
[data.weather]
owner = "data"
[model.m]
purpose = "tell"
owner = "ml"
deputy = "data"
target = { column = "y", positive = true, threshold = 0.5 }
entity = ["id"]
segments = ["city"]
sla = { availability = 99.0, max_age = "400 days", outcomes_within = "1 day" }
[model.m.monitor]
window = "1 day"
false_alarms_per_year = 4
[model.m.actions]
data_quality = { do = "hold", decide = "data", within = "4h" }
performance = { do = "retrain", decide = "ml", within = "1 day", default = "rollback" }
"""


class Stream:
    """A model with a reference, live since `START` on the replay clock, and its traffic."""

    inputs = ("a", "b", "weather_wind", "city")
    start = START

    def __init__(self, context: Context, seed: int = 0, rows: int = 400, contract: str = CONTRACT):
        self.context, self.rows = context, rows
        self.rng = np.random.default_rng(seed)
        self.segment = 0
        self.day = self.start // DAY
        self.contract = parse(contract)
        self._prepare()

    def reference(self) -> pl.DataFrame:
        """Return the past that monitoring compares with: 90 days."""
        return pl.concat([self.frame(START // DAY - 90 + day) for day in range(90)])

    def _prepare(self) -> None:
        home, project = self.context.home, self.context.project_id
        reference = self.reference()
        buffer = BytesIO()
        reference.drop("id").write_parquet(buffer)
        digest = home.blobs.put(buffer.getvalue())
        version = ModelVersion(
            model="m",
            version=1,
            package="a" * 64,
            signature={"inputs": [{"name": name} for name in self.inputs]},
            metrics={},
            run_id="",
            contract=self.contract.digest,
            commit="",
            dirty=False,
            created_at=self.start - DAY,
            actor="tester",
            reference=digest,
            importance={"a": 0.7, "b": 0.2, "weather_wind": 0.1},
        )
        with home.write() as tx:
            stored = StoredContract(
                digest=self.contract.digest, text=self.contract.text, commit="", stored_at=0
            )
            projects.store_contract(tx, project, stored)
            projects.set_clock(
                tx, project, ClockState(mode=ClockMode.REPLAY, replay_now=self.start)
            )
            models.save(
                tx, project, Model(name="m", owner="ml", purpose="tell", created_at=self.start)
            )
            models.insert_version(tx, project, version, [])
        self.route(1, self.start)

    def add_version(self, number: int) -> None:
        with self.context.home.write() as tx:
            first = models.get_version(tx, self.context.project_id, "m", 1)
            later = msgspec.structs.replace(
                first, version=number, created_at=self.context.home.now()
            )
            models.insert_version(tx, self.context.project_id, later, [])

    def route(self, version: int, at: int) -> None:
        home, project = self.context.home, self.context.project_id
        with home.write() as tx:
            now = releases.current_routing(tx, project, "m")
            revision = now.revision if now else 0
            table = RoutingTable(
                model="m",
                revision=revision + 1,
                variants=[Variant(version=version, package="a" * 64, share=1.0)],
                fallback=0.2,
                salt=new_id(),
                at=at,
                reason="test",
                actor="tester",
            )
            releases.move_routing(tx, project, table, revision)

    def frame(self, day: int, *, shift: float = 0.0, noise: float = 0.0) -> pl.DataFrame:
        """One day of rows: two numbers, a feed, a city; `noise` flips that share of the labels."""
        rng, n = self.rng, self.rows
        a, b = rng.normal(shift, 1.0, n), rng.normal(0.0, 1.0, n)
        chance = 1.0 / (1.0 + np.exp(-(2.0 * a + b)))
        label = rng.random(n) < chance
        label ^= rng.random(n) < noise
        return pl.DataFrame(
            {
                "id": [f"r{i}" for i in range(n)],
                "a": a,
                "b": b,
                "weather_wind": rng.gamma(2.0, 3.0, n),
                "city": rng.choice(["EWR", "JFK", "LGA"], n),
                "_score": chance,
                "_label": label.astype(np.float64),
                "_time": np.sort(rng.integers(day * DAY, (day + 1) * DAY, n)),
            }
        )

    def serve(
        self,
        frame: pl.DataFrame,
        version: int = 1,
        *,
        error: str = "",
        variant: str = "production",
        status: dict[str, str] | None = None,
    ) -> list[str]:
        """Seal rows as serving would have logged them; return their prediction ids.

        `status` says of each feature view what its values were worth.
        """
        self.segment += 1
        times = frame["_time"].to_list()
        ids = [
            str(PredictionId(time=at, worker=0, segment=self.segment, offset=64 + i * 8))
            for i, at in enumerate(times)
        ]
        logged = pl.DataFrame({"prediction_id": ids, "time": times}).with_columns(
            pl.lit("m").alias("model"),
            pl.lit(version, dtype=pl.Int64).alias("version"),
            pl.lit(variant).alias("variant"),
            frame["_score"].alias("score")
            if not error
            else pl.lit(None, pl.Float64).alias("score"),
            (frame["_score"] >= 0.5).cast(pl.String).alias("decision"),
            pl.lit(error).alias("error"),
            pl.lit(900, dtype=pl.Int64).alias("latency_us"),
            pl.lit(None, dtype=pl.String).alias("live_id"),
            *(frame[name].alias(f"x.{name}") for name in self.inputs if name in frame.columns),
            frame["id"].alias("k.id"),
            *(pl.lit(worth).alias(f"k.{VIEW_STATUS}{v}") for v, worth in (status or {}).items()),
        )
        buffer = BytesIO()
        logged.write_parquet(buffer)
        digest = self.context.home.blobs.put(buffer.getvalue())
        sealed = SealedLog(
            worker=0,
            segment=self.segment,
            from_offset=64,
            to_offset=64 + 8 * len(ids),
            digest=digest,
            rows=len(ids),
            min_time=min(times),
            max_time=max(times),
            host="h",
            sealed_at=0,
        )
        with self.context.home.write() as tx:
            predictions.insert_sealed(tx, self.context.project_id, sealed)
        return ids

    def outcomes(self, frame: pl.DataFrame, ids: list[str], *, delay: int = HOUR) -> list[Outcome]:
        return [
            Outcome(
                prediction_id=name,
                value=bool(label),
                observed_at=at + delay,
                recorded_at=at + delay,
            )
            for name, label, at in zip(
                ids, frame["_label"].to_list(), frame["_time"].to_list(), strict=True
            )
        ]

    def tell(self, frame: pl.DataFrame, ids: list[str]) -> None:
        with self.context.home.write() as tx:
            predictions.insert_outcomes(tx, self.context.project_id, self.outcomes(frame, ids))

    def advance(self, days: float = 1.0) -> None:
        """Move the project's clock."""
        home = self.context.home
        now = home.now() + round(days * DAY)
        with home.write() as tx:
            projects.set_clock(
                tx, home.project_id, ClockState(mode=ClockMode.REPLAY, replay_now=now)
            )

    def live_day(
        self, *, labelled: bool = True, version: int = 1, **changes: float
    ) -> pl.DataFrame:
        """Serve one day, tell its outcomes, move the clock behind it; return its rows."""
        frame = self.frame(self.day, **changes)
        ids = self.serve(frame, version)
        if labelled:
            self.tell(frame, ids)
        self.day += 1
        self.advance()
        return frame
