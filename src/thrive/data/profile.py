"""The profile of a table: what each column holds, from one pass over its rows.

Counts, missing and distinct values, extremes, mean, standard deviation, quantiles and a histogram
of numbers, the most frequent values of text. The pass takes batches, so a table may be larger than
memory; what it keeps of a column are the mergeable sketches of `thrive.statistics`, which
monitoring reads as well. Of columns that hold personal data only counts are kept: values never
enter a report.
"""

import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from thrive.data.histogram import equal_bins
from thrive.statistics.distinct import DistinctSketch, sketch_distinct
from thrive.statistics.sketch import (
    MOST_RARE,
    CategorySketch,
    NumericSketch,
    merge_numeric,
    numeric_cells,
    sketch_categories,
    sketch_counted,
    sketch_numeric,
)

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TOP = 10
EXACT_ROWS = 200_000
"""Up to so many rows quantiles and distinct values are exact; beyond, they come from sketches."""
BATCH_ROWS = 1_000_000
"""Rows that are taken at a time at most."""
BATCH_CELLS = 16_000_000
"""Cells that are taken at a time at most: two such batches are in memory."""
LONGEST_TEXT = 200
"""Characters kept of a text value."""
SAMPLE = 1_000
"""Values of a text column that are looked at for personal data, spread over the rows."""
_GOLDEN = 0.6180339887498949
"""Spread rows are uneven by this, so that rows which come in turns are all met."""
_YARDSTICK = 20_000
"""Rows of the first batch that centre and scale the cells of a numeric sketch."""
_MOST_COUNTED = 500_000
"""Different texts of a column that are counted at a time; the rarest beyond them are dropped."""
_REPEATED = 0.5
"""A text column with at most this share of different values at its head is counted by text."""
_FAR = 1 << 62
"""Whole numbers up to here have differences in 64 bits."""
_NEARLY_UNIQUE = 0.9
"""A text column with so many different values among its rows is a key: nothing is frequent."""

Sketch = NumericSketch | CategorySketch


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What one pass over a table found.

    Attributes:
        rows: how many.
        exact: quantiles and distinct values were counted exactly.
        columns: JSON values by column: `{missing, distinct, min, max, mean, std, quantiles:
            {share: value}, histogram: {edges, counts}, top: [[value, count], ...]}`, as far as a
            column has it.
        sketches: the counters of each numeric and category column.
        samples: spread values of columns of text, whole numbers, lists and structures, to look for
            personal data in.
    """

    rows: int
    exact: bool
    columns: dict[str, dict[str, Any]]
    sketches: dict[str, Sketch]
    samples: "dict[str, pl.Series]"


def profile(frame: "pl.LazyFrame | pl.DataFrame") -> Profile:
    """Return the profile of a table, read once; a lazy one is read in batches."""
    import polars as pl

    if isinstance(frame, pl.DataFrame):
        return _profiled(frame.schema, iter([frame]))
    schema = frame.collect_schema()
    return _profiled(schema, _batches(frame))


def _batches(frame: "pl.LazyFrame") -> "Iterator[pl.DataFrame]":
    rows = min(BATCH_ROWS, max(BATCH_CELLS // max(len(frame.collect_schema()), 1), 1))
    return iter(frame.collect_batches(chunk_size=rows, maintain_order=True))


def _profiled(schema: "pl.Schema", batches: "Iterator[pl.DataFrame]") -> Profile:
    counters = {name: _Column(kind) for name, kind in schema.items()}
    rows = 0
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for batch in batches:
            rows += batch.height
            for _ in pool.map(_Column.add, counters.values(), batch.get_columns()):
                pass
        found = dict(zip(counters, pool.map(_Column.read, counters.values()), strict=True))
    return Profile(
        rows=rows,
        exact=rows <= EXACT_ROWS,
        columns=found,
        sketches={
            name: sketch
            for name, counter in counters.items()
            if (sketch := counter.sketch()) is not None
        },
        samples={
            name: sample
            for name, counter in counters.items()
            if (sample := counter.sample()) is not None
        },
    )


class _Counted(NamedTuple):
    """The different whole numbers of a batch in rising order, and how often each stands there."""

    values: "pl.Series"
    rows: "NDArray[np.int64]"


def _counted(numbers: "pl.Series") -> _Counted | None:
    """Count whole numbers by value; None where they lie too far apart for that."""
    import numpy as np
    import polars as pl

    if not len(numbers):
        return None
    low, high = cast("int", numbers.min()), cast("int", numbers.max())
    if not -_FAR < low <= high < _FAR or high - low >= len(numbers):
        return None
    counts = np.bincount(numbers.cast(pl.Int64).to_numpy() - low)
    there = np.flatnonzero(counts)
    return _Counted(pl.Series(there + low, dtype=numbers.dtype), counts[there])


class _Column:
    """The counters of one column, filled batch by batch."""

    def __init__(self, kind: "pl.DataType") -> None:
        import polars as pl

        self._kind = kind
        opaque = any(kind == each for each in (pl.Object, pl.Binary, pl.Null))
        self._flat = not (kind.is_nested() or opaque)
        self._is_number = kind.is_numeric()
        self._is_text = any(kind == each for each in (pl.String, pl.Categorical, pl.Enum))
        self._is_flag = kind == pl.Boolean
        self._is_moment = _is_moment(kind)
        self._rows = self._missing = 0
        self._low: Any = None
        self._high: Any = None
        self._distinct: DistinctSketch | None = None
        self._numbers: NumericSketch | None = None
        self._counts: pl.DataFrame | None = None
        self._whole: pl.Series | None = None
        self._unique_like = False
        self._seen: list[pl.Series] = []

    def add(self, values: "pl.Series") -> None:
        """Count one more batch."""
        present = values.fill_nan(None) if self._kind.is_float() else values
        self._rows += len(values)
        self._missing += present.null_count()
        if not self._flat:
            if self._kind.is_nested():
                self._seen.append(spread(present.drop_nulls()))
            return
        present = present.drop_nulls()
        words = self._words(present) if self._is_text or self._is_flag else None
        counted = _counted(present) if self._kind.is_integer() else None
        first, self._whole = self._whole, None
        if self._rows == len(values) <= EXACT_ROWS:
            self._whole = present
        else:
            different = present if words is None else words["value"]
            different = different if counted is None else counted.values
            self._count_distinct(different if first is None else first.append(present))
        if self._is_number or self._kind.is_temporal():
            self._widen(present)
        if self._is_number or self._is_flag or self._is_moment:
            self._count_numbers(values, counted)
        if self._is_text or self._is_flag:
            self._count_words(present, words)
        if self._is_text or self._kind.is_integer():
            self._seen.append(spread(present))

    def _words(self, present: "pl.Series") -> "pl.DataFrame | None":
        """Count texts at once where few differ: what differs is then counted among few."""
        head = present.head(_YARDSTICK)
        return word_counts(present) if head.n_unique() <= _REPEATED * head.len() else None

    def _count_distinct(self, present: "pl.Series") -> None:
        import polars as pl

        if self._is_text or self._is_flag:
            present = present.cast(pl.String)  # a category's hash is not that of its text
        counted = sketch_distinct(present.hash().to_numpy())
        self._distinct = counted if self._distinct is None else self._distinct + counted

    def _widen(self, present: "pl.Series") -> None:
        if present.len():
            low, high = present.min(), present.max()
            self._low = low if self._low is None else min(self._low, low)
            self._high = high if self._high is None else max(self._high, high)

    def _count_numbers(self, values: "pl.Series", counted: _Counted | None) -> None:
        if self._numbers is None:
            step = max(1, len(values) // _YARDSTICK)
            self._numbers = numeric_cells(as_floats(values.gather_every(step)))
        if counted is None:
            more = sketch_numeric(as_floats(values), self._numbers)
        else:
            missing = len(values) - int(counted.rows.sum())
            once = as_floats(counted.values)
            more = sketch_counted(once, counted.rows, missing, self._numbers)
        self._numbers = merge_numeric([self._numbers, more]) if self._numbers.rows else more

    def _count_words(self, present: "pl.Series", words: "pl.DataFrame | None") -> None:
        import polars as pl

        if self._is_key():
            self._unique_like, self._counts = True, None
            return
        words = word_counts(present) if words is None else words
        if self._counts is not None:
            both = pl.concat([self._counts, words])
            words = both.group_by("value").agg(pl.col("count").sum())
        if words.height > _MOST_COUNTED:
            words = words.top_k(_MOST_COUNTED, by="count")
        self._counts = words

    def _is_key(self) -> bool:
        if self._unique_like or self._whole is not None or self._distinct is None:
            return self._unique_like
        return self._distinct.estimate() > _NEARLY_UNIQUE * (self._rows - self._missing)

    def sample(self) -> "pl.Series | None":
        """Return spread values to look for personal data in; None where nobody looks."""
        import polars as pl

        return spread(pl.concat(self._seen)) if self._seen else None

    def read(self) -> dict[str, Any]:
        """Return what was counted as JSON values."""
        found: dict[str, Any] = {"missing": self._missing}
        if not self._flat:
            return found
        found["distinct"] = self._different()
        if self._is_number or self._kind.is_temporal():
            found |= {"min": plain(self._low), "max": plain(self._high)}
        if self._numbers is not None and self._is_number:
            found |= self._of_numbers(self._numbers)
        if self._numbers is not None and not self._is_flag:
            found["histogram"] = self._histogram(self._numbers)
        if self._is_text or self._is_flag:
            found["top"] = self._top()
        return found

    def _different(self) -> int:
        if self._whole is not None:
            return self._whole.n_unique()
        estimated = self._distinct.estimate() if self._distinct is not None else 0
        return min(estimated, self._rows - self._missing)

    def _of_numbers(self, numbers: NumericSketch) -> dict[str, Any]:
        if self._whole is None or not self._whole.len():
            values = [numbers.quantile(share) for share in QUANTILES]
        else:
            values = _nearest(as_floats(self._whole))
        return {
            "mean": plain(numbers.mean),
            "std": plain(numbers.standard_deviation),
            "quantiles": {
                f"{share:g}": plain(value) for share, value in zip(QUANTILES, values, strict=True)
            },
        }

    def _histogram(self, numbers: NumericSketch) -> dict[str, Any]:
        made = equal_bins(numbers)
        if not self._is_moment:
            return made
        edges = [datetime.fromtimestamp(edge / 1e6, UTC).isoformat() for edge in made["edges"]]
        return {**made, "edges": edges}

    def _top(self) -> list[list[Any]]:
        import polars as pl

        if self._counts is None:
            return []
        ranked = self._counts.sort("count", "value", descending=[True, False]).head(TOP)
        words = [str(word)[:LONGEST_TEXT] for word in ranked["value"]]
        flags = {"true": True, "false": False}
        kept = [flags[word] for word in words] if self._kind == pl.Boolean else words
        return [[value, count] for value, count in zip(kept, ranked["count"], strict=True)]

    def sketch(self) -> Sketch | None:
        """Return the counters that monitoring compares with, as far as the column has some."""
        if self._is_number or self._is_flag:
            return self._numbers
        if self._counts is None:
            return None
        return category_sketch(self._counts, self._missing)


def spread(values: "pl.Series", count: int = SAMPLE) -> "pl.Series":
    """Return so many values from all over a column, the same ones each time; all if it has less."""
    import numpy as np

    if values.len() <= count:
        return values
    numbers = np.arange(count)
    places = (numbers + numbers * _GOLDEN % 1) * values.len() / count
    return values.gather(places.astype(np.int64))


def word_counts(present: "pl.Series") -> "pl.DataFrame":
    """Return how often each text stands in a column: `value`, `count`."""
    import polars as pl

    return present.cast(pl.String).alias("value").value_counts(name="count")


def category_sketch(
    counts: "pl.DataFrame", missing: int, baseline: CategorySketch | None = None
) -> CategorySketch:
    """Return the sketch of counted texts without making a Python object of each.

    Args:
        counts: columns `value` and `count`, one row a text.
        missing: rows without a value.
        baseline: whose names are counted; None makes a baseline.
    """
    few = counts.height <= MOST_RARE
    kept = counts if few else counts.top_k(MOST_RARE, by="count")
    named: dict[Any, int] = dict(zip(kept["value"].to_list(), kept["count"].to_list(), strict=True))
    if missing:
        named[None] = missing
    made = sketch_categories(named, baseline)
    if few:
        return made
    rest = int(counts["count"].sum()) - int(kept["count"].sum())
    return msgspec.structs.replace(
        made, other=made.other + rest, complete=False, rare=made.rare[:0]
    )


def _is_moment(kind: "pl.DataType") -> bool:
    import polars as pl

    return kind == pl.Datetime or kind.is_(pl.Date)


def as_floats(values: "pl.Series") -> Any:
    """Return numbers, flags and moments (UTC microseconds) as float64 with NaN."""
    import polars as pl

    if _is_moment(values.dtype):
        values = values.cast(pl.Datetime("us")).dt.epoch("us")
    return values.cast(pl.Float64, strict=False).to_numpy().astype("float64", copy=False)


def _nearest(values: Any) -> list[float]:
    import numpy as np

    return np.quantile(values, QUANTILES, method="nearest").tolist()


def plain(value: Any) -> Any:
    """Return a value as JSON holds it: times as ISO 8601, numbers without a value as None."""
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value[:LONGEST_TEXT] if isinstance(value, str) else value


def pack_sketches(sketches: Mapping[str, Sketch]) -> bytes:
    """Return sketches by column as bytes, to be kept as a blob."""
    return msgspec.msgpack.encode(
        {
            name: [isinstance(sketch, NumericSketch), sketch.to_bytes()]
            for name, sketch in sketches.items()
        }
    )


def unpack_sketches(data: bytes) -> dict[str, Sketch]:
    """Return what `pack_sketches` packed.

    Raises:
        Damaged: a sketch cannot be read.
    """
    packed = msgspec.msgpack.decode(data, type=dict[str, tuple[bool, bytes]])
    return {
        name: (NumericSketch if numeric else CategorySketch).from_bytes(each)
        for name, (numeric, each) in packed.items()
    }
