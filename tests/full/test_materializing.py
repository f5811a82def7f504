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
from thrive.store import features as store

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
WINDOWS = """
import polars as pl
from thrive import feature_view
from thrive.features import windowed

@feature_view(entity="k", event_time="at", source="events", delay="2h"{recorded})
def latest(rows: pl.LazyFrame) -> pl.LazyFrame:
    kept = rows.filter(pl.col("x") != 13)
    return windowed(kept, by="k", time="at", period="7h", x=("x", "sum"){written})
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


def windows_by_the_book(rows: list[tuple[str, int, int, int]], hour: int, *, revised: bool):
    """Return key = the sum over its window at the last change that could be known at an hour."""
    seen = [
        (key, at, x) for key, at, noted, x in rows if x != 13 and (not revised or noted <= hour)
    ]
    found: dict[str, int | None] = dict.fromkeys(KEYS)
    for key in KEYS:
        moments = [each for k, at, _ in seen if k == key for each in (at, at + 7)]
        last = max((each for each in moments if each <= hour - 2), default=None)
        if last is not None:
            found[key] = sum(x for k, at, x in seen if k == key and last - 7 < at <= last)
    return found


@pytest.mark.parametrize("revised", [False, True])
def test_windows_that_come_online_from_growth_are_what_all_events_say(project, revised):
    """Late events, events noted late, and now and then a file that is corrected."""
    draw = random.Random(SEED)
    recorded, written = (', recorded_time="noted"', ', recorded="noted"') if revised else ("", "")
    text = WINDOWS.format(recorded=recorded, written=written)
    (project.folder / "features.py").write_text(text)
    files: dict[int, list[tuple[str, int, int, int]]] = {}
    hour = 40
    for step in range(60):
        corrected = bool(files) and draw.random() < 0.1
        grew = corrected or not files or draw.random() < 0.6
        if grew:
            number = draw.choice(list(files)) if corrected else step
            files[number] = events(draw, hour, draw.randrange(1, 12))
            add_file(project, number, files[number])
        hour += draw.choice((0, 1, 1, 4))
        clock(project, hour)
        (line,) = materialize(project)
        read_whole = corrected or step == 0
        fitting = (
            [""]
            if read_whole
            else ["read what is new"]
            if grew
            else ["read what is new", "nothing new"]
        )
        assert line.note in fitting, (SEED, step)
        known = [each for number in sorted(files) for each in files[number]]
        wanted = windows_by_the_book(known, hour, revised=revised)
        assert online(project) == wanted, (SEED, step)
        assert line.rows == sum(value is not None for value in wanted.values()), (SEED, step)


def test_what_was_written_and_never_noted_is_no_ground_to_build_on(project, monkeypatch):
    """Killed between the store and its note, while the data that was read is taken back."""
    declare(project, revised=False)
    add_file(project, 1, [("k0", 0, 0, 1)])
    clock(project, 40)
    materialize(project)
    add_file(project, 2, [("k1", 1, 1, 2)])
    save, calls = store.save_materialization, []

    def killed(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        save(*given)

    monkeypatch.setattr(store, "save_materialization", killed)
    with pytest.raises(KeyboardInterrupt):
        materialize(project)
    monkeypatch.undo()
    assert online(project)["k1"] == 4, "the store has it, and nothing was noted"
    (project.folder / "events" / "002.parquet").unlink()
    add_file(project, 3, [("k2", 1, 1, 3)])
    materialize(project)
    assert {key: x for key, x in online(project).items() if x} == {"k0": 2, "k2": 6}


@pytest.mark.parametrize("windows", [False, True])
def test_killed_at_any_moment_it_is_finished_by_the_next_call(project, windows):
    """The source grows, `thrive features materialize` is killed; at the end all is there, once."""
    draw = random.Random(SEED)
    if windows:
        (project.folder / "features.py").write_text(WINDOWS.format(recorded="", written=""))
    else:
        declare(project, revised=False)
    book = windows_by_the_book if windows else by_the_book
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
            wanted = book(known, hour, revised=False)
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
