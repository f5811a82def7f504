"""What a record of the prediction log says, and records as a table.

Each record holds one request's rows: the answer of one variant. The table has one row a prediction
row, with the columns `prediction_id, time, model, version, variant, score, decision, error,
latency_us, live_id`, the inputs as `x.<name>` and the request's keys as `k.<name>`.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.store.eventlog.prediction_id import row_ids
from thrive.store.eventlog.reader import Record

if TYPE_CHECKING:
    import polars as pl

KIND = 1
"""The kind of a record of the prediction log: format 1 of this payload."""

PRODUCTION, CANDIDATE, SHADOW, FALLBACK = "production", "candidate", "shadow", "fallback"


class Logged(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    """One request's rows as one variant answered them; the keys are short as each is stored.

    Attributes:
        m: model.
        v: version, 0 when no version answered.
        a: variant.
        t: event time, UTC microseconds.
        n: rows.
        x: input name to values.
        k: request field to values.
        y: scores, empty when there is no answer.
        d: decisions, empty when there are none.
        us: latency in microseconds.
        e: why the version did not answer, "" if it did.
        p: id of the live record, for a shadow's or a failed candidate's record.
    """

    m: str
    v: int
    a: str
    t: int
    n: int
    x: dict[str, list[Any]] = {}
    k: dict[str, list[Any]] = {}
    y: list[float | None] = []
    d: list[Any] = []
    us: int = 0
    e: str = ""
    p: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Logged)
encode = _encoder.encode
"""Return a record's payload."""
decode_payload = _decoder.decode
"""Return the record in a payload."""


def decode(records: Iterable[Record]) -> "pl.DataFrame":
    """Return records of the event log as one table, oldest first."""
    import polars as pl

    groups: dict[tuple[Any, ...], _Columns] = {}
    for record in records:
        logged = decode_payload(record.payload)
        shape = (logged.m, *logged.x, "|", *logged.k)
        group = groups.get(shape)
        if group is None:
            group = groups[shape] = _Columns(logged)
        group.add(record.id, logged)
    if not groups:
        return pl.DataFrame(schema=_fixed_schema())
    frames = [group.frame() for group in groups.values()]
    return pl.concat(frames, how="diagonal_relaxed").sort("time", maintain_order=True)


def _fixed_schema() -> "dict[str, Any]":
    import polars as pl

    return {
        "prediction_id": pl.String,
        "time": pl.Int64,
        "model": pl.String,
        "version": pl.Int64,
        "variant": pl.String,
        "score": pl.Float64,
        "decision": pl.String,
        "error": pl.String,
        "latency_us": pl.Int64,
        "live_id": pl.String,
    }


class _Columns:
    """The values of records that have the same model, inputs and keys, gathered by column."""

    def __init__(self, first: Logged) -> None:
        self.ids: list[str] = []
        self.counts: list[int] = []
        self.heads: list[Logged] = []
        self.scores: list[float | None] = []
        self.decisions: list[str | None] = []
        self.live: list[str | None] = []
        self.inputs: dict[str, list[Any]] = {name: [] for name in first.x}
        self.keys: dict[str, list[Any]] = {name: [] for name in first.k}

    def add(self, record_id: str, logged: Logged) -> None:
        rows = logged.n
        self.ids += row_ids(record_id, rows)
        self.counts.append(rows)
        self.heads.append(logged)
        self.scores += logged.y or [None] * rows
        self.decisions += _texts(logged.d) if logged.d else [None] * rows
        self.live += row_ids(logged.p, rows) if logged.p else [None] * rows
        for name, values in logged.x.items():
            self.inputs[name] += values
        for name, values in logged.k.items():
            self.keys[name] += values

    def frame(self) -> "pl.DataFrame":
        import numpy as np
        import polars as pl

        index = np.repeat(np.arange(len(self.heads)), self.counts)

        def spread(values: Sequence[Any], dtype: Any) -> "pl.Series":
            return pl.Series(values, dtype=dtype).gather(index)

        heads = self.heads
        fixed = {
            "prediction_id": pl.Series(self.ids, dtype=pl.String),
            "time": spread([head.t for head in heads], pl.Int64),
            "model": spread([head.m for head in heads], pl.String),
            "version": spread([head.v for head in heads], pl.Int64),
            "variant": spread([head.a for head in heads], pl.String),
            "score": pl.Series(self.scores, dtype=pl.Float64).fill_nan(None),
            "decision": pl.Series(self.decisions, dtype=pl.String),
            "error": spread([head.e for head in heads], pl.String),
            "latency_us": spread([head.us for head in heads], pl.Int64),
            "live_id": pl.Series(self.live, dtype=pl.String),
        }
        inputs = {f"x.{name}": _series(values) for name, values in self.inputs.items()}
        keys = {f"k.{name}": _series(values) for name, values in self.keys.items()}
        return pl.DataFrame(fixed | inputs | keys)


def _texts(decisions: list[Any]) -> list[str | None]:
    return [
        None
        if value is None
        else ("false", "true")[value]
        if value is True or value is False
        else str(value)
        for value in decisions
    ]


def _series(values: list[Any]) -> "pl.Series":
    """Return values as a column of their own type, as text where requests mixed types."""
    import polars as pl

    kinds = set(map(type, values)) - {type(None)}
    if not kinds:
        return pl.Series(values, dtype=pl.Null)
    if kinds <= {int, float}:
        whole = kinds == {int} and all(-(1 << 63) <= v < 1 << 63 for v in values if v is not None)
        return (
            pl.Series(values, dtype=pl.Int64)
            if whole
            else pl.Series(values, dtype=pl.Float64, strict=False).fill_nan(None)
        )
    if kinds == {bool}:
        return pl.Series(values, dtype=pl.Boolean)
    return pl.Series([None if v is None else str(v) for v in values], dtype=pl.String)
