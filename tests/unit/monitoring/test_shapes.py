"""Inputs that are no plain numbers or names: texts, vectors, and the relation of two inputs."""

import numpy as np
import polars as pl
from tests.real_streams import terms

from thrive.domain.clock import DAY
from thrive.monitoring import judge
from thrive.monitoring.baseline import Baseline, build
from thrive.monitoring.findings import Column
from thrive.monitoring.frames import TEXT, VECTOR, measured
from thrive.monitoring.measure import sketches


def rows(
    rng: np.random.Generator, day: int, *, longer: float = 1.0, louder: float = 1.0, tied: float = 0
) -> pl.DataFrame:
    count = 400
    words = rng.poisson(40 * longer, count)
    one, other = rng.normal(size=(2, count))
    return pl.DataFrame(
        {
            "comment": ["x" * int(length) for length in words],
            "picture": [(louder * rng.normal(size=16)).tolist() for _ in range(count)],
            "a": one,
            "b": tied * one + np.sqrt(1 - tied**2) * other,
            "_score": rng.random(count),
            "_label": rng.integers(0, 2, count).astype(float),
            "_time": np.sort(rng.integers(day * DAY, (day + 1) * DAY, count)),
        }
    )


def reference(rng: np.random.Generator) -> Baseline:
    past = pl.concat([rows(rng, day) for day in range(12)])
    return build(past, terms(), texts=["comment"])


def seen(baseline: Baseline, frame: pl.DataFrame) -> dict[str, Column]:
    assert baseline.relations is not None
    known = baseline.sketches()
    found = judge.columns(
        baseline,
        known,
        sketches(frame, baseline.kinds, known),
        20 * DAY,
        baseline.relations.change(frame),
    )
    return {column.words: column for column in found}


def test_a_text_is_watched_by_its_length_a_vector_by_its_norm() -> None:
    rng = np.random.default_rng(1)
    baseline = reference(rng)
    assert (baseline.kinds["comment"], baseline.kinds["picture"]) == (TEXT, VECTOR)
    quiet = seen(baseline, rows(rng, 20))
    assert not [column.name for column in quiet.values() if column.drifted]
    moved = seen(baseline, rows(rng, 20, longer=1.3, louder=1.5))
    names = {words for words, column in moved.items() if column.drifted}
    assert names == {"the length of comment", "the norm of picture"}


def test_a_relation_is_watched_where_no_input_moved_by_itself() -> None:
    rng = np.random.default_rng(2)
    baseline = reference(rng)
    changed = seen(baseline, rows(rng, 20, tied=0.5))
    assert {words for words, column in changed.items() if column.drifted} == {
        "the relation of a and b"
    }


def test_vectors_come_as_lists_arrays_or_json() -> None:
    lists = pl.DataFrame({"v": [[3.0, 4.0], None, [0.0, 1.0]]})
    expected = [5.0, np.nan, 1.0]
    arrays = lists.with_columns(pl.col("v").cast(pl.Array(pl.Float64, 2)))
    texts = pl.DataFrame({"v": ["[3, 4]", None, "[0, 1]"]})
    for frame in (lists, arrays, texts):
        np.testing.assert_allclose(measured(frame, "v", VECTOR), expected)
    np.testing.assert_allclose(measured(pl.DataFrame({"t": ["äb", None]}), "t", TEXT), [2, np.nan])


def test_the_classes_that_are_chosen_are_watched_beside_the_score() -> None:
    rng = np.random.default_rng(4)

    def answers(day: int, shares: list[float]) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "a": rng.normal(size=600),
                "_decision": rng.choice(["bird", "cat", "dog"], 600, p=shares),
                "_score": rng.uniform(0.5, 1.0, 600),
                "_label": rng.choice(["bird", "cat", "dog"], 600),
                "_time": np.sort(rng.integers(day * DAY, (day + 1) * DAY, 600)),
            }
        )

    usual = [0.2, 0.3, 0.5]
    baseline = build(pl.concat([answers(day, usual) for day in range(12)]), terms())
    known = baseline.sketches()

    def moved(shares: list[float]) -> list[str]:
        counted = sketches(answers(20, shares), baseline.kinds, known)
        columns = judge.columns(baseline, known, counted, 20 * DAY)
        return [column.name for column in columns if column.drifted]

    assert moved(usual) == []
    assert moved([0.5, 0.3, 0.2]) == ["_decision"]
