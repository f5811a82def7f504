"""From what a model returns to what a caller gets: a score and a decision a row."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.packaging.signature import Output, OutputKind

Scores = list[float | None]
Decisions = list[Any]


class NotANumber(Exception):
    """The model answered NaN or infinity: no answer anybody could use."""


class Answer(msgspec.Struct, kw_only=True, gc=False):
    """The answer to one request.

    Attributes:
        version: 0 when no version answered.
        variant: who answered.
        scores: one a row; None for a model that answers classes alone.
        decisions: one a row; None for a model that answers numbers.
        record_id: id of the logged record, "" when it could not be logged or was not sampled.
        features: feature view = whether its values were present, stale or missing, a row.
    """

    model: str
    version: int
    variant: str
    scores: Scores
    decisions: Decisions
    record_id: str = ""
    features: dict[str, list[str]] = {}


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The rows of one request that one version answered.

    Attributes:
        places: where its rows stand in the request.
        rows: the rows as they were sent.
        answer: the answer to them.
    """

    places: list[int]
    rows: list[dict[str, Any]]
    answer: Answer


def read_answer(output: Output, threshold: float, raw: NDArray[Any]) -> tuple[Scores, Decisions]:
    """Return scores and decisions of a model's raw answer.

    A probability decides by the threshold: True from it on. A vector gives its largest share and
    that class. A class has no score, a number no decision.

    Raises:
        NotANumber: a score is NaN or infinite.
    """
    if output.kind is OutputKind.CLASS:
        decisions: Decisions = raw.tolist()
        return [None] * len(decisions), decisions
    if output.kind is OutputKind.VECTOR:
        best = raw.argmax(axis=1)
        scores = _finite(raw[np.arange(len(raw)), best])
        return scores, [output.classes[index] for index in best.tolist()]
    scores = _finite(raw)
    if output.kind is OutputKind.NUMBER:
        return scores, [None] * len(scores)
    cut = threshold if output.threshold is None else output.threshold
    return scores, [score is not None and score >= cut for score in scores]


def _finite(raw: NDArray[Any]) -> Scores:
    scores: list[float] = np.asarray(raw, dtype=np.float64).tolist()
    if not all(map(math.isfinite, scores)):
        raise NotANumber
    return [*scores]


def read_fallback(values: Sequence[float | str], threshold: float) -> tuple[Scores, Decisions]:
    """Return the contract's answers, one a row, for when no version can give one."""
    scores: Scores = [None if isinstance(value, str) else float(value) for value in values]
    decisions: Decisions = [
        value if isinstance(value, str) else value >= threshold for value in values
    ]
    return scores, decisions
