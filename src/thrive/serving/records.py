"""What a record of the prediction log says, and records as a table.

Each record holds one request's rows: the answer of one variant. The table has one row a prediction
row, with the columns `prediction_id, time, model, version, variant, score, decision, error,
latency_us, live_id, trace_id`, the inputs as `x.<name>` and the request's keys as `k.<name>`.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.store.eventlog.blank import ERASED
from thrive.store.eventlog.prediction_id import row_ids
from thrive.store.eventlog.reader import Record

if TYPE_CHECKING:
    import polars as pl

KIND = 1
"""The kind of a record of the prediction log: its payload is a `Logged`."""
ROWS = 2
"""The kind of a record whose rows are tuples: its payload is what a `RowsEncoder` writes."""

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


class _Head(msgspec.Struct, array_like=True, frozen=True):
    """What all records of one version's plain answers have in common, as `Logged` names it."""

    m: str
    v: int
    a: str
    x: list[str]
    k: list[str]


class _Rows(msgspec.Struct, array_like=True, gc=False):
    """A version's answer to rows that are tuples: the head, then as `Logged` names it."""

    head: msgspec.Raw
    t: int
    us: int
    rows: Sequence[Sequence[Any]]
    keys: Sequence[Sequence[Any]]
    y: list[float | None]
    d: list[Any]
    c: str


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Logged)
_rows_decoder = msgspec.msgpack.Decoder(_Rows)
_head_decoder = msgspec.msgpack.Decoder(_Head)
encode = _encoder.encode
"""Return the payload of a record of `KIND`."""


class RowsEncoder:
    """Writes the answers of one version to plain rows: what each has in common is encoded once.

    A record is smaller than a `Logged` and takes a quarter of its time, as no value is moved.

    Args:
        model: the model's name.
        version: who answers.
        variant: as what.
        names: the inputs in the order of the rows' values.
        key_names: the request fields in the order of the keys' values.
        mask: names that are not logged.
    """

    def __init__(
        self,
        model: str,
        version: int,
        variant: str,
        names: Sequence[str],
        key_names: Sequence[str],
        mask: frozenset[str] = frozenset(),
    ) -> None:
        self._rows = _kept_places(names, mask)
        self._keys = _kept_places(key_names, mask)
        head = _Head(
            model,
            version,
            variant,
            [name for name in names if name not in mask],
            [name for name in key_names if name not in mask],
        )
        self._head = msgspec.Raw(_encoder.encode(head))

    def encode(
        self,
        t: int,
        us: int,
        rows: list[tuple[Any, ...]],
        keys: list[tuple[Any, ...]],
        y: list[float | None],
        d: list[Any],
        c: str = "",
    ) -> bytes:
        """Return the payload of a record of `ROWS`; the arguments are as `Logged` names them."""
        if self._rows is not None:
            rows = [tuple([row[place] for place in self._rows]) for row in rows]
        if self._keys is not None:
            keys = [tuple([key[place] for place in self._keys]) for key in keys]
        return encode(_Rows(self._head, t, us, rows, keys, y, d, c))


def _kept_places(names: Sequence[str], mask: frozenset[str]) -> list[int] | None:
    """Return the places of the names that are logged, None for all of them."""
    kept = [place for place, name in enumerate(names) if name not in mask]
    return None if len(kept) == len(names) else kept


def unmasked(keys: dict[str, list[Any]], mask: frozenset[str]) -> dict[str, list[Any]]:
    """Return values by name without those that are not logged."""
    if not mask:
        return keys
    return {name: values for name, values in keys.items() if name not in mask}


def read(record: Record) -> Logged:
    """Return what a record of either kind says.

    Raises:
        msgspec.MsgspecError: the payload is of neither.
    """
    if record.kind != ROWS:
        return _decoder.decode(record.payload)
    found = _rows_decoder.decode(record.payload)
    head = _head_decoder.decode(found.head)
    return Logged(
        m=head.m,
        v=head.v,
        a=head.a,
        t=found.t,
        n=record.rows,
        x=_by_name(head.x, found.rows),
        k=_by_name(head.k, found.keys),
        y=found.y,
        d=found.d,
        us=found.us,
        c=found.c,
    )


def _by_name(names: list[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def decode(records: Iterable[Record]) -> "pl.DataFrame":
    """Return records of the event log as one table, oldest first."""
    import polars as pl

    groups: dict[tuple[Any, ...], _Columns] = {}
    plain: dict[bytes, _PlainColumns] = {}
    for record in records:
        if record.kind == ERASED:
            continue
        if record.kind == ROWS:
            found = _rows_decoder.decode(record.payload)
            head = bytes(found.head)
            rows = plain.get(head)
            if rows is None:
                rows = plain[head] = _PlainColumns(_head_decoder.decode(head))
            rows.add(record, found)
            continue
        logged = _decoder.decode(record.payload)
        shape = (logged.m, *logged.x, "|", *logged.k)
        group = groups.get(shape)
        if group is None:
            group = groups[shape] = _Columns(logged)
        group.add(record.id, logged)
    frames = [group.frame() for group in (*groups.values(), *plain.values())]
    if not frames:
        return pl.DataFrame(schema=_fixed_schema())
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


class _PlainColumns:
    """The values of records of `ROWS` with one head; values lie row after row until the end."""

    def __init__(self, head: _Head) -> None:
        self._head = head
        self._ids: list[str] = []
        self._heads: tuple[list[int], list[int], list[int], list[str]] = ([], [], [], [])
        self._scores: list[float | None] = []
        self._decisions: list[Any] = []
        self._inputs: list[Any] = []
        self._keys: list[Any] = []

    def add(self, record: Record, found: _Rows) -> None:
        self._ids += row_ids(record.id, record.rows)
        counts, times, latencies, traces = self._heads
        counts.append(record.rows)
        times.append(found.t)
        latencies.append(found.us)
        traces.append(found.c)
        self._scores += found.y
        self._decisions += found.d
        self._inputs.extend(chain.from_iterable(found.rows))
        self._keys.extend(chain.from_iterable(found.keys))

    def frame(self) -> "pl.DataFrame":
        import numpy as np
        import polars as pl

        counts, times, latencies, traces = self._heads
        index = np.repeat(np.arange(len(counts)), counts)

        def spread(values: Sequence[Any], dtype: Any) -> "pl.Series":
            return pl.Series(values, dtype=dtype).gather(index)

        def same(value: Any, dtype: Any) -> "pl.Series":
            return pl.repeat(value, len(index), dtype=dtype, eager=True)

        head = self._head
        fixed = {
            "prediction_id": pl.Series(self._ids, dtype=pl.String),
            "time": spread(times, pl.Int64),
            "model": same(head.m, pl.String),
            "version": same(head.v, pl.Int64),
            "variant": same(head.a, pl.String),
            "score": pl.Series(self._scores, dtype=pl.Float64).fill_nan(None),
            "decision": pl.Series(_texts(self._decisions), dtype=pl.String),
            "error": same("", pl.String),
            "latency_us": spread(latencies, pl.Int64),
            "live_id": same(None, pl.String),
            "trace_id": spread(traces, pl.String),
        }
        inputs, keys = len(head.x), len(head.k)
        named = {f"x.{name}": self._inputs[at::inputs] for at, name in enumerate(head.x)}
        named |= {f"k.{name}": self._keys[at::keys] for at, name in enumerate(head.k)}
        return pl.DataFrame(fixed | {name: _series(values) for name, values in named.items()})


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
