"""A project with hourly weather, planes and questions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from thrive.data import operations as data
from thrive.domain.actor import local_actor
from thrive.domain.clock import ClockMode, ClockState, parse_time
from thrive.operations import Context
from thrive.store import projects
from thrive.store.home import create_home

START = datetime(2024, 5, 1, tzinfo=UTC)
VIEWS = """
import polars as pl
from thrive import feature_view, on_demand

@feature_view(entity="origin", event_time="at", source="weather", ttl="6h", delay="1h",
              freshness="2h", owner="data-platform", why="What the sky does.")
def weather(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.select("origin", "at", "temp", windy=pl.col("temp") % 3 == 0)

@feature_view(entity=["tailnum", "leg"], source="planes")
def plane(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.select("tailnum", "leg", age=2024 - pl.col("built"))

@on_demand
def minute(hhmm: pl.Expr) -> pl.Expr:
    return hhmm // 100 * 60 + hhmm % 100
"""


def write_weather(folder: Path, hours: int) -> Path:
    times = [START + timedelta(hours=hour) for hour in range(hours) for _ in "JL"]
    origins = ["JFK", "LGA"] * hours
    frame = pl.DataFrame({"origin": origins, "at": times}).with_columns(
        temp=pl.int_range(pl.len()).cast(pl.Float64)
    )
    frame.write_parquet(folder / "weather.parquet")
    return folder / "weather.parquet"


def set_clock(context: Context, moment: str) -> None:
    with context.write("project:clock") as tx:
        clock = ClockState(mode=ClockMode.REPLAY, replay_now=parse_time(moment))
        projects.set_clock(tx, context.project_id, clock)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The context of a project whose clock stands at noon of the first of May."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "thrive.toml").write_text("contract = 1\n")
    (tmp_path / "features.py").write_text(VIEWS)
    clock = ClockState(mode=ClockMode.REPLAY, replay_now=parse_time("2024-05-01T12:00Z"))
    home = create_home(tmp_path, "test", clock)
    context = Context(home, local_actor("tester"), folder=tmp_path, operation="test")
    write_weather(tmp_path, 24)
    planes = {"tailnum": ["N1", "N1", "N2"], "leg": [1, 2, 1], "built": [1999, 2000, 2001]}
    pl.DataFrame(planes).write_parquet(tmp_path / "planes.parquet")
    for name in ("weather", "planes"):
        data.add(context, f"{name}.parquet", name=name, owner="data-platform", why="a test")
    yield context
    home.close()
