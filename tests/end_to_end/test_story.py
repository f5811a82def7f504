"""The whole loop on real flights, in short: what it leaves behind is read from its records."""

import shutil

import polars as pl
import pytest
from tests.flights import MODEL, START, TRAINING, WEATHER, Story, answered, commit, write_project

from thrive.domain.clock import DAY, parse_time
from thrive.domain.release import ReleaseState
from thrive.store import audit, datasets, models, monitoring, predictions, releases
from thrive.store.prediction_frames import with_outcomes

UNTIL = "2013-02-08"


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A project whose first version was trained and judged; the tests copy it."""
    story = Story(tmp_path_factory.mktemp("story") / "flights")
    write_project(story.folder, UNTIL)
    story.begin()
    story.type("run", "train.py", *TRAINING)
    story.type("gates", "run", f"{MODEL}@1")
    return story.folder


@pytest.fixture
def story(judged, tmp_path):
    told = Story(shutil.copytree(judged, tmp_path / "flights", symlinks=True))
    yield told
    told.stop()


@pytest.fixture
def records(story):
    context = story.context()
    yield context
    context.home.close()


def test_the_loop_runs_and_its_records_tell_the_same_story(story, records):
    story.release()
    story.serve()
    report = story.ask(*story.replay_words(UNTIL))
    traffic = story.traffic(UNTIL)
    assert (report["finished"], report["predictions"]) == (True, traffic.height)
    _check_training(story)
    _check_release(records)
    _check_answers(records, traffic, report["outcomes"])
    _check_windows(records)
    assert not [alert for alert in story.ask("alerts", "list") if alert["cause"] == "data_quality"]
    status = story.ask("status")
    assert status["models"][0]["live"] == "v1 100%"
    (host,) = status["serving"]
    assert (host["state"], host["failed"]) == ("answering", 0)
    story.type("models", "card", MODEL, "--to", "card")
    card = (story.folder / "card" / f"{MODEL}@1.md").read_text()
    assert "operations desk board" in card
    assert story.ask("audit", "verify")["whole"]
    assert story.ask("doctor", "--blobs", "0")["sound"]


def _check_training(story):
    """The run says which code and which data made the version, the gate says what judged it."""
    (listed,) = story.ask("runs", "list")["items"]
    run = story.ask("runs", "show", listed["run_id"])
    assert run["state"] == "done"
    assert (len(run["code"]["commit"]), run["code"]["dirty"], run["params"]["trees"]) == (
        40,
        False,
        10,
    )
    used = {(use["name"], use["version"]) for use in run["uses"] if use["kind"] == "dataset"}
    assert used == {("flights", 1), ("weather", 1), ("planes", 1)}
    version = story.ask("models", "show", f"{MODEL}@1")["version"]
    assert (version["run_id"], version["commit"]) == (run["run_id"], run["code"]["commit"])
    assert version["importance"]["dep_minute"] > 0
    verdict = story.ask("gates", "show", f"{MODEL}@1")
    assert (verdict["answer"], verdict["candidate"]) == ("pass", version["package"])


def _check_release(records):
    with records.read() as tx:
        table = releases.current_routing(tx, records.project_id, MODEL)
        (release,) = releases.find(tx, records.project_id, MODEL)
        version = models.get_version(tx, records.project_id, MODEL, 1)
        assert audit.first_broken(tx, records.project_id) is None
    (live,) = table.variants
    assert (live.version, live.package, live.share, live.shadow) == (1, version.package, 1.0, False)
    assert (release.state, release.replay) == (ReleaseState.DONE, True)
    assert release.ended_at - release.started_at >= DAY / 4


def _check_answers(records, traffic, counted):
    """Each flight was answered once; each that landed has what happened, a cancelled one never."""
    frame = answered(records, UNTIL)
    assert sorted(frame["k.flight_id"]) == sorted(traffic["flight_id"])
    assert set(frame["error"]) == {""}
    joined = with_outcomes(records.home, frame).join(
        traffic.select("flight_id", "late", "known"), left_on="k.flight_id", right_on="flight_id"
    )
    due = pl.col("late").is_not_null() & (pl.col("known") <= parse_time(UNTIL))
    landed = joined.filter(due)
    assert landed.height == counted
    assert landed["outcome"].cast(pl.Boolean).to_list() == landed["late"].to_list()
    assert joined.filter(due.not_())["outcome"].null_count() == joined.height - landed.height
    assert joined.filter(pl.col("late").is_null()).height > 0
    assert (landed["outcome_recorded_at"] >= landed["known"]).all()
    with records.read() as tx:
        stored = predictions.find_outcomes(tx, records.project_id)
    assert len(stored) == counted


def _check_windows(records):
    """Every day is closed, and its windows count the answers of the version in production."""
    with records.read() as tx:
        found = monitoring.find_windows(tx, records.project_id, MODEL)
    days = {each.start: each.rows for each in found if each.version == 1}
    assert sorted(days) == list(range(parse_time(START), parse_time(UNTIL), DAY))
    frame = answered(records, UNTIL).filter(pl.col("version") == 1)
    per_day = dict(frame.group_by(pl.col("time") // DAY * DAY).len().iter_rows())
    assert days == per_day


@pytest.mark.full
def test_when_a_feed_goes_missing_the_answer_is_to_hold_not_to_retrain(story):
    story.release()
    story.serve()
    fault = "weather@2013-02-06..2013-02-07"
    report = story.ask(*story.replay_words(UNTIL, "--fault", fault))
    assert (report["now"][:10], report["finished"]) == ("2013-02-07", False)
    alert_id = report["new_alerts"][0]
    (alert,) = [each for each in story.ask("alerts", "list") if each["alert_id"] == alert_id]
    assert (alert["cause"], alert["state"], alert["recommended"]) == (
        "data_quality",
        "open",
        "hold",
    )
    assert "retrain" not in alert["proposed"]
    found = alert["evidence"]["numbers"]["faults"]
    faults = {each["column"] for each in found if each["kind"] != "late"}
    assert "temp" in faults
    assert faults <= WEATHER
    assert {each["column"] for each in found if each["kind"] == "late"} <= {"weather"}
    assert alert["deadline"] > alert["opened_at"]
    story.type("alerts", "decide", alert_id, "hold", "--reason", "the feed is missing")
    again = story.ask(*story.replay_words(UNTIL, "--fault", fault))
    assert again["finished"]


@pytest.mark.full
def test_when_the_labels_say_nothing_the_gate_stops_the_version(story, records):
    for path in sorted((story.folder / "data" / "flights").iterdir()):
        table = pl.read_csv(path, null_values="NA", infer_schema_length=None)
        mixed = table["arr_delay"].shuffle(seed=1)
        table.with_columns(mixed).write_csv(path, null_value="NA")
    story.type("data", "add", "data/flights", "--name", "flights")
    commit(story.folder, "Other data")
    made = story.ask("run", "train.py", *TRAINING, "--gates", code=1)
    verdict = story.ask("gates", "show", f"{MODEL}@2", code=1)
    judged = {"model": f"{MODEL}@2", "answer": "fail", "verdict_id": verdict["verdict_id"]}
    assert made["verdicts"] == [judged]
    quality = next(each for each in verdict["results"] if each["check"] == "quality")
    assert (verdict["answer"], quality["answer"]) == ("fail", "fail")
    consent = ("approvals", "give", f"{MODEL}@2", "--reason", "it looks good to me")
    assert "nothing to consent to" in story.type(*consent, code=6).stderr
    refused = story.type("releases", "start", f"{MODEL}@2", code=6)
    assert "fail" in refused.stderr
    with records.read() as tx:
        assert releases.current_routing(tx, records.project_id, MODEL) is None
        assert len(datasets.versions(tx, records.project_id, "flights")) == 2
