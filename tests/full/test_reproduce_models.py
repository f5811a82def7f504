"""Models of four libraries come out bit by bit when their run is done again at equal threads."""

import pytest

from thrive.domain.actor import local_actor
from thrive.flows.reproduce import Same, reproduce
from thrive.flows.run import run
from thrive.operations import Context
from thrive.store.home import create_home

pytestmark = pytest.mark.full

PIPELINE = """\
import numpy as np
from sklearn.datasets import make_classification
from thrive import log, pipeline, step
{imports}

@step
def rows() -> tuple:
    return make_classification(60_000, 30, random_state=3)

@step(timeout="10m")
def fit(known: tuple):
    return {model}.fit(*known)

@step
def score(model, known: tuple) -> np.ndarray:
    return model.predict_proba(known[0])

@pipeline
def train():
    known = rows()
    log(mean=float(score(fit(known), known)[:, 1].mean()))
"""
MODELS = {
    "sklearn.ensemble": "HistGradientBoostingClassifier(early_stopping=True)",
    "sklearn.linear_model": "LogisticRegression()",
    "lightgbm": "LGBMClassifier(subsample=0.7, subsample_freq=1, colsample_bytree=0.7)",
    "xgboost": "XGBClassifier(subsample=0.7, colsample_bytree=0.7)",
}


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("library", MODELS)
def test_a_trained_model_is_the_same_bit_by_bit(tmp_path, monkeypatch, library, threads):
    pytest.importorskip(library)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", threads)
    (tmp_path / "thrive.toml").write_text('contract = 1\n[project]\nname = "again"\n')
    model = MODELS[library]
    imports = f"from {library} import {model.partition('(')[0]}"
    (tmp_path / "train.py").write_text(PIPELINE.format(imports=imports, model=model))
    home = create_home(tmp_path, "again")
    ctx = Context(home, local_actor("tester"), folder=tmp_path, operation="run")
    first = run(ctx, "train.py")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # what this process has now does not count
    again = reproduce(ctx, first.run_id)
    home.close()
    assert again.verdict is Same.BITWISE
    assert [part.name for part in again.parts] == ["rows", "fit", "score", "mean"]
