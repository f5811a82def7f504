"""Bringing views online: killed at any moment, over random growth, and over more than fits memory."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from tests.flights import ENVIRONMENT
from tests.unit.features import conftest as views
from tests.unit.features.conftest import START, set_clock

from thrive.data import operations as data
from thrive.domain.clock import format_time
from thrive.flows.features import materialize
from thrive.flows.online_features import OnlineFeatures

pytestmark = pytest.mark.full
project = views.project
KILLS = int(os.environ.get("THRIVE_TEST_KILLS", "25"))
SEED = int(os.environ.get("THRIVE_TEST_SEED", str(random.SystemRandom().randrange(10**6))))
KEYS = [f"k{number}" for number in range(8)]
VIEW = """
import polars as pl
from thrive import feature_view

@feature_view(entity="k", event_time="at", source="events", delay="2h"{recorded})
def latest(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.filter(pl.col("x") != 13).select("k", "at", {columns}x=pl.col("x") * 2)
"""
BIG_ROWS = 16_000_000
MEMORY_MB = 900
"""What the process may hold: the rows alone are larger."""


def declare(project, *, revised: bool) -> None:
    recorded = ', recorded_time="noted"' if revised else ""
    columns = '"noted", ' if revised else ""
    (project.folder / "features.py").write_text(VIEW.format(recorded=recorded, columns=columns))


def events(draw: random.Random, hour: int, count: int) -> list[tuple[str, int, int, int]]:
    """Return events of about an hour: some late, some noted late, some ahead, some at one time."""
    made: list[tuple[str, int, int, int]] = []
    for _ in range(count):
        at = hour + draw.choice((-30, -6, -1, 0, 0, 0, 1, 5))
        made.append((draw.choice(KEYS), at, at + draw.choice((0, 0, 1, 9)), draw.randrange(20)))
    return made


def add_file(project, number: int, rows: list[tuple[str, int, int, int]]) -> None:
    folder = project.folder / "events"
    folder.mkdir(exist_ok=True)
    pl.DataFrame(rows, schema=["k", "hour", "noted", "x"], orient="row").select(
        "k",
        "x",
        at=START + pl.duration(hours=pl.col("hour")),
        noted=START + pl.duration(hours=pl.col("noted")),
    ).write_parquet(folder / f"{number:03}.parquet")
    data.add(project, "events", name="events", owner="data-platform", why="a test")


def by_the_book(rows: list[tuple[str, int, int, int]], hour: int, *, revised: bool):
    """Return key = the value that holds at an hour, by one look at each row."""
    best: dict[str, tuple[tuple[int, ...], int]] = {}
    for place, (key, at, noted, x) in enumerate(rows):
        known = max(at + 2, noted) if revised else at + 2
        rank = (at, noted, place) if revised else (at, place)
        if x != 13 and known <= hour and (key not in best or rank > best[key][0]):
            best[key] = rank, x * 2
    return {key: best[key][1] if key in best else None for key in KEYS}


def online(project) -> dict[str, int | None]:
    reader = OnlineFeatures(project.folder, ["latest"])
    values = reader.read([{"k": key} for key in KEYS]).values["x"]
    reader.close()
    return dict(zip(KEYS, values, strict=True))


def clock(project, hour: int) -> None:
    set_clock(project, format_time(int((START + timedelta(hours=hour)).timestamp() * 1e6)))


@pytest.mark.parametrize("revised", [False, True])
def test_what_comes_online_from_growth_is_what_all_rows_say(project, revised):
    draw = random.Random(SEED)
    declare(project, revised=revised)
    known: list[tuple[str, int, int, int]] = []
    notes: set[str] = set()
    hour = 40
    for step in range(60):
        if not known or draw.random() < 0.6:
            more = events(draw, hour, draw.randrange(1, 12))
            add_file(project, step, more)
            known += more
        hour += draw.choice((0, 1, 1, 4))
        clock(project, hour)
        (line,) = materialize(project)
        notes.add(line.note)
        wanted = by_the_book(known, hour, revised=revised)
        assert online(project) == wanted, (SEED, step)
        assert line.rows == sum(value is not None for value in wanted.values()), (SEED, step)
    assert "read what is new" in notes


def test_killed_at_any_moment_it_is_finished_by_the_next_call(project):
    """The source grows, `thrive features materialize` is killed; at the end all is there, once."""
    draw = random.Random(SEED)
    declare(project, revised=False)
    known: list[tuple[str, int, int, int]] = []
    command = [sys.executable, "-m", "thrive", "features", "materialize", "--json"]
    hour, killed = 40, 0
    began = time.monotonic()
    subprocess.run([*command[:3], "--version"], env=ENVIRONMENT, check=True)
    for step in range(KILLS):
        more = events(draw, hour, 2_000)
        add_file(project, step, more)
        known += more
        hour += 1
        clock(project, hour)
        began = time.monotonic()
        done = subprocess.Popen(
            command, cwd=project.folder, env=ENVIRONMENT, stdout=subprocess.PIPE
        )
        try:
            done.wait(timeout=draw.uniform(0.2, 1.6))
        except subprocess.TimeoutExpired:
            done.send_signal(signal.SIGKILL)
            killed += 1
        done.communicate()
        if step % 5 == 4:
            lines = json.loads(
                subprocess.check_output(command, cwd=project.folder, env=ENVIRONMENT)
            )
            wanted = by_the_book(known, hour, revised=False)
            assert online(project) == wanted, (SEED, step)
            assert lines[0]["rows"] == len(KEYS)
    assert killed, time.monotonic() - began


_MEASURED = """
import json, sys, thrive
from thrive import features
import polars as pl
limit = sys.argv[1]
with thrive.open() as workspace:
    lines = workspace.features.materialize()
peak = int(next(l for l in open("/proc/self/status") if "VmHWM" in l).split()[1]) / 1024
found = features.online(["latest"], [{"k": 7}, {"k": 4_999}])
print(json.dumps({"rows": lines[0].rows, "peak_mb": peak, "x": list(found.values["x0"])}))
"""


def test_a_source_larger_than_memory_is_read_in_parts(tmp_path):
    for number in range(4):
        count = BIG_ROWS // 4
        place = pl.int_range(count, eager=True) + number * count
        begin = datetime(2024, 1, 1, tzinfo=UTC)
        frame = pl.DataFrame({"k": place % 5_000, "at": place}).with_columns(
            at=pl.lit(begin) + pl.duration(seconds=pl.col("at")),
            **{f"x{column}": place.cast(pl.Float64) * (column + 1) for column in range(6)},
        )
        frame.write_parquet(tmp_path / f"{number}.parquet")
        del frame
    size = BIG_ROWS * 8 * 8 / 1e6
    assert size > MEMORY_MB
    project = tmp_path / "project"
    project.mkdir()
    (project / "data").mkdir()
    for number in range(4):
        (tmp_path / f"{number}.parquet").rename(project / "data" / f"{number}.parquet")
    (project / "features.py").write_text(
        "import polars as pl\nfrom thrive import feature_view\n"
        '@feature_view(entity="k", event_time="at", source="big")\n'
        "def latest(rows: pl.LazyFrame) -> pl.LazyFrame:\n    return rows\n"
    )
    base = [sys.executable, "-m", "thrive"]
    for words in (["init"], ["data", "add", "data", "--name", "big"]):
        subprocess.run([*base, *words], cwd=project, env=ENVIRONMENT, check=True)
    done = subprocess.check_output(
        [sys.executable, "-c", _MEASURED, "x"], cwd=project, env=ENVIRONMENT
    )
    found = json.loads(done.splitlines()[-1])
    last = BIG_ROWS - 5_000
    assert found["rows"] == 5_000
    assert found["x"] == [last + 7, last + 4_999]
    assert found["peak_mb"] < MEMORY_MB, found
