"""Trees evaluated by looking up sets of leaves instead of walking nodes.

Each leaf of a tree is one bit of a word. For every column and every interval between two
thresholds (or every category), the leaves that survive all decisions on that column are known
beforehand: one row of a table, one word for each tree. The answer for a row of data is the AND of
one table row for each column; exactly one bit per tree survives, and it names the leaf. The cost
does not depend on the depth of the trees, and every step is one array operation over all trees.

Follows QuickScorer (Lucchese et al., SIGIR 2015, doi:10.1145/2766462.2767733), with both branches
excluded and the per-feature sets tabulated, which is affordable as histogram boosting has at most
255 thresholds a feature.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.packaging.formats.arrays import distinct
from thrive.packaging.formats.preparation import (
    Feature,
    Lookup,
    Number,
    Vocabulary,
    length,
    numbers,
    vocabularies,
)

MAX_TABLE_BYTES = 256 << 20
_WORD_CHUNK = 1 << 16
_SMALL = 8
Words = NDArray[np.unsignedinteger[Any]]


class Trees(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes of all trees, one after the other; children are places in these arrays.

    Arrays have one entry a node: `feature`, `threshold`, `left`, `right` (-1 in a leaf),
    `missing_left`, `value` (of a leaf), `category_set` (a row of `sets`, or -1 for a threshold).
    `tree` is the number of each node's tree; `roots` and `output` have one entry a tree.
    """

    feature: NDArray[np.intp]
    threshold: NDArray[np.float64]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    missing_left: NDArray[np.bool_]
    value: NDArray[np.float64]
    category_set: NDArray[np.intp]
    sets: NDArray[np.uint32]
    tree: NDArray[np.intp]
    roots: NDArray[np.intp]
    output: NDArray[np.intp]


class _Leaves(msgspec.Struct, frozen=True):
    """Words of surviving leaves: per node those below it; bits a word; words a tree."""

    below: Words
    bits: int
    rank: NDArray[np.intp]


class NumberAxis(msgspec.Struct, frozen=True):
    """Table rows `start + interval` for a number, `missing` for NaN, `empty` for what was not sent.

    The last two differ where a missing value is filled.
    """

    feature: Number
    thresholds: NDArray[np.float64]
    listed: list[float]
    start: int
    missing: int
    plain: bool
    empty: int = 0

    @property
    def source(self) -> str:
        """The column that it reads."""
        return self.feature.source


class LookupAxis(msgspec.Struct, frozen=True):
    """Table rows `start + vocabulary row` for a value."""

    vocabulary: Vocabulary
    start: int

    @property
    def source(self) -> str:
        """The column that it reads."""
        return self.vocabulary.source


Axis = NumberAxis | LookupAxis


def table_bytes(trees: Trees, features: tuple[Feature, ...]) -> int:
    """Return the size that the table of these trees would have, before building it."""
    leaves = np.bincount(trees.tree[trees.left < 0], minlength=len(trees.roots))
    bits, words = _word_layout(int(leaves.max(initial=1)))
    inner = trees.left >= 0
    rows = 1 + sum(
        2 + len(distinct(trees.threshold[inner & (trees.feature == number)]))
        for number, feature in enumerate(features)
        if isinstance(feature, Number)
    )
    rows += sum(vocabulary.missing + 1 for vocabulary in vocabularies(features).values())
    columns = len(trees.roots) * words
    return (rows * columns + len(trees.left) * words) * bits // 8


def _word_layout(leaves: int) -> tuple[int, int]:
    bits = next((size for size in (8, 16, 32, 64) if leaves <= size), 64)
    return bits, -(-leaves // bits)


class LeafTables:
    """All trees of a model, compiled; `raw` adds up the leaf values.

    Args:
        trees: nodes that passed validation.
        features: how each feature number is prepared from the request's columns.
        outputs: how many values one row has (1, or the number of classes).
    """

    def __init__(self, trees: Trees, features: tuple[Feature, ...], outputs: int) -> None:
        leaves = _leaf_words(trees)
        words = leaves.below.shape[1]
        order = np.argsort(trees.output, kind="stable")
        column = np.empty(len(order), dtype=np.intp)
        column[order] = np.arange(len(order))
        width = len(order) * words
        blocks = [leaves.below[trees.roots][order].reshape(1, width)]
        self.axes: list[Axis] = []
        start = 1
        for axis, block in _compile_axes(trees, features, leaves, column):
            self.axes.append(_placed(axis, start))
            blocks.append(block.reshape(len(block), width))
            start += len(block)
        self._table: Words = np.ascontiguousarray(np.concatenate(blocks))
        self._one = self._table.dtype.type(1)
        slots = leaves.bits + 1
        self._offsets = np.arange(width) * slots
        self._values = _leaf_values(trees, leaves, column, width, slots)
        per_output = np.bincount(trees.output, minlength=outputs) * words
        self._slices = np.concatenate([[0], np.cumsum(per_output)]).tolist()
        self._outputs = outputs
        self._plan: list[tuple[Axis, int]] | None = None

    def raw(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the sums of leaf values, shape (n, outputs)."""
        count = length(columns)
        if count <= _SMALL:
            picked = np.empty((count, len(self.axes) + 1), dtype=np.intp)
            for row in range(count):
                picked[row] = self._row_of(columns, row)
            alive = np.bitwise_and.reduce(self._table.take(picked, axis=0), axis=1)
            return self._sum(alive)
        return self._many(columns, count)

    def raw_rows(
        self, rows: Sequence[tuple[Any, ...]], place_of: Mapping[str, int]
    ) -> NDArray[np.float64]:
        """Return the sums of leaf values of rows of values; `place_of` a column in a row."""
        if len(rows) > _SMALL:
            used = {axis.source for axis in self.axes}
            by_place = list(zip(*rows, strict=True))
            columns = {name: _column(by_place[place_of[name]]) for name in used}
            return self._many(columns, len(rows))
        if self._plan is None:
            self._plan = [(axis, place_of[axis.source]) for axis in self.axes]
        picked = np.array([self._places_of(row) for row in rows], dtype=np.intp)
        return self._sum(np.bitwise_and.reduce(self._table.take(picked, axis=0), axis=1))

    def _places_of(self, row: tuple[Any, ...]) -> list[int]:
        assert self._plan is not None
        picked = [0]
        for axis, at in self._plan:
            value = row[at]
            if isinstance(axis, LookupAxis):
                place = axis.start + axis.vocabulary.row(value)
            elif value is None:
                place = axis.empty
            elif axis.plain:
                place = axis.start + bisect_left(axis.listed, value)
            else:
                number = float(numbers(axis.feature, np.array([value], dtype=np.float64))[0])
                place = axis.start + bisect_left(axis.listed, number)
            picked.append(place)
        return picked

    def _row_of(self, columns: Mapping[str, NDArray[Any]], row: int) -> list[int]:
        picked = [0]
        for axis in self.axes:
            if isinstance(axis, NumberAxis):
                source = columns[axis.feature.source]
                if axis.plain:
                    value = float(source[row])
                else:
                    value = float(numbers(axis.feature, source[row : row + 1])[0])
                missing = value != value  # noqa: PLR0124 - NaN is what differs from itself
                place = axis.missing if missing else axis.start + bisect_left(axis.listed, value)
            else:
                vocabulary = axis.vocabulary
                place = axis.start + vocabulary.row(columns[vocabulary.source].item(row))
            picked.append(place)
        return picked

    def _many(self, columns: Mapping[str, NDArray[Any]], count: int) -> NDArray[np.float64]:
        places = [self._places(axis, columns) for axis in self.axes]
        chunk = max(16, _WORD_CHUNK // self._table.shape[1])
        result = np.empty((count, self._outputs))
        buffer = np.empty((chunk, self._table.shape[1]), dtype=self._table.dtype)
        alive = np.empty_like(buffer)
        for begin in range(0, count, chunk):
            rows = min(chunk, count - begin)
            alive[:rows] = self._table[0]
            for place in places:
                part = buffer[:rows]
                self._table.take(place[begin : begin + rows], axis=0, out=part, mode="clip")
                np.bitwise_and(alive[:rows], part, out=alive[:rows])
            result[begin : begin + rows] = self._sum(alive[:rows])
        return result

    def _places(self, axis: Axis, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.intp]:
        if isinstance(axis, LookupAxis):
            return axis.vocabulary.rows(columns[axis.vocabulary.source]) + axis.start
        values = numbers(axis.feature, columns[axis.feature.source])
        places = np.searchsorted(axis.thresholds, values) + axis.start
        places[np.isnan(values)] = axis.missing
        return places

    def _sum(self, alive: Words) -> NDArray[np.float64]:
        """Add the values of the surviving leaves; a word without one counts `bits` ones."""
        slots = np.bitwise_count(alive - self._one) + self._offsets
        values = self._values.take(slots)
        if self._outputs == 1:
            return values.sum(axis=1, keepdims=True)
        ends = self._slices
        sums = [values[:, ends[k] : ends[k + 1]].sum(axis=1) for k in range(self._outputs)]
        return np.stack(sums, axis=1)


def _leaf_words(trees: Trees) -> _Leaves:
    """Number each tree's leaves, and gather the leaves below each node from the deepest up."""
    is_leaf = trees.left < 0
    before = np.concatenate([[0], np.cumsum(is_leaf)])
    rank = before[:-1] - before[trees.roots][trees.tree]
    most = int(np.bincount(trees.tree[is_leaf]).max())
    bits, words = _word_layout(most)
    below = np.zeros((len(is_leaf), words), dtype=f"u{bits // 8}")
    one = below.dtype.type(1)
    leaf_rank = rank[is_leaf]
    below[is_leaf, leaf_rank // bits] = np.left_shift(
        one, (leaf_rank % bits).astype(below.dtype), dtype=below.dtype
    )
    levels: list[NDArray[np.intp]] = []
    level = trees.roots[~is_leaf[trees.roots]]
    while len(level):
        levels.append(level)
        children = np.concatenate([trees.left[level], trees.right[level]])
        level = children[~is_leaf[children]]
    for level in reversed(levels):
        below[level] = below[trees.left[level]] | below[trees.right[level]]
    return _Leaves(below, bits, rank)


def _leaf_values(
    trees: Trees, leaves: _Leaves, column: NDArray[np.intp], width: int, slots: int
) -> NDArray[np.float64]:
    values = np.zeros((width, slots))
    places = np.flatnonzero(trees.left < 0)
    words = leaves.below.shape[1]
    rank = leaves.rank[places]
    columns = column[trees.tree[places]] * words + rank // leaves.bits
    values[columns, rank % leaves.bits] = trees.value[places]
    return values.ravel()


def _compile_axes(
    trees: Trees, features: tuple[Feature, ...], leaves: _Leaves, column: NDArray[np.intp]
) -> list[tuple[Axis, Words]]:
    """Return each axis with its block of the table, shape (rows, trees, words)."""
    used: dict[int, NDArray[np.intp]] = {}
    inner = np.flatnonzero(trees.left >= 0)
    for number in distinct(trees.feature[inner]).tolist():
        used[number] = inner[trees.feature[inner] == number]
    compiled: list[tuple[Axis, Words]] = []
    lookups: dict[str, list[tuple[Lookup, NDArray[np.intp]]]] = {}
    for number, nodes in used.items():
        feature = features[number]
        if isinstance(feature, Number):
            compiled.append(_number_axis(trees, feature, nodes, leaves, column))
        else:
            lookups.setdefault(feature.source, []).append((feature, nodes))
    compiled.extend(_lookup_axis(trees, group, leaves, column) for group in lookups.values())
    return compiled


def _survivors(trees: Trees, nodes: NDArray[np.intp], leaves: _Leaves) -> tuple[Words, Words]:
    """Return which leaves survive if each node goes left, and if it goes right."""
    return ~leaves.below[trees.right[nodes]], ~leaves.below[trees.left[nodes]]


def _number_axis(
    trees: Trees,
    feature: Number,
    nodes: NDArray[np.intp],
    leaves: _Leaves,
    column: NDArray[np.intp],
) -> tuple[Axis, Words]:
    thresholds, rank = np.unique(trees.threshold[nodes], return_inverse=True)
    go_left, go_right = _survivors(trees, nodes, leaves)
    at = column[trees.tree[nodes]]
    rows = len(thresholds) + 1
    shape = (rows, len(trees.roots), leaves.below.shape[1])
    full = ~leaves.below.dtype.type(0)
    lower: Words = np.full(shape, full)
    upper: Words = lower.copy()
    np.bitwise_and.at(lower, (rank, at), go_left)
    np.bitwise_and.at(upper, (rank + 1, at), go_right)
    lower = np.bitwise_and.accumulate(lower[::-1], axis=0)[::-1]
    upper = np.bitwise_and.accumulate(upper, axis=0)
    missing: Words = np.full(shape[1:], full)
    toward = np.where(trees.missing_left[nodes][:, None], go_left, go_right)
    np.bitwise_and.at(missing, at, toward)
    plain = feature.fill is None and feature.center == 0.0 and feature.scale == 1.0
    axis = NumberAxis(feature, thresholds, thresholds.tolist(), 0, rows, plain)
    np.bitwise_and(lower, upper, out=lower)
    return axis, np.concatenate([lower, missing[None]])


def _lookup_axis(
    trees: Trees,
    group: list[tuple[Lookup, NDArray[np.intp]]],
    leaves: _Leaves,
    column: NDArray[np.intp],
) -> tuple[Axis, Words]:
    vocabulary = Vocabulary([lookup for lookup, _ in group])
    rows = vocabulary.missing + 1
    block = np.full((rows, len(trees.roots), leaves.below.shape[1]), ~leaves.below.dtype.type(0))
    for lookup, nodes in group:
        go_left, go_right = _survivors(trees, nodes, leaves)
        at = column[trees.tree[nodes]]
        left = _goes_left(trees, nodes, vocabulary.codes(lookup))
        for row in range(rows):
            toward = np.where(left[:, row, None], go_left, go_right)
            np.bitwise_and.at(block[row], at, toward)
    return LookupAxis(vocabulary, 0), block


def _goes_left(
    trees: Trees, nodes: NDArray[np.intp], codes: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return whether each node (rows) sends each code (columns) left."""
    left = codes[None, :] <= trees.threshold[nodes][:, None]
    known = ~np.isnan(codes)
    by_set = trees.category_set[nodes] >= 0
    if by_set.any():
        members = trees.sets[trees.category_set[nodes[by_set]]]
        category = np.where(known, codes, 0).astype(np.uint32)
        left[by_set] = (members[:, category >> 5] >> (category & 31)) & 1
    return np.where(known[None, :], left, trees.missing_left[nodes][:, None])


def _placed(axis: Axis, start: int) -> Axis:
    if isinstance(axis, LookupAxis):
        return LookupAxis(axis.vocabulary, start)
    missing = start + axis.missing
    filled = float(numbers(axis.feature, np.array([np.nan]))[0])
    empty = missing if np.isnan(filled) else start + bisect_left(axis.listed, filled)
    return msgspec.structs.replace(axis, start=start, missing=missing, empty=empty)


def _column(values: Sequence[Any]) -> NDArray[Any]:
    """Return one column of rows: numbers as they are, texts as objects."""
    if any(type(value) is str for value in values):
        column = np.empty(len(values), dtype=object)
        column[:] = values
        return column
    return np.array(values, dtype=np.float64)
