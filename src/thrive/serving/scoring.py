"""Batch scoring: a table in, the same table with predictions out, in parts that survive a kill.

Rows are read, answered and written in parts of a fixed size, so memory does not grow with the
table. A part is complete in the output folder or absent from it: a scoring that was cut short goes
on where it stopped. Every answered row is logged once, as a request's would be, with the variant
`batch`: a part is written with the ids that its rows will have, then the rows are logged, then the
part gets its name. After a kill in between, the log says whether the part stands.
"""

import fcntl
import json
import os
import random
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from thrive.contract.parse import parse
from thrive.contract.schema import ModelTerms, Odd
from thrive.domain.errors import Conflict, NotFound, NotRight, UsageError
from thrive.domain.features import FeatureSpec
from thrive.domain.left_out import LEFT_OUT, LeftOut
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference, parse_reference
from thrive.operations import Context
from thrive.packaging.formats.predictor import Predictor
from thrive.packaging.inference import columns_of
from thrive.packaging.signature import NUMERIC, Columns, Field, FieldKind
from thrive.serving import records
from thrive.serving.answers import Decisions, NotANumber, Scores, read_answer
from thrive.serving.assemble import Assembled, RowAssembler
from thrive.serving.home_plane import LocalControlPlane
from thrive.serving.lookup import find_row
from thrive.serving.numbers import own_numbers
from thrive.serving.packages import StoredPackage, load_package, read_stored
from thrive.serving.records import Logged
from thrive.serving.sealing import seal_logs
from thrive.serving.table_slices import slices_of
from thrive.serving.views import ViewReader
from thrive.settings import read_settings
from thrive.store import models, projects, releases, restrictions
from thrive.store.eventlog.prediction_id import MAX_ROWS, row_ids
from thrive.store.eventlog.writer import SegmentWriter
from thrive.store.online import open_online
from thrive.store.snapshots.tables import unquoted
from thrive.store.sources import Reach, brought, resolve, scan

if TYPE_CHECKING:
    import polars as pl

STATE = "scoring.json"
FORMAT = 1
_ADDED = ("prediction_id", "score", "decision", "error")
_WORKERS = 64
"""Writers of one log folder that are tried before there are too many."""


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """What a scoring came to.

    Attributes:
        rows: of the input.
        answered: rows with a prediction.
        refused: rows that do not fit the signature; the output says why.
        parts: files in the output folder.
        resumed: parts that were there from before.
    """

    model: str
    version: int
    output: str
    rows: int
    answered: int
    refused: int
    parts: int
    resumed: int


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder of parts was made from; a scoring goes on only with the same."""

    model: str
    version: int
    package: str
    input: str
    files: list[tuple[str, int, int]]
    rows_per_part: int
    format: int = FORMAT


class Spreads(Protocol):
    """What calls a function on many parts: a cluster, as `engines.ray.spread` connects to one."""

    def share(self, value: Any) -> Any:
        """Return what stands for a value among the arguments of parts."""
        ...

    def spread(
        self, function: Callable[..., Any], parts: Iterable[tuple[Any, ...]]
    ) -> Iterator[Any]:
        """Yield what the function returns for each part, in their order."""
        ...


Predict = Callable[[Iterator[Columns]], Iterator[NDArray[Any]]]
"""Answers tables of columns, in their order."""


class Scorer(msgspec.Struct, frozen=True, kw_only=True):
    """A version as it answers tables."""

    version: ModelVersion
    predictor: Predictor
    predict: Predict
    terms: ModelTerms
    views: RowAssembler | None
    writer: SegmentWriter
    left_out: list[LeftOut] = []


class _Part(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that were read and are not answered yet.

    Attributes:
        path: the file they become.
        frame: the rows as they came.
        errors: why a row cannot be answered, "" where it can.
        places: the rows that can be.
        columns: what the model takes of them.
        keys: their request fields.
        now: the moment of their predictions.
    """

    path: Path
    frame: "pl.DataFrame"
    errors: NDArray[Any]
    places: NDArray[Any]
    columns: Columns
    keys: dict[str, list[Any]]
    now: int


def score_table(
    ctx: Context,
    model: str,
    source: str,
    output: Path,
    *,
    reach: Reach,
    rows_per_part: int,
    cluster: Spreads | None = None,
) -> Scored:
    """Score a table into a folder of Parquet files.

    Args:
        ctx: the home of the model and of the log.
        model: NAME for the version in production, or NAME@VERSION.
        source: what `data add` takes: a file, a folder, a glob, a URL, a Delta table, a query.
        output: the folder of the parts; made if it is not there.
        reach: by what sources are reached.
        rows_per_part: how many rows are in memory at a time, for each processor of a cluster.
        cluster: where the model answers; None for here. Rows are read and predictions logged here.

    Raises:
        NotFound: there is no such version, or nothing is at the source.
        UsageError: the table lacks a column of the model, or a size cannot be.
        Conflict: the output folder holds something else.
    """
    if not 1 <= rows_per_part <= MAX_ROWS:
        raise UsageError(f"A part cannot have {rows_per_part} rows.", f"use 1 to {MAX_ROWS}")
    version = _version(ctx, model)
    with brought(source, reach) as found:
        files = resolve(found.path, reach.base)
        state = State(
            model=version.model,
            version=version.version,
            package=version.packaged(),
            input=source,
            files=[_mark(each, lasting=found.path == source) for each in files],
            rows_per_part=rows_per_part,
        )
        with _claimed(output, state), _scorer(ctx, version, cluster) as scorer:
            counts = _parts(ctx, scorer, scan(files), output, rows_per_part)
    seal_logs(ctx.home)
    return Scored(model=version.model, version=version.version, output=str(output), **counts)


def _version(ctx: Context, model: str) -> ModelVersion:
    name, number = parse_reference(model)
    with ctx.read() as tx:
        if number is None:
            table = releases.current_routing(tx, ctx.project_id, name)
            live = table.production() if table else None
            if live is None:
                raise NotFound(
                    f"No version of {name} is in production.",
                    f"name one: thrive predictions score {name}@1 INPUT OUTPUT",
                )
            number = live.version
        return models.get_version(tx, ctx.project_id, name, number)


def _mark(path: Path, *, lasting: bool) -> tuple[str, int, int]:
    """Return what tells whether a file is the same as before; copies have a new time each time."""
    found = path.stat()
    return path.name, found.st_size, found.st_mtime_ns if lasting else 0


@contextmanager
def _claimed(output: Path, state: State) -> Generator[None]:
    """Make the output folder this scoring's own, or find that it is already; no other is at it."""
    _claim(output, state)
    with (output / STATE).open("rb") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"Another process scores into {output} now.", "wait for it, or choose a new folder"
            ) from None
        yield


def _claim(output: Path, state: State) -> None:
    output.mkdir(parents=True, exist_ok=True)
    path = output / STATE
    if path.exists():
        try:
            known = msgspec.json.decode(path.read_bytes(), type=State)
        except msgspec.MsgspecError:
            known = None
        if known != state:
            raise Conflict(
                f"{output} holds another scoring, or the input has changed since.",
                "choose a new folder, or empty this one",
            )
        return
    if any(output.iterdir()):
        raise Conflict(f"{output} is not empty.", "choose a new folder")
    _write(path, msgspec.json.encode(state))


@contextmanager
def _scorer(ctx: Context, version: ModelVersion, cluster: Spreads | None) -> Generator[Scorer]:
    package = read_stored(ctx.home.blobs, version)
    predictor = load_package(package)
    with ctx.read() as tx:
        stored = projects.find_contract(tx, ctx.project_id, version.contract)
        left_out = restrictions.asked_about(tx, ctx.project_id)
    contract = parse(stored.text).contract if stored else None
    terms = contract.model.get(version.model, ModelTerms()) if contract else ModelTerms()
    spec: FeatureSpec | None = version.features
    views = None
    if spec is not None:
        reader = ViewReader(spec, open_online(ctx.home.folder))
        keys = list(dict.fromkeys([*terms.entity, *terms.segments]))
        views = RowAssembler(predictor.signature, keys, frozenset(), reader)
    with _log_writer(ctx) as writer:
        yield Scorer(
            version=version,
            predictor=predictor,
            predict=_here(predictor) if cluster is None else _there(package, cluster),
            terms=terms,
            views=views,
            writer=writer,
            left_out=left_out if terms.inputs.restricted is Odd.REFUSE else [],
        )


def _here(predictor: Predictor) -> Predict:
    return lambda tables: map(predictor.predict, tables)


def _there(package: StoredPackage, cluster: Spreads) -> Predict:
    shared = cluster.share(package)
    return lambda tables: cluster.spread(
        predict_on_node, ((shared, package.digest, columns) for columns in tables)
    )


_loaded: dict[str, Predictor] = {}
"""The one model that a process of a node has loaded, by the digest of its package."""


def predict_on_node(package: StoredPackage, digest: str, columns: Columns) -> NDArray[Any]:
    """Return a model's answers to columns; each process of a node loads the model once.

    Raises:
        Damaged, UnsafeModel: the node does not load it.
    """
    if digest not in _loaded:
        _loaded.clear()
        _loaded[digest] = load_package(package)
    return _loaded[digest].predict(columns)


@contextmanager
def _log_writer(ctx: Context) -> Generator[SegmentWriter]:
    """Open the log under a number of this host that no living writer has."""
    folder = ctx.home.log_folder
    folder.mkdir(parents=True, exist_ok=True)
    plane = LocalControlPlane(ctx.home)
    for count in range(1, _WORKERS + 1):
        number = own_numbers(plane, folder, count)[-1]
        try:
            writer = SegmentWriter(folder, number, max_age=read_settings().seal_age)
        except Conflict:
            continue
        with writer:
            yield writer
        return
    raise Conflict(f"{_WORKERS} processes write the log of this host.", "wait until one has ended")


def _parts(
    ctx: Context, scorer: Scorer, table: "pl.LazyFrame", output: Path, size: int
) -> dict[str, int]:
    import polars as pl

    total = int(table.select(pl.len()).collect().item())
    counts = {"rows": total, "answered": 0, "refused": 0, "parts": 0, "resumed": 0}
    waiting: deque[_Part] = deque()

    def count(rows: int, refused: int) -> None:
        counts["refused"] += refused
        counts["answered"] += rows - refused
        counts["parts"] += 1
        done = counts["answered"] + counts["refused"]
        ctx.progress(done / max(total, 1), f"{done:,} of {total:,} rows")

    def finish(part: _Part, raw: NDArray[Any]) -> None:
        _finish(scorer, part, raw)
        count(part.frame.height, part.frame.height - len(part.places))

    def tables() -> Iterator[Columns]:
        for number, frame in enumerate(slices_of(table, size)):
            path = output / f"part-{number:05d}.parquet"
            if path.exists() or _taken_up(ctx, path):
                kept = pl.scan_parquet(path).select(pl.col("error").ne("").sum()).collect().item()
                counts["resumed"] += 1
                count(frame.height, int(kept or 0))
                continue
            part = _read_part(scorer, path, frame, ctx.now())
            if len(part.places):
                waiting.append(part)
                yield part.columns
            else:
                finish(part, np.empty(0))

    try:
        for raw in scorer.predict(tables()):
            finish(waiting.popleft(), raw)
    except (ValueError, TypeError) as error:
        raise _cannot_score(scorer, str(error)[:200]) from None
    return counts


def _cannot_score(scorer: Scorer, words: str) -> NotRight:
    name = format_reference(scorer.version.model, scorer.version.version)
    return NotRight(f"{name} cannot score this table: {words}.", "thrive gates run")


def _read_part(scorer: Scorer, path: Path, frame: "pl.DataFrame", now: int) -> _Part:
    """Return the rows as the model takes them; a row that does not fit says why.

    Raises:
        UsageError: the table has a column that scoring adds, or one of another kind.
    """
    clash = [name for name in _ADDED if name in frame.columns]
    if clash:
        raise UsageError(
            f"The table has a column {clash[0]!r} already.", "rename it: scoring adds one"
        )
    errors = np.full(frame.height, "", dtype=object)
    fit = _fitting(scorer, frame, errors) & _answerable(scorer, frame, errors)
    places = np.flatnonzero(fit)
    columns, keys = _columns(scorer, frame[places], now) if len(places) else ({}, {})
    return _Part(
        path=path, frame=frame, errors=errors, places=places, columns=columns, keys=keys, now=now
    )


def _finish(scorer: Scorer, part: _Part, raw: NDArray[Any]) -> None:
    """Write a part and log its rows, so that neither is ever there without the other for good."""
    scores, decisions = _predicted(scorer, raw) if len(part.places) else ([], [])
    share = scorer.terms.log.sample
    chosen = [
        row
        for row in range(len(part.places))
        if share >= 1 or random.random() < share  # noqa: S311 - no secret
    ]
    unfinished = _unfinished(part.path)

    def write(record: str) -> None:
        ids: list[str | None] = [None] * len(part.places)
        for row, name in zip(chosen, row_ids(record, len(chosen)), strict=True):
            ids[row] = name
        _write_whole(unfinished, _answered(part, scores, decisions, ids))

    if chosen:
        payload = _record(scorer, part, scores, decisions, chosen)
        scorer.writer.append_after(records.KIND, part.now, payload, len(chosen), write)
    else:
        _write_whole(unfinished, _answered(part, scores, decisions, [None] * len(part.places)))
    unfinished.replace(part.path)


def _taken_up(ctx: Context, path: Path) -> bool:
    """Give a part its name that a kill kept from it, if its rows are logged; tell whether."""
    import polars as pl

    unfinished = _unfinished(path)
    if not unfinished.exists():
        return False
    try:
        ids = pl.read_parquet(unfinished, columns=["prediction_id"])["prediction_id"].drop_nulls()
        find_row(ctx.home, ids[0])
    except (pl.exceptions.PolarsError, IndexError, NotFound):
        return False
    unfinished.replace(path)
    return True


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _answered(
    part: _Part, scores: Scores, decisions: Decisions, ids: list[str | None]
) -> "pl.DataFrame":
    """Return a part's rows with their predictions; those are of the rows that could be answered."""
    import polars as pl

    height = part.frame.height
    texts = [None if each is None else json.dumps(each).strip('"') for each in decisions]
    spread: list[list[Any]] = []
    for values in (ids, scores, texts):
        column: list[Any] = [None] * height
        for place, value in zip(part.places.tolist(), values, strict=True):
            column[place] = value
        spread.append(column)
    return part.frame.with_columns(
        pl.Series("prediction_id", spread[0], dtype=pl.String),
        pl.Series("score", spread[1], dtype=pl.Float64),
        pl.Series("decision", spread[2], dtype=pl.String),
        pl.Series("error", part.errors.tolist(), dtype=pl.String),
    )


def _fitting(scorer: Scorer, frame: "pl.DataFrame", errors: Any) -> Any:
    """Return which rows the model takes; what the others lack goes into `errors`."""
    fit = np.ones(frame.height, dtype=bool)
    if scorer.views is not None:
        return fit
    for field in scorer.predictor.signature.inputs:
        if field.name not in frame.columns:
            continue
        for odd, words in _odd(field, frame[field.name]):
            wrong = odd.fill_null(value=False).to_numpy()
            errors[wrong & fit] = f"{field.name} is {words}"
            fit &= ~wrong
    return fit


def _answerable(scorer: Scorer, frame: "pl.DataFrame", errors: Any) -> Any:
    """Return which rows are about nobody who is left out; of the others `errors` says so."""
    good = np.ones(frame.height, dtype=bool)
    for people in scorer.left_out:
        for column in {*people.columns} & {*frame.columns}:
            if frame[column].dtype.is_nested():
                continue
            named = people.among(frame[column].drop_nulls().unique().to_list())
            if named:
                about = frame[column].is_in(list(named)).fill_null(value=False).to_numpy()
                errors[about] = LEFT_OUT
                good &= ~about
    return good


def _odd(field: Field, column: "pl.Series") -> Iterator[tuple["pl.Series", str]]:
    """Yield which values of a column a model does not take, and what they are."""
    import polars as pl

    if not field.nullable:
        absent = column.is_null()
        if field.kind in NUMERIC and column.dtype.is_float():
            absent |= column.is_nan()
        yield absent, "missing"
    if not field.strict:
        return
    if field.categories and field.kind is FieldKind.CATEGORY:
        known = column.cast(pl.String).is_in(field.categories)
        yield ~known, f"none of the {len(field.categories)} known categories"
    if field.kind in NUMERIC and column.dtype.is_numeric():
        if field.low is not None:
            yield column < field.low, f"below {field.low:g}"
        if field.high is not None:
            yield column > field.high, f"above {field.high:g}"


def _columns(
    scorer: Scorer, rows: "pl.DataFrame", now: int
) -> tuple[Columns, dict[str, list[Any]]]:
    import polars as pl

    names = dict.fromkeys([*scorer.terms.entity, *scorer.terms.segments])
    keys = {name: rows[name].to_list() for name in names if name in rows.columns}
    if scorer.views is not None:
        known = {*scorer.views.signature.names, *scorer.views.keys}
        given = rows.select([name for name in rows.columns if name in known]).to_dicts()
        read = scorer.views.read(given, now)
        return read.columns, read.keys
    try:
        return columns_of(scorer.predictor.signature, rows), keys
    except pl.exceptions.PolarsError as error:
        raise UsageError(
            f"A column of the table is not what the model takes: {unquoted(error)}.",
            f"thrive models show {scorer.version.model}",
        ) from None


def _predicted(scorer: Scorer, raw: NDArray[Any]) -> tuple[Scores, Decisions]:
    output = scorer.predictor.signature.output
    try:
        return read_answer(output, scorer.terms.target.threshold, raw)
    except NotANumber:
        raise _cannot_score(scorer, "it answers NaN") from None


def _record(
    scorer: Scorer, part: _Part, scores: Scores, decisions: Decisions, chosen: list[int]
) -> bytes:
    """Return the log's record of the chosen rows of a part."""
    mask = frozenset(scorer.terms.log.mask)
    inputs = _logged(scorer, part.columns, mask)
    return records.encode(
        Logged(
            m=scorer.version.model,
            v=scorer.version.version,
            a=records.BATCH,
            t=part.now,
            n=len(chosen),
            x={name: _picked(values, chosen) for name, values in inputs.items()},
            k={n: _picked(v, chosen) for n, v in part.keys.items() if n not in mask},
            y=_picked(scores, chosen),
            d=_picked(decisions, chosen),
        )
    )


def _logged(scorer: Scorer, columns: Columns, mask: frozenset[str]) -> dict[str, Any]:
    fields = scorer.predictor.signature.inputs
    return Assembled(rows=0, columns=columns, keys={}, fields=fields).logged(mask)


def _picked(values: list[Any], rows: list[int]) -> list[Any]:
    return values if len(rows) == len(values) else [values[row] for row in rows]


def _write_whole(path: Path, frame: "pl.DataFrame") -> None:
    frame.write_parquet(path)
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _write(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(data)
    unfinished.replace(path)
