"""Mergeable counters of one column: everything monitoring knows of a feature in a window.

`NumericSketch` counts values in the fixed cells of `cells`; their centre and scale come from the
baseline, so windows, servers and hours add up by `+`. `CategorySketch` counts the baseline's most
frequent values by name.

Memory a column is bounded: at most 65 280 cells, or `TOP` names. Window sketches must be made with
the baseline's sketch, otherwise they cannot be compared.
"""

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from thrive.domain.errors import Damaged, UsageError
from thrive.statistics.arrays import Floats, Integers, column, floats
from thrive.statistics.cells import (
    CELLS,
    baseline_cells,
    cell_edges,
    cells_of,
    count_cells,
    steady_cells,
    sum_of_squares,
)

TOP = 200
"""Categories counted by name; the rest of the baseline's counts as "other"."""
MOST_RARE = 50_000
"""Rare categories a baseline remembers by hash; beyond, new ones cannot be told from old."""
NEW_EXAMPLES = 20
FORMAT = 1

_Stored = TypeVar("_Stored", bound="_StoredNumeric | _StoredCategory")
_Sketch = TypeVar("_Sketch")


class NumericSketch(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Counts of a numeric column in fixed cells.

    `cells` holds the occupied cells in rising order of value, `counts` how many values each has.
    NaN counts as missing. Infinite values have cells of their own and stand outside the sums.
    """

    centre: float
    scale: float
    cells: NDArray[np.uint16]
    counts: Integers
    missing: int
    infinite: int
    minimum: float
    maximum: float
    total: float
    squares: float
    """sum of squared distances from the centre, so that large values do not cancel"""

    @property
    def present(self) -> int:
        """Values that are not missing."""
        return int(self.counts.sum())

    @property
    def rows(self) -> int:
        """All rows, the missing ones too."""
        return self.present + self.missing

    @property
    def mean(self) -> float:
        """Mean of the finite values; NaN without any."""
        finite = self.present - self.infinite
        return self.total / finite if finite else math.nan

    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the finite values (n - 1); NaN below two."""
        finite = self.present - self.infinite
        if finite < 2:
            return math.nan
        off_centre = (self.mean - self.centre) ** 2 * finite
        return math.sqrt(max(0.0, self.squares - off_centre) / (finite - 1))

    def __add__(self, other: "NumericSketch") -> "NumericSketch":
        return merge_numeric([self, other])

    def quantile(self, share: float) -> float:
        """The value below which that share lies, to within one cell; NaN when empty."""
        if not len(self.cells):
            return math.nan
        wanted = share * self.present
        cumulative = np.cumsum(self.counts)
        at = min(int(np.searchsorted(cumulative, wanted, "left")), len(self.cells) - 1)
        inside = (wanted - (cumulative[at] - self.counts[at])) / self.counts[at]
        low, high = self._bounds(int(self.cells[at]))
        if low == high:
            return low
        return float(low + (high - low) * min(1.0, max(0.0, float(inside))))

    def _bounds(self, cell: int) -> tuple[float, float]:
        edges = cell_edges()[cell : cell + 2] * self.scale + self.centre
        low, high = np.clip(edges, self.minimum, self.maximum)
        return float(low), float(high)

    def bin_borders(self, bins: int = 10) -> Integers:
        """Cells at which new bins start: this column's quantiles, snapped to cells.

        A value that holds a bin's worth of rows by itself gets a bin of its own, and below the
        smallest and above the largest value lies one more bin: a constant column has three.
        """
        if not len(self.cells):
            return np.empty(0, dtype=np.int64)
        cells = self.cells.astype(np.int64)
        cumulative = np.cumsum(self.counts)
        wanted = self.present * np.arange(1, bins) / bins
        at = np.searchsorted(cumulative, wanted, "left")
        heavy = cells[self.counts >= self.present / bins]
        ends = np.array([cells[0], cells[-1] + 1])
        return np.unique(np.concatenate([cells[at] + 1, heavy, heavy + 1, ends]))

    def histogram(self, borders: Integers) -> Integers:
        """Counts between borders of `bin_borders` (of the baseline): len(borders) + 1 bins."""
        bins = np.searchsorted(borders, self.cells.astype(np.int64), "right")
        return np.bincount(bins, weights=self.counts, minlength=len(borders) + 1).astype(np.int64)

    def border_values(self, borders: Integers) -> Floats:
        """The borders in the column's own unit."""
        return cell_edges()[borders] * self.scale + self.centre

    def ks_distance(self, other: "NumericSketch") -> float:
        """Largest difference of the two distribution functions, to within one cell's mass."""
        self.check_same(other)
        if not self.present or not other.present:
            return math.nan
        mine = np.concatenate([[0.0], np.cumsum(self.counts) / self.present])
        theirs = np.concatenate([[0.0], np.cumsum(other.counts) / other.present])
        at_mine = theirs[np.searchsorted(other.cells, self.cells, "right")]
        at_theirs = mine[np.searchsorted(self.cells, other.cells, "right")]
        return float(max(np.abs(mine[1:] - at_mine).max(), np.abs(theirs[1:] - at_theirs).max()))

    def check_same(self, other: "NumericSketch") -> None:
        """Refuse to mix sketches of different baselines."""
        if (self.centre, self.scale) != (other.centre, other.scale):
            raise UsageError(
                f"the sketches have different cells: centre {self.centre} and {other.centre}, "
                f"scale {self.scale} and {other.scale}",
                "make both with the same baseline: sketch_numeric(values, baseline)",
            )

    def to_bytes(self) -> bytes:
        """The sketch as bytes: msgpack, its counts packed and deflated."""
        packed = _narrow(self.counts)
        stored = _StoredNumeric(
            format=FORMAT,
            numbers=(self.centre, self.scale, self.minimum, self.maximum, self.total, self.squares),
            missing=self.missing,
            infinite=self.infinite,
            width=packed.itemsize,
            cells=zlib.compress(np.diff(self.cells, prepend=0).astype("<u2").tobytes(), 1),
            counts=zlib.compress(packed.tobytes(), 1),
        )
        return msgspec.msgpack.encode(stored)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            Damaged: if the bytes are not a numeric sketch.
        """
        stored = _read(data, _StoredNumeric)
        centre, scale, minimum, maximum, total, squares = stored.numbers
        steps = np.frombuffer(zlib.decompress(stored.cells), dtype="<u2")
        counts = np.frombuffer(zlib.decompress(stored.counts), dtype=f"<u{stored.width}")
        return cls(
            centre=centre,
            scale=scale,
            cells=np.cumsum(steps, dtype=np.uint16),
            counts=counts.astype(np.int64),
            missing=stored.missing,
            infinite=stored.infinite,
            minimum=minimum,
            maximum=maximum,
            total=total,
            squares=squares,
        )


class _StoredNumeric(msgspec.Struct, array_like=True, tag="numeric"):
    format: int
    numbers: tuple[float, float, float, float, float, float]
    missing: int
    infinite: int
    width: int
    cells: bytes
    counts: bytes


def _narrow(counts: Integers) -> NDArray[Any]:
    largest = int(counts.max()) if len(counts) else 0
    width = next(w for w in (1, 2, 4, 8) if largest < 1 << (8 * w))
    return counts.astype(f"<u{width}")


def _read(data: bytes, kind: type[_Stored]) -> _Stored:
    try:
        stored = msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise Damaged(f"these bytes are no sketch: {error}", "make the sketch again") from error
    if stored.format != FORMAT:
        raise Damaged(f"sketch format {stored.format} is unknown", "read it with a newer Thrive")
    return stored


def sketch_numeric(values: ArrayLike, baseline: NumericSketch | None = None) -> NumericSketch:
    """Count a numeric column.

    Args:
        values: numbers or booleans; NaN and None are missing.
        baseline: the sketch that fixes the cells; None makes this sketch a baseline.
    """
    array = column(values).astype(np.float64, copy=False)
    centre, scale = (baseline.centre, baseline.scale) if baseline else baseline_cells(array)
    good = np.isfinite(array)
    finite, odd = (array, array[:0]) if good.all() else (array[good], array[~good])
    infinite = odd[~np.isnan(odd)]
    present = np.concatenate([finite, infinite]) if len(infinite) else finite
    cells, counts = count_cells(present, centre, scale)
    with np.errstate(over="ignore"):
        total = float(finite.sum())
    return NumericSketch(
        centre=centre,
        scale=scale,
        cells=cells.astype(np.uint16),
        counts=counts,
        missing=len(odd) - len(infinite),
        infinite=len(infinite),
        minimum=float(present.min(initial=math.inf)),
        maximum=float(present.max(initial=-math.inf)),
        total=total,
        squares=sum_of_squares(finite, centre),
    )


def numeric_cells(values: ArrayLike) -> NumericSketch:
    """Return a sketch without values, whose cells fit a column; sketches made with it add up.

    Args:
        values: some of the column, spread over it. Columns that are almost the same get the same
            cells.
    """
    centre, scale = steady_cells(floats(values))
    none = np.empty(0, dtype=np.int64)
    return NumericSketch(
        centre=centre,
        scale=scale,
        cells=none.astype(np.uint16),
        counts=none,
        missing=0,
        infinite=0,
        minimum=math.inf,
        maximum=-math.inf,
        total=0.0,
        squares=0.0,
    )


def sketch_counted(
    values: Floats, counts: Integers, missing: int, baseline: NumericSketch
) -> NumericSketch:
    """Count a column of which each different value is there once, with how often it stands there.

    Args:
        values: the different values in rising order, finite.
        counts: rows of each, at least one.
        missing: rows without a value.
        baseline: the sketch that fixes the cells.
    """
    placed = cells_of(values, baseline.centre, baseline.scale)
    first = np.flatnonzero(np.diff(placed, prepend=-1))
    off = values - baseline.centre
    return NumericSketch(
        centre=baseline.centre,
        scale=baseline.scale,
        cells=placed[first].astype(np.uint16),
        counts=np.add.reduceat(counts, first) if len(first) else counts,
        missing=missing,
        infinite=0,
        minimum=float(values.min(initial=math.inf)),
        maximum=float(values.max(initial=-math.inf)),
        total=float((values * counts).sum()),
        squares=float((off * off * counts).sum()),
    )


def merge_numeric(sketches: Sequence[NumericSketch]) -> NumericSketch:
    """Add sketches of the same baseline; the sum of the parts is the sketch of the whole.

    Raises:
        UsageError: if there is none, or their cells differ.
    """
    first = _first(sketches)
    dense = np.zeros(CELLS, dtype=np.int64)
    for sketch in sketches:
        first.check_same(sketch)
        dense[sketch.cells] += sketch.counts
    cells = np.flatnonzero(dense)
    return NumericSketch(
        centre=first.centre,
        scale=first.scale,
        cells=cells.astype(np.uint16),
        counts=dense[cells],
        missing=sum(s.missing for s in sketches),
        infinite=sum(s.infinite for s in sketches),
        minimum=min(s.minimum for s in sketches),
        maximum=max(s.maximum for s in sketches),
        total=sum(s.total for s in sketches),
        squares=sum(s.squares for s in sketches),
    )


def _first(sketches: Sequence[_Sketch]) -> _Sketch:
    if not sketches:
        raise UsageError("there are no sketches to add", "pass at least one")
    return sketches[0]


class CategorySketch(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Counts of a column of categories.

    `names` are the baseline's most frequent values, `counts` their rows. `other` are rows with a
    value the baseline knew but does not name, `new` rows with a value it never saw, `examples` the
    most frequent of those. `rare` holds hashes of the baseline's unnamed values; without room for
    all of them (`complete` is false) unknown values count as other. `singletons` says how many of
    the baseline's values were seen once: from it follows how many new ones are to be expected.
    """

    names: tuple[str, ...]
    counts: Integers
    other: int
    new: int
    missing: int
    examples: dict[str, int]
    rare: NDArray[np.uint32]
    complete: bool
    singletons: int

    @property
    def present(self) -> int:
        """Rows with a value."""
        return int(self.counts.sum()) + self.other + self.new

    @property
    def rows(self) -> int:
        """All rows, the missing ones too."""
        return self.present + self.missing

    def __add__(self, other: "CategorySketch") -> "CategorySketch":
        return merge_categories([self, other])

    def histogram(self) -> Integers:
        """Counts of the named values, then of other, then of new."""
        return np.concatenate([self.counts, np.array([self.other, self.new])])

    def check_same(self, other: "CategorySketch") -> None:
        """Refuse to mix sketches of different baselines."""
        if self.names != other.names:
            raise UsageError(
                "the sketches name different categories",
                "make both with the same baseline: sketch_categories(values, baseline)",
            )

    def to_bytes(self) -> bytes:
        """The sketch as bytes (msgpack)."""
        stored = _StoredCategory(
            format=FORMAT,
            names=self.names,
            counts=self.counts.tolist(),
            rest=(self.other, self.new, self.missing, self.singletons),
            examples=self.examples,
            rare=self.rare.astype("<u4").tobytes(),
            complete=self.complete,
        )
        return msgspec.msgpack.encode(stored)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            Damaged: if the bytes are not a category sketch.
        """
        stored = _read(data, _StoredCategory)
        other, new, missing, singletons = stored.rest
        return cls(
            names=stored.names,
            counts=np.array(stored.counts, dtype=np.int64),
            other=other,
            new=new,
            missing=missing,
            examples=stored.examples,
            rare=np.frombuffer(stored.rare, dtype="<u4").astype(np.uint32),
            complete=stored.complete,
            singletons=singletons,
        )


class _StoredCategory(msgspec.Struct, array_like=True, tag="category"):
    format: int
    names: tuple[str, ...]
    counts: list[int]
    rest: tuple[int, int, int, int]
    examples: dict[str, int]
    rare: bytes
    complete: bool


def _counted(values: Iterable[Any] | Mapping[Any, int]) -> tuple[dict[str, int], int]:
    """Rows by value, and missing rows. None and NaN are missing; other values become text."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    raw: Mapping[Any, int] = values if isinstance(values, Mapping) else Counter(values)
    named: dict[str, int] = {}
    missing = 0
    for value, count in raw.items():
        if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
            missing += count
        else:
            named[str(value)] = named.get(str(value), 0) + count
    return named, missing


def _hash(name: str) -> int:
    # the same in every process; 50 000 of these 32 bits hide a new value once in 80 000
    return zlib.crc32(name.encode("utf-8", "surrogatepass"))


def _most_frequent(counts: Mapping[str, int], most: int) -> dict[str, int]:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:most])


def _baseline_categories(named: dict[str, int], missing: int, top: int) -> CategorySketch:
    chosen = _most_frequent(named, top)
    unnamed = named.keys() - chosen.keys()
    complete = len(unnamed) <= MOST_RARE
    return CategorySketch(
        names=tuple(chosen),
        counts=np.array(list(chosen.values()), dtype=np.int64),
        other=sum(named[name] for name in unnamed),
        new=0,
        missing=missing,
        examples={},
        rare=np.unique(np.array([_hash(n) for n in unnamed if complete], dtype=np.uint32)),
        complete=complete,
        singletons=sum(1 for count in named.values() if count == 1),
    )


def sketch_categories(
    values: Iterable[Any] | Mapping[Any, int],
    baseline: CategorySketch | None = None,
    *,
    top: int = TOP,
) -> CategorySketch:
    """Count a column of categories.

    Args:
        values: one a row, or a mapping from value to rows (a group-by's answer, the fastest way).
            None and NaN are missing.
        baseline: the sketch whose names are counted; None makes this sketch a baseline.
        top: how many values a baseline names.
    """
    named, missing = _counted(values)
    if baseline is None:
        return _baseline_categories(named, missing, top)
    counts = np.array([named.pop(name, 0) for name in baseline.names], dtype=np.int64)
    known = set(baseline.rare.tolist())
    unknown = named.items() if baseline.complete else ()
    new = {name: count for name, count in unknown if _hash(name) not in known}
    return CategorySketch(
        names=baseline.names,
        counts=counts,
        other=sum(named.values()) - sum(new.values()),
        new=sum(new.values()),
        missing=missing,
        examples=_most_frequent(new, NEW_EXAMPLES),
        rare=np.empty(0, dtype=np.uint32),
        complete=baseline.complete,
        singletons=0,
    )


def merge_categories(sketches: Sequence[CategorySketch]) -> CategorySketch:
    """Add sketches of the same baseline; all counts are exact, examples are the most frequent.

    Raises:
        UsageError: if there is none, or their names differ.
    """
    first = _first(sketches)
    examples: Counter[str] = Counter()
    for sketch in sketches:
        first.check_same(sketch)
        examples.update(sketch.examples)
    return CategorySketch(
        names=first.names,
        counts=np.stack([s.counts for s in sketches]).sum(axis=0),
        other=sum(s.other for s in sketches),
        new=sum(s.new for s in sketches),
        missing=sum(s.missing for s in sketches),
        examples=_most_frequent(examples, NEW_EXAMPLES),
        rare=np.unique(np.concatenate([s.rare for s in sketches])),
        complete=all(s.complete for s in sketches),
        singletons=sum(s.singletons for s in sketches),
    )
