"""A view's rows in the one form that joining and materialising take.

Times become UTC microseconds (a time without a zone is UTC; what is finer is rounded up, so that
nothing is known early), NaN becomes missing, and each row carries its place in the source: of two
rows with the same times the later one holds.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from blake3 import blake3

from thrive.domain.errors import UsageError
from thrive.domain.features import FeatureColumn, SpecView, ViewDefinition
from thrive.features.declare import View

if TYPE_CHECKING:
    import polars as pl

AT, RECORDED, KNOWN, ROW = "_at", "_recorded", "_known", "_row"
"""Added columns: event time, recorded time, the moment a row can be known, its place."""
TIME = "_time"
"""Added column of the rows that are joined: the moment of asking, in UTC microseconds."""
_NEVER = -(1 << 63)
STATUS = "_status"
"""Ending of the column that says whether a view's values are present, stale or missing."""


class NormalRows(msgspec.Struct, frozen=True, kw_only=True):
    """A view's rows: keys, values, `_row`, and with times `_at`, `_recorded` and `_known`."""

    definition: ViewDefinition
    frame: Any
    keys: list[FeatureColumn]
    columns: list[FeatureColumn]

    @property
    def digest(self) -> str:
        """BLAKE3 of the definition and of the types it yields: what names a version of the view."""
        parts = [self.definition.digest, self.keys, self.columns]
        return blake3(msgspec.json.encode(parts, order="deterministic")).hexdigest()

    def spec(self) -> SpecView:
        """Return what serving needs of this version."""
        return SpecView(
            name=self.definition.name,
            digest=self.digest,
            keys=self.keys,
            columns=self.columns,
            ttl=self.definition.ttl,
        )

    @property
    def timed(self) -> bool:
        """Whether its values have times."""
        return bool(self.definition.event_time)

    @property
    def revised(self) -> bool:
        """Whether its rows say when they were recorded."""
        return bool(self.definition.recorded_time)


def normal_rows(
    view: View, frames: Sequence["pl.LazyFrame"], *, as_of: int | None = None
) -> NormalRows:
    """Run a view on its sources and return its rows in normal form, not yet computed.

    Args:
        view: the view.
        frames: the rows of its sources, in the order of `sources`.
        as_of: leave out what was recorded later; event time plus delay where nothing else is said.

    Raises:
        UsageError: a column is missing, or has a type that is no time or no feature.
    """
    import polars as pl

    definition = view.definition
    rows = view(*frames)
    schema = rows.collect_schema()
    _require(definition, schema.names())
    names = [name for name in schema.names() if name not in _fixed(definition)]
    _check_types(definition, {name: schema[name] for name in (*definition.entity, *names)})
    floats = [name for name in names if schema[name].is_float()]
    chosen = rows.select(
        *definition.entity,
        *(pl.col(name).fill_nan(None) if name in floats else pl.col(name) for name in names),
        *_times(definition, schema),
    ).with_row_index(ROW)
    if definition.event_time:
        chosen = chosen.filter(pl.col(KNOWN).is_not_null())
        if as_of is not None:
            chosen = chosen.filter(pl.col(KNOWN) <= as_of)
    return NormalRows(
        definition=definition,
        frame=chosen.with_columns(pl.col(ROW).cast(pl.Int64)),
        keys=[_column(name, schema) for name in definition.entity],
        columns=[_column(name, schema) for name in names],
    )


def cells_of(*frames: "pl.LazyFrame") -> int:
    """Return how many cells frames have: rows times columns."""
    import polars as pl

    counts = pl.collect_all([frame.select(pl.len()) for frame in frames])
    widths = [len(frame.collect_schema()) for frame in frames]
    return sum(count.item() * width for count, width in zip(counts, widths, strict=True))


def newest_rows(
    rows: NormalRows, now: int, *, since: int | None = None, in_memory: bool = True
) -> tuple["pl.DataFrame", int | None]:
    """Return the row of each key that holds at a moment, and when the last row becomes known.

    Rows without a key are left out.

    Args:
        rows: of the view.
        now: the moment, in UTC microseconds.
        since: take only what became known after this moment.
        in_memory: whether all of it fits into memory; otherwise it is read in parts.

    Returns:
        Keys, values and `_at`; the moment at which the last row of all becomes known, None without
        times or rows.
    """
    import polars as pl

    frame = rows.frame if since is None else rows.frame.filter(pl.col(KNOWN) > since)
    parts = [frame.collect()] if in_memory else frame.collect_batches(maintain_order=True)
    found = pl.DataFrame(schema=frame.collect_schema())
    last = since
    for part in parts:
        if rows.timed and part.height:
            last = max(int(part[KNOWN].max()), last or _NEVER)
        found = _newest(rows, pl.concat([found, _eligible(rows, part, now)]))
    at = pl.col(AT) if rows.timed else pl.lit(0, pl.Int64).alias(AT)
    names = [column.name for column in rows.columns]
    return found.select(*rows.definition.entity, *names, at), last


def _eligible(rows: NormalRows, part: "pl.DataFrame", now: int) -> "pl.DataFrame":
    import polars as pl

    kept = [pl.col(key).is_not_null() for key in rows.definition.entity]
    if rows.timed:
        kept.append(pl.col(KNOWN) <= now)
    return part.filter(kept)


def _newest(rows: NormalRows, some: "pl.DataFrame") -> "pl.DataFrame":
    """Return of rows in their order the one of each key that holds last."""
    if rows.revised:
        some = some.sort(AT, RECORDED, ROW)
    elif rows.timed:
        some = some.sort(AT, maintain_order=True)
    return some.unique(rows.definition.entity, keep="last", maintain_order=True)


def microseconds(column: "pl.Expr", dtype: Any, what: str, *, up: bool) -> "pl.Expr":
    """Return a column of times as UTC microseconds.

    Args:
        column: the column.
        dtype: its polars type.
        what: the column, for the error.
        up: round up what is finer than a microsecond, else down.

    Raises:
        UsageError: the type is no time.
    """
    import polars as pl

    if dtype.is_integer():
        return column.cast(pl.Int64)
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us")).cast(pl.Int64)
    if dtype != pl.Datetime:
        raise UsageError(
            f"{what} is {dtype}, which is no time.", "make it a Datetime, or UTC microseconds"
        )
    counted = column.cast(pl.Int64)
    match dtype.time_unit:
        case "ns":
            return (counted + 999) // 1000 if up else counted // 1000
        case "ms":
            return counted * 1000
        case _:
            return counted


def _times(definition: ViewDefinition, schema: Any) -> list["pl.Expr"]:
    """Return event time, recorded time and the moment from which a row can be known."""
    import polars as pl

    if not definition.event_time:
        return []
    at = _micros(definition, definition.event_time, schema)
    known = at + definition.delay
    if not definition.recorded_time:
        return [at.alias(AT), at.alias(RECORDED), known.alias(KNOWN)]
    recorded = _micros(definition, definition.recorded_time, schema)
    both = pl.max_horizontal(known, recorded)
    whole = pl.when(at.is_not_null() & recorded.is_not_null()).then(both)
    return [at.alias(AT), recorded.alias(RECORDED), whole.alias(KNOWN)]


def _micros(definition: ViewDefinition, name: str, schema: Any) -> "pl.Expr":
    import polars as pl

    return microseconds(pl.col(name), schema[name], f"{definition.name}.{name}", up=True)


def _fixed(definition: ViewDefinition) -> set[str]:
    return {*definition.entity, definition.event_time, definition.recorded_time} - {""}


def _require(definition: ViewDefinition, names: list[str]) -> None:
    missing = sorted(_fixed(definition) - set(names))
    if missing:
        raise UsageError(
            f"View {definition.name!r} returns no column {missing[0]!r}.",
            f"it returns {', '.join(names[:20])}",
        )
    if len(names) == len(_fixed(definition)):
        raise UsageError(
            f"View {definition.name!r} returns no feature.", "select a column beside the keys"
        )
    reserved = [name for name in names if name.startswith("_")]
    if reserved:
        raise UsageError(
            f"View {definition.name!r} returns {reserved[0]!r}.", "no feature begins with _"
        )


def _check_types(definition: ViewDefinition, types: dict[str, Any]) -> None:
    for key in definition.entity:
        if types[key].is_float() or types[key].is_decimal():
            raise UsageError(
                f"{definition.name}.{key} is {types[key]}: no key can be.", "make it a whole number"
            )
    for name, dtype in types.items():
        if dtype.is_nested() or not _plain(dtype):
            raise UsageError(
                f"{definition.name}.{name} is {dtype}: no feature can be.",
                "numbers, texts, booleans, dates and times can",
            )


def _plain(dtype: Any) -> bool:
    import polars as pl

    others = (pl.Boolean, pl.String, pl.Categorical, pl.Enum)
    return dtype.is_numeric() or dtype.is_temporal() or dtype in others


def _column(name: str, schema: Any) -> FeatureColumn:
    return FeatureColumn(name=name, dtype=str(schema[name]))
