"""Search of runs: columns in memory, kept in step with the database by its change feed.

Every search first reads what changed since the one before, in the transaction that then reads the
page: the answer is that of the database at one moment, whoever wrote. Pages go on behind the sort
key of the last run, so runs that come or go between two pages shift none.
"""

import base64
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.domain.errors import UsageError
from thrive.domain.run import Run
from thrive.store import changes, runs
from thrive.store.database import Tx
from thrive.store.experiments import RENAMED
from thrive.store.home import Home
from thrive.tracking.columns import MISSING, Mask, Numbers, Rows, Texts
from thrive.tracking.filters import Comparison, Fields, Kind, Order, text_test

RUN_FIELDS = Fields(
    attributes={
        "run_id": "text",
        "run_name": "text",
        "status": "text",
        "user_id": "text",
        "artifact_uri": "text",
        "experiment_id": "text",
        "start_time": "number",
        "end_time": "number",
    },
    aliases={
        "run name": "run_name",
        "Run name": "run_name",
        "Run Name": "run_name",
        "name": "run_name",
        "created": "start_time",
        "Created": "start_time",
    },
)
USER_TAG = "mlflow.user"
"""Where a client says who runs it; without it, who sent the run stands."""
_ARTIFACT_URI = "artifact_uri"
_MILLISECOND = 1000
"""Times are asked for in milliseconds, and kept in microseconds."""
_RELOADED = 20_000
"""From how many changed runs on all are read again: one pass is faster than many small queries."""
_LOADED = 400
"""Runs that are read into an empty index at a time."""
_SELECTED = 4
"""From this many times the page on, the candidates are cut down before they are sorted."""

Json = Callable[[str], Any]
_numbers: Json = msgspec.json.Decoder(dict[str, float | None], strict=False).decode
_texts: Json = msgspec.json.Decoder(dict[str, Any]).decode
_inputs: Json = msgspec.json.Decoder(list[dict[str, Any]] | None).decode


class View(StrEnum):
    """Which runs are looked at."""

    ACTIVE = "active"
    DELETED = "deleted"
    ALL = "all"


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One search.

    Attributes:
        experiments: names of the experiments to look in, None for all.
        conditions: all of them must hold.
        order: what to sort by; the newest first where it leaves a tie.
        view: active runs, deleted ones, or both.
        limit: how many runs a page has.
        after: what the page before ended with.
        spell: how the words of an attribute are spelled in conditions, e.g. `FINISHED` for `done`;
            None for as they are.
        uri: returns the artifact address of a run, by id and experiment.
    """

    experiments: Collection[str] | None
    conditions: Sequence[Comparison] = ()
    order: Sequence[Order] = ()
    view: View = View.ACTIVE
    limit: int = 100
    after: str = ""
    spell: Callable[[str, str], str] | None = None
    uri: Callable[[str, str], str] = lambda run_id, _experiment: run_id


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """How many runs a query matches, and the keys they have, the most frequent first."""

    matched: int
    metrics: list[str]
    params: list[str]


class Grouped(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of one value: how many, and least, median and most of each metric asked for."""

    value: str
    runs: int
    spreads: list[tuple[float, float, float] | None]


class RunIndex:
    """The runs of one project as columns; safe to use from many threads.

    Args:
        project_id: the project.
    """

    def __init__(self, project_id: str) -> None:
        self._project_id = project_id
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._seq = -1
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._high, self._low = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        self._deleted = np.zeros(0, bool)
        self._attributes: dict[str, Numbers | Texts] = {
            name: Numbers() if kind == "number" else Texts()
            for name, kind in RUN_FIELDS.attributes.items()
        }
        self._metrics: dict[str, Numbers] = {}
        self._params: dict[str, Texts] = {}
        self._tags: dict[str, Texts] = {}
        self._inputs: dict[int, list[dict[str, Any]]] = {}

    def warm(self, tx: Tx) -> None:
        """Read what changed, so that nobody waits for it who searches."""
        with self._lock:
            self._catch_up(tx)

    def search(self, tx: Tx, query: Query) -> tuple[list[Run], str]:
        """Return one page of runs, and what to ask the next one with; empty at the end.

        Raises:
            UsageError: `after` is of no page.
        """
        with self._lock:
            self._catch_up(tx)
            rows, after = self._page(query)
            ids = [self._ids[row] for row in rows]
        return runs.some(tx, self._project_id, ids), after

    def survey(self, tx: Tx, query: Query) -> Survey:
        """Return how many runs a query matches, and which keys they have."""
        with self._lock:
            self._catch_up(tx)
            mask = self._mask(query)
            rows = np.flatnonzero(mask)
            return Survey(
                matched=len(rows),
                metrics=_present(self._metrics, rows),
                params=_present(self._params, rows),
            )

    def grouped(
        self, tx: Tx, query: Query, kind: Kind, key: str, metrics: Sequence[str], most: int
    ) -> list[Grouped]:
        """Return the runs of a query by the value of a parameter or a tag, the most frequent first.

        Args:
            tx: a transaction that reads.
            query: which runs; those without a value are in no group.
            kind: what `key` is the key of.
            key: the key.
            metrics: the keys whose spread in each group is told.
            most: how many groups are returned.
        """
        with self._lock:
            self._catch_up(tx)
            column = self._columns(kind).get(key)
            if not isinstance(column, Texts):
                return []
            known = [self._metrics.get(name) for name in metrics]
            return [
                Grouped(
                    value=value,
                    runs=len(rows),
                    spreads=[None if each is None else each.spread(rows) for each in known],
                )
                for value, rows in column.groups(np.flatnonzero(self._mask(query)), most)
            ]

    def experiments(self, tx: Tx) -> list[tuple[str, int]]:
        """Return the experiments that have runs which are not deleted, with their number."""
        with self._lock:
            self._catch_up(tx)
            names = self._attributes["experiment_id"]
            assert isinstance(names, Texts)
            return sorted(names.counted(np.flatnonzero(~self._deleted[: len(self._ids)])))

    def _catch_up(self, tx: Tx) -> None:
        head = changes.head(tx, self._project_id)
        if head == self._seq:
            return
        kinds = ("run", RENAMED, "logs")
        changed = changes.subjects_after(tx, self._project_id, self._seq, kinds)
        some = changed.get("run", set()) | {
            run_id for several in changed.get("logs", ()) for run_id in several.split(",")
        }
        if self._seq < 0 or len(some) > _RELOADED:
            self._forget()
            self._load(runs.search_rows(tx, self._project_id))
        elif some:
            for run in runs.search_rows(tx, self._project_id, sorted(some)):
                self._set(run)
        if self._seq >= 0 and RENAMED in changed:
            self._rename(runs.experiment_names(tx, self._project_id))
        self._seq = head

    def _rename(self, named: Iterable[tuple[str, str]]) -> None:
        column = self._attributes["experiment_id"]
        for run_id, name in named:
            column.set(self._rows[run_id], name)  # pyright: ignore[reportArgumentType] - texts

    def _load(self, rows: Iterator[runs.SearchRow]) -> None:
        """Read runs into an empty index, many at once: column by column, not value by value."""
        while several := list(islice(rows, _LOADED)):
            first = len(self._ids)
            self._add_several([run.run_id for run in several])
            tags = [_texts(run.tags) for run in several]
            users = [of.get(USER_TAG) or run.actor for of, run in zip(tags, several, strict=True)]
            self._fill_attributes(first, several, users)
            _fill(self._metrics, Numbers, first, [_numbers(run.metrics) for run in several])
            _fill(self._params, Texts, first, [_texts(run.params) for run in several])
            _fill(self._tags, Texts, first, tags)
            for row, run in enumerate(several, first):
                if run.inputs and (inputs := _inputs(run.inputs)):
                    self._inputs[row] = inputs
                self._deleted[row] = run.deleted_at is not None

    def _fill_attributes(
        self, first: int, several: Sequence[runs.SearchRow], users: Sequence[str]
    ) -> None:
        columns: dict[str, Sequence[Any]] = {
            "run_id": [run.run_id for run in several],
            "run_name": [run.name for run in several],
            "status": [run.state for run in several],
            "user_id": users,
            "experiment_id": [run.experiment for run in several],
            "start_time": [run.started_at // _MILLISECOND for run in several],
        }
        rows = slice(first, first + len(several))
        for name, values in columns.items():
            self._attributes[name].fill(rows, values)
        for row, run in enumerate(several, first):
            if run.ended_at is not None:
                self._attributes["end_time"].set(row, run.ended_at // _MILLISECOND)  # pyright: ignore[reportArgumentType]

    def _set(self, run: runs.SearchRow) -> None:
        row = self._rows.get(run.run_id)
        new = row is None
        if row is None:
            row = self._add(run.run_id)
        self._deleted[row] = run.deleted_at is not None
        tags = _texts(run.tags)
        self._set_attributes(row, run, tags.get(USER_TAG) or run.actor)
        _renew(self._metrics, Numbers, row, _numbers(run.metrics), new=new)
        params = {key: str(value) for key, value in _texts(run.params).items()}
        _renew(self._params, Texts, row, params, new=new)
        _renew(self._tags, Texts, row, tags, new=new)
        inputs = _inputs(run.inputs or "null")
        if inputs:
            self._inputs[row] = inputs

    def _add_several(self, run_ids: Sequence[str]) -> None:
        first, behind = len(self._ids), len(self._ids) + len(run_ids)
        self._rows.update(zip(run_ids, range(first, behind), strict=True))
        self._ids += run_ids
        self._make_room(behind)
        halves = np.frombuffer(bytes.fromhex("".join(run_ids)), ">u8").reshape(-1, 2)
        self._high[first:behind], self._low[first:behind] = halves[:, 0], halves[:, 1]

    def _make_room(self, size: int) -> None:
        if size > len(self._deleted):
            most = max(1024, 2 * size)
            self._deleted = np.resize(self._deleted, most)
            self._high, self._low = np.resize(self._high, most), np.resize(self._low, most)

    def _add(self, run_id: str) -> int:
        row = self._rows[run_id] = len(self._ids)
        self._ids.append(run_id)
        self._make_room(row + 1)
        self._high[row], self._low[row] = _halves(run_id)
        return row

    def _set_attributes(self, row: int, run: runs.SearchRow, user: str) -> None:
        values = {
            "run_id": run.run_id,
            "run_name": run.name,
            "status": run.state,
            "user_id": user,
            "experiment_id": run.experiment,
            "start_time": run.started_at // _MILLISECOND,
        }
        for name, value in values.items():
            self._attributes[name].set(row, value)  # pyright: ignore[reportArgumentType] - each of its kind
        if run.ended_at is not None:
            self._attributes["end_time"].set(row, run.ended_at // _MILLISECOND)  # pyright: ignore[reportArgumentType]

    def _page(self, query: Query) -> tuple[Rows, str]:
        rows = np.flatnonzero(self._mask(query))
        orders = list(query.order)
        if not any(order.key == "start_time" for order in orders):
            orders.append(Order(Kind.ATTRIBUTE, "start_time", descending=True))
        rows, keys = self._behind(rows, self._keys(rows, orders), orders, query.after)
        more = len(rows) > query.limit
        if more and len(rows) > _SELECTED * query.limit:
            rows, keys = _leading(rows, keys, query.limit)
        first = np.lexsort(keys[::-1])[: query.limit]
        page = rows[first]
        return page, self._token(int(page[-1]), orders) if more else ""

    def _mask(self, query: Query) -> Mask:
        size = len(self._ids)
        mask = np.ones(size, bool)
        if query.experiments is not None:
            names = self._attributes["experiment_id"]
            assert isinstance(names, Texts)
            chosen = frozenset(query.experiments)
            mask = names.among(lambda name: name in chosen, size)
        if query.view is not View.ALL:
            mask &= self._deleted[:size] == (query.view is View.DELETED)
        for condition in query.conditions:
            mask &= self._condition(condition, query, size)
        return mask

    def _condition(self, condition: Comparison, query: Query, size: int) -> Mask:
        if condition.kind is Kind.DATASET:
            return self._dataset_mask(condition, size)
        if condition.kind is Kind.ATTRIBUTE:
            return self._attribute_mask(condition, query, size)
        column = self._columns(condition.kind).get(condition.key)
        if column is None:
            return np.full(size, condition.operator == "IS NULL")
        if condition.operator == "IS NOT NULL":
            assert isinstance(column, Texts)
            return column.among(lambda _text: True, size)
        return column.mask(condition, size)

    def _attribute_mask(self, condition: Comparison, query: Query, size: int) -> Mask:
        if condition.key == _ARTIFACT_URI:
            test = text_test(condition)
            names = self._attributes["experiment_id"]
            assert isinstance(names, Texts)
            found = (
                test(query.uri(run_id, names.at(row)[1])) for row, run_id in enumerate(self._ids)
            )
            return np.fromiter(found, bool, size)
        column = self._attributes[condition.key]
        if isinstance(column, Numbers):
            return column.mask(condition, size)
        test = text_test(condition)
        if query.spell is None:
            return column.among(test, size)
        spell = query.spell
        return column.among(lambda word: test(spell(condition.key, word)), size)

    def _dataset_mask(self, condition: Comparison, size: int) -> Mask:
        test, mask = text_test(condition), np.zeros(size, bool)
        for row, inputs in self._inputs.items():
            mask[row] = any(test(text) for each in inputs for text in _asked(each, condition.key))
        return mask

    def _columns(self, kind: Kind) -> dict[str, Numbers] | dict[str, Texts]:
        return {Kind.METRIC: self._metrics, Kind.PARAM: self._params, Kind.TAG: self._tags}[kind]

    def _column(self, order: Order) -> Numbers | Texts:
        if order.kind is Kind.ATTRIBUTE:
            return self._attributes[order.key]
        if order.kind is Kind.DATASET:
            raise UsageError("Runs cannot be ordered by their datasets.", "order by a metric")
        return self._columns(order.kind).get(order.key) or Numbers()

    def _keys(self, rows: Rows, orders: Sequence[Order]) -> list[NDArray[Any]]:
        keys: list[NDArray[Any]] = []
        for order in orders:
            keys += self._column(order).keys(rows, descending=order.descending)
        return [*keys, self._high[rows], self._low[rows]]

    def _token(self, row: int, orders: Sequence[Order]) -> str:
        values = [self._column(order).at(row) for order in orders]
        return base64.urlsafe_b64encode(msgspec.json.encode([self._ids[row], values])).decode()

    def _behind(
        self, rows: Rows, keys: list[NDArray[Any]], orders: Sequence[Order], after: str
    ) -> tuple[Rows, list[NDArray[Any]]]:
        """Return the rows that are sorted behind the end of the page before."""
        if not after:
            return rows, keys
        run_id, values = _token_parts(after, len(orders))
        ends: list[Any] = []
        for order, (kind, value) in zip(orders, values, strict=True):
            column = self._column(order)
            known = kind != MISSING and isinstance(value, str) == isinstance(column, Texts)
            key = column.key_of(value, descending=order.descending) if known else 0.0  # pyright: ignore[reportArgumentType]
            ends += [kind, key]
        ends += _halves(run_id)
        behind = np.zeros(len(rows), bool)
        for key, end in zip(keys[::-1], ends[::-1], strict=True):
            behind = (key > end) | ((key == end) & behind)
        return rows[behind], [key[behind] for key in keys]


_indexes: "weakref.WeakKeyDictionary[Home, RunIndex]" = weakref.WeakKeyDictionary()


def index_of(home: Home) -> RunIndex:
    """Return the one index of a home's runs that this process keeps."""
    return _indexes.setdefault(home, RunIndex(home.project_id))


def _present(columns: Mapping[str, Numbers | Texts], rows: Rows) -> list[str]:
    """Return the columns that hold something for some rows, those with most first."""
    counted = {key: column.count(rows) for key, column in columns.items()}
    found = (key for key, count in counted.items() if count)
    return sorted(found, key=lambda key: (-counted[key], key))


def _renew(
    columns: dict[str, Any], kind: type[Any], row: int, values: dict[str, Any], *, new: bool
) -> None:
    """Set what a run has of some columns, and clear what it has no more."""
    for key, value in values.items():
        column = columns.get(key)
        if column is None:
            column = columns[key] = kind()
        column.set(row, value)
    if not new:
        for key, column in columns.items():
            if key not in values:
                column.clear(row)


def _fill(
    columns: dict[str, Any], kind: type[Any], first: int, several: Sequence[dict[str, Any]]
) -> None:
    """Set what runs in a row have of some columns; those with the same keys are set together."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, values in enumerate(several):
        alike.setdefault(tuple(values), []).append(place)
    for keys, places in alike.items():
        rows = np.array(places) + first
        by_key = zip(*(several[place].values() for place in places), strict=True)
        for key, values in zip(keys, by_key, strict=True):
            column = columns.get(key)
            if column is None:
                column = columns[key] = kind()
            column.fill(rows, values)


def _leading(rows: Rows, keys: list[NDArray[Any]], limit: int) -> tuple[Rows, list[NDArray[Any]]]:
    """Return at least the first `limit` rows and few more, by the two weightiest keys alone."""
    classes, values = keys[0], keys[1]
    whole = np.where(classes == classes.min(), values, np.inf)
    if np.count_nonzero(np.isfinite(whole)) <= limit:
        return rows, keys
    chosen = whole <= np.partition(whole, limit - 1)[limit - 1]
    return rows[chosen], [key[chosen] for key in keys]


def _halves(run_id: str) -> tuple[np.uint64, np.uint64]:
    return np.uint64(int(run_id[:16], 16)), np.uint64(int(run_id[16:], 16))


def _asked(given: dict[str, Any], key: str) -> list[str]:
    """Return what a dataset of a run says under `name`, `digest` or `context`."""
    if key == "context":
        tags = given.get("tags") or []
        return [tag["value"] for tag in tags if tag.get("key") == "mlflow.data.context"]
    return [str(given.get("dataset", {}).get(key, ""))]


def _token_parts(after: str, orders: int) -> tuple[str, list[tuple[int, float | str]]]:
    try:
        text = base64.urlsafe_b64decode(after.encode())
        run_id, values = msgspec.json.decode(text, type=tuple[str, list[tuple[int, float | str]]])
        _halves(run_id)
    except (ValueError, msgspec.MsgspecError):
        values, run_id = [], ""
    if len(values) != orders or len(run_id) != 32:
        raise UsageError(
            f"Invalid page token {after[:40]!r}.", "send the one of the page before, with its order"
        )
    return run_id, values
