"""Real flights: trained on views, served by key over HTTP, and no skew between the two."""

import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from tests.flights import ENVIRONMENT, EXAMPLE, MODEL, START, Story, commit

from thrive.domain.clock import ClockMode, ClockState
from thrive.domain.release import RoutingTable, Variant
from thrive.store import models, projects, releases
from thrive.store.home import Home, open_home

pytestmark = pytest.mark.full
VIEWS = EXAMPLE.parent / "views"
DAY = datetime.fromisoformat(START).replace(tzinfo=UTC)
HOURS = 3
"""How many hours of questions are asked, from ten in the morning in New York on."""
_DELIVER = """
import sys
from datetime import timedelta
from pathlib import Path
from world import World, day
world, folder, until = World(), Path(sys.argv[1]), day(sys.argv[2])
for name, end in (("data", until), ("later", until + timedelta(days=2))):
    world.deliver(folder / name, end)
    world.deliver_weather(folder / name, end)
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A version trained on views, in production, with a serving host over it."""
    folder = tmp_path_factory.mktemp("views") / "project"
    folder.mkdir()
    shutil.copy(VIEWS / "train.py", folder)
    views = (EXAMPLE / "features.py", VIEWS / "recent.py")
    (folder / "features.py").write_text("\n\n".join(each.read_text() for each in views))
    contract = (EXAMPLE / "thrive.toml").read_text()
    assert contract.count('["weather", ') == 1
    (folder / "thrive.toml").write_text(contract.replace('["weather", ', '["weather", "recent", '))
    command = [sys.executable, "-c", _DELIVER, str(folder), START]
    environment = ENVIRONMENT | {"PYTHONPATH": str(EXAMPLE)}
    subprocess.run(command, cwd=EXAMPLE, env=environment, check=True)
    (folder / ".gitignore").write_text("data/\nlater/\nmessages/\n*.log\n__pycache__/\n")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    commit(folder, "The model")
    told = Story(folder)
    told.begin(online=False)
    told.type("run", "train.py", "--until", START, "--trees", "20")
    with_home(folder, put_in_production)
    yield told
    told.stop()


def with_home(folder: Path, act):
    home = open_home(folder)
    try:
        return act(home)
    finally:
        home.close()


def put_in_production(home: Home) -> None:
    with home.write() as tx:
        version = models.get_version(tx, home.project_id, MODEL, 1)
        table = RoutingTable(
            model=MODEL,
            revision=1,
            variants=[Variant(version=1, package=version.package, share=1.0)],
            fallback=0.2,
            salt="s",
            at=home.now(),
            reason="test",
            actor="test",
        )
        releases.move_routing(tx, home.project_id, table, 0)


def set_clock(home: Home, moment: datetime) -> None:
    state = ClockState(mode=ClockMode.REPLAY, replay_now=int(moment.timestamp() * 1e6))
    with home.write() as tx:
        projects.set_clock(tx, home.project_id, state)


def questions(folder: Path) -> pl.DataFrame:
    sys.path.insert(0, str(folder))
    try:
        from train import questions as made
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("train")
    flights = pl.concat(
        [
            pl.read_csv(path, null_values="NA", try_parse_dates=True, infer_schema_length=10_000)
            for path in sorted((folder / "data" / "flights").glob("*.csv"))
        ],
        how="diagonal_relaxed",
    )
    return made(flights)


def ask(story: Story, rows: pl.DataFrame, at: datetime):
    sent = rows.select("flight_id", "origin", "carrier", "tailnum", "sched_dep_time", "scheduled")
    sent = sent.with_columns(pl.col("scheduled").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    status, answer = story.post(
        f"/predict/{MODEL}",
        pl_json(sent),
        **{"X-Thrive-Time": str(int(at.timestamp() * 1e6))},
    )
    assert status == 200, answer
    return answer


def pl_json(frame: pl.DataFrame) -> bytes:
    return msgspec.json.encode({"rows": frame.to_dicts()})


def test_the_model_is_bound_to_its_views(story):
    shown = {line["name"]: line for line in story.ask("features", "list")}
    assert shown["weather"]["used_by"] == f"{MODEL}@1"
    assert shown["weather"]["state"] == "never materialized"
    run = story.ask("runs", "list")["items"][0]["run_id"]
    lineage = story.ask("runs", "show", run)
    used = {(use["kind"], use["name"]) for use in lineage["uses"] if use["direction"] == "in"}
    assert ("feature_view", "weather") in used
    assert ("dataset", "planes") in used


def test_serving_by_key_sees_what_training_would_have_seen(story):
    folder = story.folder
    shutil.rmtree(folder / "data")
    (folder / "later").rename(folder / "data")  # the feeds went on for two days
    asked = questions(folder)
    for name in ("flights", "weather"):
        story.type("data", "add", f"data/{name}", "--name", name)
    first = DAY + timedelta(hours=15)
    with_home(folder, lambda home: set_clock(home, first))
    story.serve()
    refused = story.post(f"/predict/{MODEL}", b'{"rows": [{"origin": "JFK"}]}')
    assert refused[0] == 404 or refused[1].get("variant") == "fallback", refused
    story.type("features", "materialize")
    deadline = 100
    while story.post(f"/predict/{MODEL}", b'{"rows": [{"origin": "JFK"}]}')[0] == 404:
        deadline -= 1
        assert deadline, (folder / "serve.log").read_text()[-2000:]
        time.sleep(0.1)
    rows = 0
    for hour in range(HOURS):
        begin = first + timedelta(hours=hour)
        for minute in (0, 30):
            moment = begin + timedelta(minutes=minute)
            with_home(folder, lambda home, at=moment: set_clock(home, at))
            story.type("features", "materialize")
            group = asked.filter(pl.col("asked") == moment)
            if group.height:
                answer = ask(story, group, moment)
                assert answer["variant"] == "production"
                rows += group.height
    assert rows > 20
    report = story.ask("features", "check", MODEL)
    assert report["rows"] >= rows
    assert report["skewed"] == [], report
    checked = {each["feature"] for each in report["features"]}
    assert {"temp", "recent_delay", "plane_age", "dep_minute", "weekday"} <= checked


def test_a_store_that_is_not_kept_up_is_told_as_skew(story):
    late = DAY + timedelta(hours=15 + HOURS + 7)
    with_home(story.folder, lambda home: set_clock(home, late))
    group = questions(story.folder).filter(pl.col("asked") <= late).tail(5)
    answer = ask(story, group, late)
    assert answer["predictions"][0]["features"] == {"weather": "stale"}
    report = story.ask("features", "check", MODEL, "--alert", code=1)
    (alert,) = [each for each in story.ask("alerts", "list") if "otherwise" in each["title"]]
    assert (alert["cause"], alert["recommended"]) == ("data_quality", "hold")
    assert "recent_delay" in alert["title"]
    assert f"recent_delay of {MODEL}@1" in report["skewed"]
    shares = {each["feature"]: each for each in report["features"]}
    assert shares["temp"]["late"] >= 1
    assert shares["recent_delay"]["differ"] >= 1
    assert shares["plane_age"]["differ"] == 0
