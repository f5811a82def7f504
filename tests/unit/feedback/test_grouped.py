"""Real performance by group: the same numbers as a plain recomputation."""

import io
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.proportion import proportion_confint
from tests.streams import CONTRACT, Stream

from thrive.cli.render import Style, render
from thrive.domain.clock import DAY
from thrive.domain.errors import UsageError
from thrive.domain.monitoring import ActionKind, Cause
from thrive.feedback.grouped import grouped_performance
from thrive.feedback.operations import status
from thrive.flows import act
from thrive.flows.outcome_data import outcomes_performance
from thrive.flows.review import reviews_answer, reviews_list
from thrive.operations import Context
from thrive.store import oversight, predictions


def test_groups_intervals_and_revisions_are_those_of_a_plain_count(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    count = 3000
    log = pl.DataFrame(
        {
            "prediction_id": [f"{n:032x}" for n in range(count)],
            "time": rng.integers(0, 2 * DAY, count),
            "version": rng.integers(1, 3, count),
            "variant": np.where(rng.random(count) < 0.1, "shadow", "production"),
            "error": [""] * count,
            "score": rng.random(count),
            "x.city": rng.choice(["a", "b"], count),
        }
    )
    log.write_parquet(tmp_path / "log.parquet")
    told = pl.DataFrame(
        {
            "prediction_id": log["prediction_id"].head(1500),
            "value": rng.integers(0, 2, 1500).astype(float),
            "revision": [0] * 1500,
            "recorded_at": log["time"].head(1500) + 7,
        }
    )
    later = told.head(300).with_columns(
        (1.0 - pl.col("value")).alias("value"), pl.lit(1, pl.Int64).alias("revision")
    )
    pl.concat([later, told]).write_parquet(tmp_path / "told.parquet")
    found = grouped_performance(
        [tmp_path / "log.parquet"], tmp_path / "told.parquet", by=["x.city"], threshold=0.4
    )
    latest = pl.concat([later, told.tail(1200)])
    plain = log.filter(pl.col("variant") != "shadow").join(latest, on="prediction_id", how="left")
    assert found["rows"].sum() == plain.height
    for row in found.to_dicts():
        mine = plain.filter(
            pl.col("time") // DAY * DAY == row["start"],
            version=row["version"],
            **{"x.city": row["x.city"]},
        )
        known = mine.drop_nulls("value")
        right = ((known["score"] >= 0.4) == (known["value"] > 0.5)).sum()
        low, high = proportion_confint(right, known.height, method="wilson")
        assert (row["rows"], row["labelled"]) == (mine.height, known.height)
        assert row["performance"] == pytest.approx(right / known.height, abs=1e-12)
        assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
        assert row["delay_p90"] == 7


def test_classes_and_a_positive_text_are_judged_and_what_failed_or_is_older_is_no_answer(
    tmp_path: Path,
) -> None:
    log = pl.DataFrame(
        {
            "prediction_id": ["a", "b", "c", "d", "e"],
            "time": [DAY, DAY, DAY, DAY, 0],
            "version": [1] * 5,
            "variant": ["production"] * 5,
            "error": ["", "", "", "timeout", ""],
            "score": [0.9, 0.2, 0.8, None, 0.9],
            "decision": ["cat", "dog", "3", "", "cat"],
        }
    )
    log.write_parquet(tmp_path / "log.parquet")
    said = {
        "prediction_id": ["a", "b", "c"],
        "said": ["cat", "cat", "3"],
        "value": [None, None, 3.0],
    }
    rest = {"revision": [0] * 3, "recorded_at": [DAY + 5] * 3}
    pl.DataFrame({**said, **rest}).write_parquet(tmp_path / "told.parquet")
    given = ([tmp_path / "log.parquet"], tmp_path / "told.parquet")
    (row,) = grouped_performance(*given, classes=True, since=DAY).to_dicts()
    assert (row["rows"], row["labelled"]) == (3, 3)
    assert row["performance"] == pytest.approx(2 / 3)
    assert row["low"] == pytest.approx(proportion_confint(2, 3, method="wilson")[0])
    (row,) = grouped_performance(*given, threshold=0.5, positive="cat", since=DAY).to_dicts()
    assert row["performance"] == pytest.approx(1 / 3)  # a is right, b is a missed cat, c no cat


def test_performance_by_column_and_the_review_queue_of_a_stream(context: Context) -> None:
    from tests.unit.flows_act.test_act import opened

    stream = Stream(context)
    frame = stream.frame(stream.day)
    ids = stream.serve(frame)
    stream.tell(frame.head(350), ids[:350])
    stream.advance()
    found = outcomes_performance(context, "m", by=["city"])
    assert {row.group["city"] for row in found} == {"EWR", "JFK", "LGA"}
    assert {row.metric for row in found} == {"accuracy"}
    shown = io.StringIO()
    render(found, Style(as_json=False, for_people=False, colour=False), shown)
    assert "\tcity EWR\t" in shown.getvalue()
    assert (sum(row.rows for row in found), sum(row.labelled for row in found)) == (400, 350)
    (told,) = status(context, model="m")
    assert (told.predictions, told.labelled, told.failed) == (400, 350, 0)
    with pytest.raises(UsageError, match="has an input"):
        outcomes_performance(context, "m", by=["town"])
    assert reviews_list(context, "m") == []
    alert = opened(stream, Cause.PERFORMANCE, version=1, first_bad=stream.start)
    act.decide(context, alert, ActionKind.REVIEW, "look at them")
    waiting = reviews_list(context, "m", limit=10)
    unsure = (frame["_score"][350:] - 0.5).abs().sort()
    assert [abs((item.score or 0) - 0.5) for item in waiting] == pytest.approx(
        unsure[:10].to_list()
    )
    first = waiting[0]
    assert set(first.inputs) == set(stream.inputs)
    reviews_answer(context, first.prediction_id, 1.0, reason="seen on the camera")
    with pytest.raises(UsageError, match="override needs a reason"):
        reviews_answer(context, first.prediction_id, 1.0 if (first.score or 0) < 0.5 else 0.0)
    reviews_answer(context, first.prediction_id, 0.0, reason="looked again")
    with context.read() as tx:
        said = predictions.outcomes_of(tx, context.project_id, first.prediction_id)
        counted = oversight.count_reviews(tx, context.project_id, "m", 1)
    assert [(each.source, each.revision, each.value) for each in said] == [
        ("review", 0, 1.0),
        ("review", 1, 0.0),
    ]
    assert counted == {"override" if (first.score or 0) >= 0.5 else "keep": 1}
    assert said[0].reason == "tester: seen on the camera"
    assert first.prediction_id not in {item.prediction_id for item in reviews_list(context, "m")}
    with pytest.raises(UsageError, match="no prediction"):
        reviews_answer(context, "f" * 32, 1.0)
    with pytest.raises(UsageError, match="NaN"):
        reviews_answer(context, first.prediction_id, float("nan"))
    with context.home.write() as tx:
        assert predictions.delete_outcomes(tx, context.project_id, [first.prediction_id]) == 2
        assert oversight.count_reviews(tx, context.project_id, "m", 1) == {}


def test_a_person_answers_with_the_name_of_a_class(context: Context) -> None:
    from tests.unit.flows_act.test_act import opened

    target = 'target = { column = "y", positive = true, threshold = 0.5 }'
    stream = Stream(context, contract=CONTRACT.replace(target, 'target = { column = "y" }'))
    stream.serve(stream.frame(stream.day).head(60))
    stream.advance()
    alert = opened(stream, Cause.PERFORMANCE, version=1, first_bad=stream.start)
    act.decide(context, alert, ActionKind.REVIEW, "look at them")
    first, second, *_ = reviews_list(context, "m")
    assert (first.score or 0) <= (second.score or 0)  # the share of the chosen class
    reviews_answer(context, first.prediction_id, first.decision)
    reviews_answer(context, second.prediction_id, "neither", reason="another class")
    with context.read() as tx:
        counted = oversight.count_reviews(tx, context.project_id, "m", 1)
        (said,) = predictions.outcomes_of(tx, context.project_id, second.prediction_id)
    assert counted == {"keep": 1, "override": 1}
    assert said.value == "neither"
