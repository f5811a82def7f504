"""One prediction by its id: from the raw segment, or from the sealed file that holds it."""

from typing import Any

import msgspec

from thrive.domain.clock import SECOND, format_time
from thrive.domain.errors import NotFound
from thrive.domain.prediction import Outcome
from thrive.serving.records import decode
from thrive.store import log_ends, predictions
from thrive.store.eventlog import EventLog, covering, parse_prediction_id
from thrive.store.home import Home


class PredictionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered, from which inputs, and what really happened.

    Attributes:
        variant: production, candidate, shadow, fallback, or chosen by the caller.
        inputs: the model's inputs as they were assembled.
        keys: entity, segments and other request fields.
        live_id: for a shadow's answer, the prediction that was sent to the caller.
        trace_id: the caller's W3C trace, where it sent one.
        outcomes: every revision that is known, oldest first.
        stored: "segment" while it waits to be sealed, else "sealed".
    """

    prediction_id: str
    time: int
    model: str
    version: int
    variant: str
    score: float | None
    decision: str | None
    error: str
    latency_us: int
    inputs: dict[str, Any]
    keys: dict[str, Any]
    live_id: str | None = None
    trace_id: str | None = None
    outcomes: list[Outcome] = []
    stored: str = "sealed"


def find_prediction(home: Home, prediction_id: str) -> PredictionRecord:
    """Return a prediction; raises as `find_row`."""
    row, stored = find_row(home, prediction_id)
    with home.read() as tx:
        outcomes = predictions.outcomes_of(tx, home.project_id, prediction_id)
    return _record(row, outcomes, stored)


def find_row(home: Home, prediction_id: str) -> tuple[dict[str, Any], str]:
    """Return a prediction's row of the log's table, and where it was found.

    Raises:
        UsageError: it is not a prediction id.
        NotFound: no segment and no sealed file holds it.
    """
    import polars as pl

    wanted = parse_prediction_id(prediction_id)
    try:
        frame = decode([EventLog(home.log_folder).find(prediction_id)])
        stored = "segment"
    except NotFound:
        frame = _sealed(home, prediction_id, wanted.time)
        stored = "sealed"
    row = frame.row(by_predicate=pl.col("prediction_id") == prediction_id, named=True)
    return row, stored


def _sealed(home: Home, prediction_id: str, time: int) -> Any:
    import polars as pl

    with home.read() as tx:
        near = predictions.find_sealed(tx, home.project_id, time - SECOND, time + SECOND)
    row = covering(near, prediction_id)
    if row is not None and row.digest:
        path = home.blobs.local_path(row.digest)
        source = path if path is not None else home.blobs.open(row.digest)
        frame = pl.scan_parquet(source).filter(pl.col("prediction_id") == prediction_id).collect()
        if frame.height:
            return frame
    with home.read() as tx:
        ends = log_ends.find(tx, home.project_id, after=time)
    if ends:
        gone = "; ".join(f"those of {each.model} before {format_time(each.until)}" for each in ends)
        raise NotFound(
            f"There is no prediction {prediction_id} any more: retention removed {gone}.",
            "write a longer log = { retention = ... } for those to come",
        )
    raise NotFound(
        f"There is no prediction {prediction_id} in this project.",
        "check the id; it must be the one that came back with the prediction",
    )


def _record(row: dict[str, Any], outcomes: list[Outcome], stored: str) -> PredictionRecord:
    def under(prefix: str) -> dict[str, Any]:
        return {name[2:]: value for name, value in row.items() if name.startswith(prefix)}

    fixed = {name: value for name, value in row.items() if name[:2] not in ("x.", "k.")}
    return PredictionRecord(
        **fixed, inputs=under("x."), keys=under("k."), outcomes=outcomes, stored=stored
    )
