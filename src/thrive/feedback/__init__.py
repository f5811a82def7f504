"""Feedback: what really happened, joined to what was predicted.

Outcomes are bitemporal and append-only: each has the moment it became true and the moment Thrive
was told, and a correction is a new revision. The join of predictions and outcomes gives real
performance, the delay of labels, and the data of the next training. Not here: the judgement of
performance (monitoring) and datasets as such (data).

Doors: `add_outcomes` (outcomes), `read_outcomes` (files), `joined` (training_rows),
`label_coverage` (coverage).
"""
