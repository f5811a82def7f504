"""What a record of the prediction log says, and records as a table.

Each record holds one request's rows: the answer of one variant. The table has one row a prediction
row, with the columns `prediction_id, time, model, version, variant, score, decision, error,
latency_us, live_id, trace_id`, the inputs as `x.<name>` and the request's keys as `k.<name>`.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.store.eventlog.blank import ERASED
from thrive.store.eventlog.prediction_id import row_ids
from thrive.store.eventlog.reader import Record

if TYPE_CHECKING:
    import polars as pl

KIND = 1
"""The kind of a record of the prediction log: format 1 of this payload."""

PRODUCTION, CANDIDATE, SHADOW, FALLBACK = "production", "candidate", "shadow", "fallback"
BATCH = "batch"
"""The variant of rows of a table that was scored."""
CHOSEN = "chosen"
"""The variant of an answer whose version the caller named: no evidence of how a release does."""


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
        c: trace id of the caller (W3C Trace Context), "" if it sent none.
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
    c: str = ""


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
        if record.kind == ERASED:
            continue
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
        "trace_id": pl.String,
    }


class _Columns:
    """The values of records that have the same model, inputs and keys, gathered by column.

    No record is kept: a hundred thousand of them alive would cost the garbage collector more than
    reading them does.
    """

    def __init__(self, first: Logged) -> None:
        self._model = first.m
        self._ids: list[str] = []
        self._heads: tuple[list[Any], ...] = ([], [], [], [], [], [], [])
        self._scores: list[float | None] = []
        self._decisions: list[str | None] = []
        self._live: list[str | None] = []
        self._inputs: list[tuple[str, list[Any]]] = [(name, []) for name in first.x]
        self._keys: list[tuple[str, list[Any]]] = [(name, []) for name in first.k]

    def add(self, record_id: str, logged: Logged) -> None:
        rows = logged.n
        self._ids += row_ids(record_id, rows)
        counts, times, versions, variants, errors, latencies, traces = self._heads
        counts.append(rows)
        times.append(logged.t)
        versions.append(logged.v)
        variants.append(logged.a)
        errors.append(logged.e)
        latencies.append(logged.us)
        traces.append(logged.c)
        self._scores += logged.y or [None] * rows
        self._decisions += _texts(logged.d) if logged.d else [None] * rows
        self._live += row_ids(logged.p, rows) if logged.p else [None] * rows
        for (_, values), more in zip(self._inputs, logged.x.values(), strict=True):
            values.extend(more)
        for (_, values), more in zip(self._keys, logged.k.values(), strict=True):
            values.extend(more)

    def frame(self) -> "pl.DataFrame":
        import numpy as np
        import polars as pl

        counts, times, versions, variants, errors, latencies, traces = self._heads
        index = np.repeat(np.arange(len(counts)), counts)

        def spread(values: Sequence[Any], dtype: Any) -> "pl.Series":
            return pl.Series(values, dtype=dtype).gather(index)

        fixed = {
            "prediction_id": pl.Series(self._ids, dtype=pl.String),
            "time": spread(times, pl.Int64),
            "model": pl.repeat(self._model, len(index), dtype=pl.String, eager=True),
            "version": spread(versions, pl.Int64),
            "variant": spread(variants, pl.String),
            "score": pl.Series(self._scores, dtype=pl.Float64).fill_nan(None),
            "decision": pl.Series(self._decisions, dtype=pl.String),
            "error": spread(errors, pl.String),
            "latency_us": spread(latencies, pl.Int64),
            "live_id": pl.Series(self._live, dtype=pl.String),
            "trace_id": spread(traces, pl.String),
        }
        inputs = {f"x.{name}": _series(values) for name, values in self._inputs}
        keys = {f"k.{name}": _series(values) for name, values in self._keys}
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
