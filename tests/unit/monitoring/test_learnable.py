"""What the newest labelled rows say of retraining: much, nothing, or too little to tell."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from thrive.domain.model import LABEL, SCORE, TIME
from thrive.monitoring.learnable import Lesson, learnable
from thrive.monitoring.performance import Yardstick

BASELINE = SimpleNamespace(yardstick=Yardstick(binary=True, positive=1), kinds={"x": "numeric"})


@pytest.mark.parametrize(
    ("rows", "by_input", "by_score", "lesson"),
    [
        (4000, 2.0, 0.0, Lesson.GAIN),
        (4000, 2.0, 2.0, Lesson.NO_GAIN),
        (4000, 0.0, 0.0, Lesson.LOST),
        (600, 0.15, 0.15, Lesson.NO_GAIN),
    ],
)
def test_few_rows_that_tell_little_are_not_called_lost(rows, by_input, by_score, lesson):
    random = np.random.default_rng(5)
    x = random.normal(size=rows)
    hit = random.random(rows) < 1 / (1 + np.exp(-by_input * x))
    score = 1 / (1 + np.exp(-by_score * x)) if by_score else random.random(rows)
    frame = pl.DataFrame({"x": x, LABEL: hit.astype(int), SCORE: score, TIME: np.arange(rows)})
    found = learnable(frame, BASELINE)
    assert found is not None
    assert found.lesson is lesson
