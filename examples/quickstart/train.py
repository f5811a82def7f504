# train.py
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from thrive import data, log, pipeline, register, step

FEATURES = ["km", "rain_mm", "hour"]


@step
def fit(table: pl.DataFrame, trees: int) -> HistGradientBoostingClassifier:
    model = HistGradientBoostingClassifier(max_iter=trees, max_depth=3, random_state=7)
    return model.fit(table.select(FEATURES), table["late"])


@pipeline
def train(trees: int = 60) -> None:
    table = data.load("deliveries").sort("ordered_at")
    past, recent = table[:5000], table[5000:]
    model = fit(past, trees)
    score = model.predict_proba(recent.select(FEATURES))[:, 1]
    log(roc_auc=roc_auc_score(recent["late"], score))
    register(model, "late-delivery", evaluation=recent, trained_on=past, time="ordered_at")
