"""Many classes, rankings and metrics of one's own: each passes the better, fails the worse."""

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score, log_loss, ndcg_score
from tests.unit.gates.registry import CONTRACT
from tests.unit.gates.test_checks import case

from thrive.domain.gate import Answer
from thrive.gates import metric as metrics
from thrive.gates.case import labels_of
from thrive.gates.metric import metric
from thrive.gates.quality import check_quality
from thrive.packaging.signature import Output, OutputKind
from thrive.statistics.metrics import macro_f1, ndcg_by_query

CLASSES = ("high", "low", "none")


def asked(name, more=""):
    return CONTRACT.replace('metric = "roc_auc"', f'metric = "{name}"{more}')


def of_kind(found, kind, classes=()):
    signature = msgspec.structs.replace(
        found.manifest.signature, output=Output(kind=kind, classes=classes)
    )
    manifest = msgspec.structs.replace(found.manifest, signature=signature)
    labels = labels_of(found.frame, True, classes) if classes else found.labels
    return msgspec.structs.replace(found, manifest=manifest, labels=labels)


@pytest.fixture(scope="module")
def three():
    """Rows of three classes with their true probabilities."""
    rng = np.random.default_rng(3)
    chances = rng.dirichlet([1, 1, 1], 2000)
    labels = (chances.cumsum(axis=1) < rng.random((2000, 1))).sum(axis=1)
    frame = pl.DataFrame({"_label": [CLASSES[each] for each in labels], "origin": ["JFK"] * 2000})
    return frame, chances, labels


def many(three, candidate, other, name):
    frame = three[0].with_columns(pl.lit(0).alias("_label"))
    found = case(frame, candidate, other, terms=asked(name))
    found = msgspec.structs.replace(found, frame=three[0])
    return of_kind(found, OutputKind.VECTOR, CLASSES)


@pytest.mark.parametrize("name", ["auto", "log_loss", "brier", "accuracy", "macro_f1"])
def test_many_classes(three, name):
    _, chances, labels = three
    blurred = chances**0.3 / (chances**0.3).sum(axis=1, keepdims=True)
    worse = np.roll(blurred, 1, axis=1)
    assert check_quality(many(three, chances, chances, name)).answer is Answer.PASS
    assert check_quality(many(three, worse, chances, name)).answer is Answer.FAIL
    evidence = check_quality(many(three, worse, chances, name)).evidence
    if name == "log_loss":
        assert evidence["candidate"] == pytest.approx(log_loss(labels, worse), abs=1e-12)
    if name == "macro_f1":
        expected = f1_score(labels, worse.argmax(axis=1), average="macro")
        assert evidence["candidate"] == pytest.approx(expected, abs=1e-12)
    if name == "brier":
        corner = np.eye(3)[labels]
        assert evidence["candidate"] == pytest.approx(((worse - corner) ** 2).sum(1).mean())


def test_macro_f1_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 5, 400), rng.integers(0, 4, 400)
    expected = f1_score(y, p, average="macro")
    assert macro_f1(5).function(y, p) == pytest.approx(expected, abs=1e-12)


def test_ndcg_is_that_of_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    query = np.repeat(np.arange(30), 15)
    relevance = rng.integers(0, 4, len(query)).astype(float)
    score = rng.integers(0, 6, len(query)).astype(float)
    ours, known = ndcg_by_query(relevance, score, query)
    theirs = [
        ndcg_score([np.exp2(relevance[query == q]) - 1], [score[query == q]], k=10)
        for q in range(30)
    ]
    assert known.all()
    np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_rankings_are_judged_by_query():
    rng = np.random.default_rng(1)
    rows = 3000
    frame = pl.DataFrame({"search": np.arange(rows) // 10, "_label": rng.integers(0, 4, rows)})
    truth = frame["_label"].to_numpy().astype(float)
    good, bad = truth + rng.normal(0, 1, rows), truth + rng.normal(0, 4, rows)

    def ranked(candidate, other, more=', query = "search"'):
        found = case(frame, candidate, other, terms=asked("ndcg", more))
        return of_kind(msgspec.structs.replace(found, labels=truth), OutputKind.NUMBER)

    assert check_quality(ranked(good, good)).answer is Answer.PASS
    failed = check_quality(ranked(bad, good))
    assert failed.answer is Answer.FAIL
    assert (failed.evidence["unit"], failed.evidence["units"]) == ("search", 300)
    assert check_quality(ranked(good, good, "")).answer is Answer.CANNOT_TELL
    away = check_quality(ranked(good, good, ', query = "session"'))
    assert "no column 'session'" in away.summary


def test_a_metric_of_ones_own(monkeypatch):
    @metric(greater_is_better=False)
    def cost(truth, prediction, weights):
        missed = (truth == 1) & (prediction < 0.5)
        false = (truth == 0) & (prediction >= 0.5)
        return float(((5 * missed + false) * weights).sum() / weights.sum())

    class Point:
        name = "cost"

        def load(self):
            return cost

    monkeypatch.setattr(metrics, "entry_points", lambda group: [Point()])
    rng = np.random.default_rng(2)
    chance = rng.random(400)
    frame = pl.DataFrame({"_label": rng.random(400) < chance})
    assert check_quality(case(frame, chance, chance, terms=asked("cost"))).answer is Answer.PASS
    worse = check_quality(case(frame, 1 - chance, chance, terms=asked("cost")))
    assert (worse.answer, worse.evidence["method"]) == (Answer.FAIL, "paired bootstrap")
    unknown = check_quality(case(frame, chance, chance, terms=asked("costs")))
    assert unknown.answer is Answer.CANNOT_TELL
