"""What monitoring promises, on windows without drift, with drift, and on two real streams."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.real_streams import RealStream, census_file, scored_flights, terms

from thrive.domain.actor import local_actor
from thrive.domain.clock import DAY
from thrive.domain.monitoring import Cause
from thrive.monitoring import judge
from thrive.monitoring.baseline import Baseline, build
from thrive.monitoring.measure import sketches
from thrive.monitoring.performance import performance
from thrive.operations import Context
from thrive.store.home import create_home

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]

NUMBERS, CARDINALITIES = 20, (2, 3, 5, 8, 12, 20, 40, 60, 100, 200)
MOST_FLAGGED = 18
"""The 99 % binomial bound of 1 % of 1,000 windows."""


def rows(rng: np.random.Generator, count: int, shift: float = 0.0) -> pl.DataFrame:
    """Return 20 numbers of several shapes and 10 categories; the first 8 numbers are shifted."""
    made: dict[str, object] = {}
    for place in range(NUMBERS):
        moved = shift if place < 8 else 0.0
        normal = rng.normal(moved, 1.0, count)
        made[f"n{place}"] = (normal, np.exp(normal), np.round(3 * normal))[place % 3]
    for place, size in enumerate(CARDINALITIES):
        chance = 1 / np.arange(1, size + 1)
        made[f"c{place}"] = rng.choice(size, count, p=chance / chance.sum()).astype(str)
    return pl.DataFrame(made).with_columns(
        pl.lit(None, pl.Float64).alias("_label"), pl.Series("_score", rng.random(count))
    )


def reference(rng: np.random.Generator, count: int, windows: int) -> Baseline:
    parts = [
        rows(rng, count).with_columns(pl.lit(day * DAY, pl.Int64).alias("_time"))
        for day in range(windows)
    ]
    return build(pl.concat(parts), terms())


def flagged(baseline: Baseline, parts: "list[pl.DataFrame]") -> np.ndarray:
    """Return which column (of 31) is flagged in which window: drifted in 2 of the last 3."""
    known = baseline.sketches()
    drifted = np.array(
        [
            [
                column.drifted
                for column in judge.columns(
                    baseline, known, sketches(part, baseline.kinds, known), day * DAY
                )
            ]
            for day, part in enumerate(parts)
        ]
    ).astype(int)
    return drifted[:-2] + drifted[1:-1] + drifted[2:] >= 2


@pytest.mark.parametrize(("count", "windows"), [(1_000, 60), (10_000, 30)])
def test_a_thousand_windows_without_drift_are_flagged_as_often_as_promised(
    count: int, windows: int
) -> None:
    rng = np.random.default_rng(count)
    baseline = reference(rng, count, windows)
    flags = 0
    for _ in range(10):
        flags += flagged(baseline, [rows(rng, count) for _ in range(102)]).any(axis=1).sum()
    print(f"{count} rows: {flags} of 1,000 windows flagged")
    assert flags <= MOST_FLAGGED


@pytest.mark.parametrize(("count", "power"), [(1_000, 0.85), (10_000, 0.95)])
def test_a_quarter_of_a_deviation_is_found(count: int, power: float) -> None:
    rng = np.random.default_rng(count + 1)
    baseline = reference(rng, count, 30)
    found = flagged(baseline, [rows(rng, count, 0.25) for _ in range(42)])
    print(f"{count} rows: power {found[:, :8].mean():.3f}")
    assert found[:, :8].mean() >= power


def test_a_short_history_says_which_budget_it_supports() -> None:
    rng = np.random.default_rng(3)
    short = reference(rng, 500, 10)
    assert short.drift_per_year is not None
    assert short.drift_per_year > 4
    none = reference(rng, 500, 3)
    assert none.drift_per_year is None


def days(live: pl.DataFrame) -> "list[pl.DataFrame]":
    parts = live.with_columns(_day=pl.col("_time") // DAY).partition_by("_day", maintain_order=True)
    return [part for part in parts if part.height >= 50]


def test_the_estimate_follows_the_real_flights_and_finds_the_bad_days() -> None:
    past, live = scored_flights()
    baseline = build(past, terms(threshold=0.3))
    history = {item.signal: np.array(item.values) for item in baseline.histories}
    limit = next(item for item in baseline.limits if item.signal == "estimated accuracy")
    found = [performance(part, baseline.yardstick) for part in days(live)]
    estimated = np.array([item["estimated accuracy"].value for item in found])
    real = np.array([item["realised accuracy"].value for item in found])
    flags = np.array([limit.breach(item["estimated accuracy"]) is not None for item in found])
    usual = history["realised accuracy"]
    bad = real < usual.mean() - 2 * usual.std(ddof=1)
    precision, recall = bad[flags].mean(), flags[bad].mean()
    correlation = np.corrcoef(estimated, real)[0, 1]
    print(f"correlation {correlation:.2f}, recall {recall:.2f}, precision {precision:.2f},")
    print(f"base rate {bad.mean():.3f}, {flags.sum()} of {len(flags)} days flagged")
    assert correlation >= 0.8
    assert recall >= 0.8
    assert precision >= 4 * bad.mean()


def test_alerts_before_any_outcome_find_the_bad_days_within_the_default_budget(
    tmp_path: Path,
) -> None:
    past, live = (frame.rename({"flight_id": "id"}) for frame in scored_flights())
    inputs = [name for name in past.columns if name not in {"id", "_score", "_label", "_time"}]
    parts = days(live)
    home = create_home(tmp_path, "flights")
    stream = RealStream(
        Context(home, local_actor("tester"), operation="test"),
        past,
        inputs,
        int(parts[0]["_time"][0]) // DAY * DAY,  # type: ignore[arg-type]
    )
    alerted: set[int] = set()
    for part in parts:
        stream.day = int(part["_time"][0]) // DAY  # type: ignore[arg-type]
        stream.pass_day(part, labelled=False)
        alerted |= {
            alert.last_bad // DAY
            for alert in stream.alerts()
            if alert.cause is Cause.PERFORMANCE and alert.last_bad is not None
        }
    baseline = build(past, terms(threshold=0.3))
    history = {item.signal: np.array(item.values) for item in baseline.histories}
    usual = history["realised accuracy"]
    real = {
        int(part["_time"][0]) // DAY: performance(part, baseline.yardstick)[  # type: ignore[arg-type]
            "realised accuracy"
        ].value
        for part in parts
    }
    bad = {day for day, value in real.items() if value < usual.mean() - 2 * usual.std(ddof=1)}
    error = float(np.median(baseline.histories[0].real_errors))
    false = {day for day in alerted if real[day] > usual.mean() - error}
    raised = [alert for alert in stream.alerts() if alert.cause is Cause.PERFORMANCE]
    home.close()
    recall, precision = len(alerted & bad) / len(bad), len(alerted & bad) / len(alerted)
    base = len(bad) / len(parts)
    print(f"{len(raised)} alerts on {len(alerted)} of {len(parts)} days: recall {recall:.2f},")
    print(f"precision {precision:.2f}, base rate {base:.3f}, {len(false)} days as good as usual")
    assert recall >= 0.8
    assert precision >= 4 * base
    assert len(false) <= 4 * len(parts) / 365


def test_drift_alone_says_nothing_of_the_bad_days() -> None:
    past, live = scored_flights()
    baseline = build(past, terms(threshold=0.3))
    usual = np.array(
        next(item.values for item in baseline.histories if item.signal == "realised accuracy")
    )
    known = baseline.sketches()
    parts = days(live)
    moved = np.array(
        [
            any(
                column.drifted and column.name != "_score"
                for column in judge.columns(
                    baseline,
                    known,
                    sketches(part, baseline.kinds, known),
                    int(part["_time"][0]),  # type: ignore[arg-type]
                )
            )
            for part in parts
        ]
    )
    real = np.array(
        [performance(part, baseline.yardstick)["realised accuracy"].value for part in parts]
    )
    bad = real < usual.mean() - 2 * usual.std(ddof=1)
    print(f"{moved.mean():.2f} of the days drifted, precision {bad[moved].mean():.3f}")
    print(f"base rate {bad.mean():.3f}")
    assert bad[moved].mean() < 2 * bad.mean()


def census(*, as_filed: bool = False) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (2015, 2016-2018), 5,000 people a day.

    A year of the census has no months: within it people are drawn at random, unless they stay as
    they were filed, homes of many people at the end.
    """
    past = pl.read_parquet(census_file("employment_MA_reference.pq"))
    live = pl.read_parquet(census_file("employment_MA_analysis.pq"))
    target = pl.read_parquet(census_file("employment_MA_analysis_target.pq"))

    def shaped(frame: pl.DataFrame) -> pl.DataFrame:
        if not as_filed:
            frame = frame.sample(fraction=1.0, shuffle=True, seed=1).sort(
                "year", maintain_order=True
            )
        return frame.with_columns(
            pl.col("predicted_probability").alias("_score"),
            pl.col("employed").cast(pl.Float64).alias("_label"),
            (pl.int_range(pl.len(), dtype=pl.Int64) // 5_000 * DAY).alias("_time"),
        ).drop("predicted_probability", "employed", "id", "prediction", "year", strict=False)

    return shaped(past), shaped(live.join(target, on="id", maintain_order="left"))


def breaches(past: pl.DataFrame, live: pl.DataFrame) -> dict[str, list[bool]]:
    """Return which windows are beyond the limit of each signal."""
    baseline = build(past, terms())
    found = [
        performance(part, baseline.yardstick)
        for part in live.partition_by("_time", maintain_order=True)
    ]
    return {
        limit.signal: [limit.breach(item.get(limit.signal)) is not None for item in found]
        for limit in baseline.limits
    }


def alerts(flags: list[bool]) -> list[int]:
    """Return the windows at which 2 of the last 3 are beyond."""
    return [last for last in range(2, len(flags)) if sum(flags[last - 2 : last + 1]) >= 2]


def test_the_stable_census_raises_no_performance_alert() -> None:
    beyond = breaches(*census())
    print({name: sum(flags) for name, flags in beyond.items()}, "windows beyond")
    assert {name: alerts(flags) for name, flags in beyond.items()} == {name: [] for name in beyond}


def test_where_the_census_is_really_harder_the_estimate_says_so_before_the_labels() -> None:
    beyond = breaches(*census(as_filed=True))
    estimated, real = alerts(beyond["estimated accuracy"]), alerts(beyond["realised accuracy"])
    print("estimated", estimated, "real", real)
    assert estimated
    assert set(estimated) <= set(real)
