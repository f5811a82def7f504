"""Models of which each has one defect: pickled by a test, restored in a gate's worker."""

import os
import time

import numpy as np

ORIGINS = frozenset({"EWR", "JFK", "LGA"})


class Spoiled:
    """Answers the sigmoid of a column, and has the defect it is asked for.

    Args:
        column: the logit of its answers, at the same time the answer of `predict`.
        defect: the check that is to find it, "" for none.
    """

    def __init__(self, column, defect="", classes=(False, True)):
        self.column = column
        self.defect = defect
        self.classes_ = np.array(classes)
        self.feature_names_in_ = [column, "origin", "said"]

    def predict(self, rows):
        return np.nan_to_num(rows[self.column].to_numpy().astype(np.float64))

    def predict_proba(self, rows):
        logit = rows[self.column].to_numpy().astype(np.float64)
        self._break(rows, logit)
        logit = np.clip(np.nan_to_num(logit), -30.0, 30.0)
        if self.defect == "row order":
            logit = logit + (np.arange(len(logit)) == 0)
        score = 1 / (1 + np.exp(-logit))
        if self.defect == "noise":
            score = 0.4 + 0.2 * score
            score = np.where(np.floor(logit * 1e5) % 500 == 0, 1.0, score)
        if self.defect == "answers":
            score[:3] = np.nan
        if self.defect == "speed":
            time.sleep(0.004)
        return np.column_stack([1 - score, score])

    def _break(self, rows, logit):
        missing = np.isnan(logit).any()
        if self.defect == "odd rows" and missing:
            os._exit(9)
        raises = {
            "missing values": missing,
            "unseen categories": bool(set(rows["origin"].drop_nulls()) - ORIGINS),
            "out-of-range numbers": bool((np.abs(np.nan_to_num(logit)) > 40).any()),
            "wrong types": bool((rows["said"] == "").any()),
        }
        if raises.get(self.defect):
            raise ValueError(f"no answer to {self.defect}")
