"""Feedback: what really happened, joined to what was predicted.

Outcomes are bitemporal and append-only: each has the moment it became true and the moment Thrive
was told, and a correction is a new revision. The join of predictions and outcomes gives real
performance, the delay of labels, and the data of the next training. Not here: the judgement of
performance (monitoring) and datasets as such (data).
"""

from thrive.feedback.coverage import LabelCoverage, label_coverage
from thrive.feedback.entities import retry_parked
from thrive.feedback.files import read_outcomes
from thrive.feedback.outcomes import OutcomesAdded, add_outcomes
from thrive.feedback.training_rows import joined

__all__ = [
    "LabelCoverage",
    "OutcomesAdded",
    "add_outcomes",
    "joined",
    "label_coverage",
    "read_outcomes",
    "retry_parked",
]
