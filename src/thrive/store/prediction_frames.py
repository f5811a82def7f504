"""Predictions and outcomes as frames: the one reader of the sealed log for all who judge.

Sealed files are pruned by their manifests and scanned lazily. Columns: `prediction_id`, `time`,
`model`, `version`, `variant`, `score`, `decision`, `error`, `latency_us`, `live_id`, `trace_id`,
one `x.<feature>` a feature and one `k.<key>` a key.
"""

from collections import OrderedDict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from thrive.domain.prediction import SealedLog
from thrive.store import log_ends, predictions
from thrive.store.eventlog.prediction_id import PredictionId
from thrive.store.home import Home
from thrive.store.tables.predictions import outcomes

if TYPE_CHECKING:
    import polars as pl

OUTCOME_COLUMNS = ("outcome", "outcome_observed_at", "outcome_recorded_at")
"""What `with_outcomes` adds: the value (number where it is one, else text) and its two times."""

_FIXED = {
    "prediction_id": "String",
    "time": "Int64",
    "model": "String",
    "version": "Int64",
    "variant": "String",
    "score": "Float64",
    "decision": "String",
    "error": "String",
    "latency_us": "Int64",
    "live_id": "String",
    "trace_id": "String",
}


def predictions_between(
    home: Home,
    start: int,
    end: int,
    model: str | None = None,
    version: int | None = None,
    *,
    columns: Sequence[str] | None = None,
) -> "pl.DataFrame":
    """Return the sealed predictions with start <= time < end, in order of time.

    Args:
        home: the project's home.
        start: UTC microseconds, included.
        end: UTC microseconds, excluded.
        model: only this model's.
        version: only this version's.
        columns: only these; those that no file has are left out.
    """
    import polars as pl

    with home.read() as tx:
        sealed = predictions.find_sealed(tx, home.project_id, start, end)
    wanted = (pl.col("time") >= start) & (pl.col("time") < end)
    if model is not None:
        wanted &= pl.col("model") == model
    if version is not None:
        wanted &= pl.col("version") == version
    digests = list(dict.fromkeys(item.digest for item in sealed if item.digest))
    scans = [_projected(scan_sealed(home, digest).filter(wanted), columns) for digest in digests]
    return _joined([frame for frame in pl.collect_all(scans) if frame.height], columns)


def _joined(frames: "Sequence[pl.DataFrame]", columns: Sequence[str] | None) -> "pl.DataFrame":
    import polars as pl

    if not frames:
        return _empty(columns)
    joined = pl.concat(frames, how="diagonal_relaxed") if len(frames) > 1 else frames[0]
    return joined.sort("time", maintain_order=True) if "time" in joined.columns else joined


class LogReader:
    """Reads the same stretch of the log for many models: each sealed file once, then by model.

    Manifests, and the outcomes of a stretch, stay as they were when first read: make one for each
    look at the log. A stretch with more than `MOST_HELD` rows is not held but read model by model.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._sealed: list[SealedLog] | None = None
        self._stretch = (0, 0)
        self._parts: dict[str, list[pl.DataFrame]] = {}
        self._told: dict[tuple[int, int], int] = {}

    def sealed(self, start: int, end: int) -> list[SealedLog]:
        """Return the manifests that may hold predictions with start <= time < end."""
        if self._sealed is None:
            with self._home.read() as tx:
                self._sealed = predictions.find_sealed(tx, self._home.project_id)
        return [item for item in self._sealed if item.max_time >= start and item.min_time < end]

    def told(self, start: int, end: int, known_at: int) -> int:
        """Return how many outcomes of predictions with start <= time < end are known."""
        if (start, end) not in self._told:
            with self._home.read() as tx:
                self._told[start, end] = predictions.count_outcomes(
                    tx,
                    self._home.project_id,
                    first_id=_first_id(start),
                    last_id=_first_id(end),
                    known_at=known_at,
                )
        return self._told[start, end]

    def answered(self, start: int, end: int, model: str, version: int, enough: int) -> "Any":
        """Return when a version answered users in start <= time < end, in rising order.

        Shadows and fallbacks count for no version. Nothing is read, and none returned, where the
        files that the time touches hold fewer than `enough` of its answers.

        Args:
            start: UTC microseconds, included.
            end: UTC microseconds, excluded.
            model: whose predictions.
            version: which.
            enough: how many must be there for any to be of interest.
        """
        import numpy as np

        digests = dict.fromkeys(item.digest for item in self.sealed(start, end) if item.digest)
        held = sum(_answers(self._home, digest).get((model, version), 0) for digest in digests)
        if held < enough:
            return np.empty(0, dtype=np.int64)
        among = ("time", "model", "version", "variant")
        frame = predictions_between(self._home, start, end, model, version, columns=among)
        return frame.filter(_for_users())["time"].to_numpy()

    def rows(
        self, start: int, end: int, model: str, among: "pl.Expr", known_at: int
    ) -> "pl.DataFrame":
        """Return a model's sealed predictions with start <= time < end, with their outcomes.

        Args:
            start: UTC microseconds, included.
            end: UTC microseconds, excluded.
            model: whose predictions.
            among: which of them.
            known_at: outcomes recorded up to then count, UTC microseconds.
        """
        import polars as pl

        sealed = self.sealed(start, end)
        if sum(item.rows for item in sealed) > MOST_HELD:
            mine = predictions_between(self._home, start, end, model).filter(among)
            return with_outcomes(self._home, mine, known_at)
        first, last = self._stretch
        if not (first <= start and end <= last):
            self._parts = self._read(sealed, start, end, known_at)
            self._stretch = (start, end)
        parts = self._parts.get(model)
        if not parts:
            return with_outcomes(self._home, _joined([], None), known_at)
        if self._stretch != (start, end):
            among &= (pl.col("time") >= start) & (pl.col("time") < end)
        mine = _joined(parts, None).filter(among)
        if not mine.schema["outcome"].is_numeric():
            mine = mine.with_columns(_typed(mine["outcome"]).alias("outcome"))
        return mine

    def hold(self, start: int, end: int, known_at: int) -> None:
        """Read a stretch once that is asked for in pieces, if it is not too long to be held.

        Args:
            start: UTC microseconds, included.
            end: UTC microseconds, excluded.
            known_at: outcomes recorded up to then count, UTC microseconds.
        """
        sealed = self.sealed(start, end)
        if sum(item.rows for item in sealed) <= MOST_HELD:
            self._parts = self._read(sealed, start, end, known_at)
            self._stretch = (start, end)

    def _read(
        self, sealed: Sequence[SealedLog], start: int, end: int, known_at: int
    ) -> "dict[str, list[pl.DataFrame]]":
        import polars as pl

        digests = list(dict.fromkeys(item.digest for item in sealed if item.digest))
        wanted = (pl.col("time") >= start) & (pl.col("time") < end)
        scans = [scan_sealed(self._home, digest).filter(wanted) for digest in digests]
        alike: dict[tuple[tuple[str, str], ...], list[pl.DataFrame]] = {}
        for frame in pl.collect_all(scans):
            shape = tuple((name, str(kind)) for name, kind in frame.schema.items())
            alike.setdefault(shape, []).append(_keyed(frame))
        held = [pl.concat(frames) for frames in alike.values()]
        if not held:
            return {}
        known = _outcomes_of(self._home, pl.concat([frame[_KEY] for frame in held]), known_at)
        values = _typed(known["outcome"])
        if values.dtype.is_numeric():  # then they are numbers for every model of the stretch
            known = known.with_columns(values.alias("outcome"))
        parts: dict[str, list[pl.DataFrame]] = {}
        for frame in held:
            whole = _labelled(frame, known).sort("time", maintain_order=True)
            for (model,), part in whole.partition_by("model", as_dict=True).items():
                parts.setdefault(str(model), []).append(_own_columns(part))
        return parts


def _first_id(moment: int) -> str:
    return str(PredictionId(time=moment, worker=0, segment=0, offset=0))


MOST_HELD = 2_000_000
"""Rows of a stretch of the log that are held in memory to serve many models."""


def _own_columns(part: "pl.DataFrame") -> "pl.DataFrame":
    """Drop the inputs and keys of other models that share a file."""
    empty = [
        name
        for name in part.columns
        if name[:2] in {"x.", "k."} and part[name].null_count() == part.height
    ]
    return part.drop(empty) if empty else part


def counts_by_version(home: Home) -> dict[tuple[str, int], int]:
    """Return how many sealed predictions each version of each model has answered.

    Answers of no version, such as fallbacks, count for none; what retention removed counts.
    """
    import polars as pl

    with home.read() as tx:
        sealed = predictions.find_sealed(tx, home.project_id)
        ends = log_ends.find(tx, home.project_id)
    digests = list(dict.fromkeys(item.digest for item in sealed if item.digest))
    scans = [
        scan_sealed(home, digest)
        .drop_nulls("version")
        .group_by("model", "version")
        .agg(pl.len().alias("rows"))
        for digest in digests
    ]
    counts: dict[tuple[str, int], int] = {}
    for frame in pl.collect_all(scans):
        for model, version, rows in frame.iter_rows():
            key = (str(model), int(version))
            counts[key] = counts.get(key, 0) + rows
    for end in ends:
        for number, rows in end.versions.items():
            key = (end.model, int(number))
            counts[key] = counts.get(key, 0) + rows
    return counts


_ANSWERS: OrderedDict[str, dict[tuple[str, int], int]] = OrderedDict()
_MOST_FILES = 20_000
"""Sealed files whose answers by version are remembered: what a digest names never changes."""


def _answers(home: Home, digest: str) -> dict[tuple[str, int], int]:
    """Return how many answers to users a sealed file holds, by model and version."""
    import polars as pl

    known = _ANSWERS.get(digest)
    if known is None:
        counted = (
            scan_sealed(home, digest)
            .filter(_for_users() & pl.col("version").is_not_null())
            .group_by("model", "version")
            .agg(pl.len().alias("rows"))
            .collect()
        )
        known = {(str(name), int(number)): rows for name, number, rows in counted.iter_rows()}
        _ANSWERS[digest] = known
        while len(_ANSWERS) > _MOST_FILES:
            _ANSWERS.popitem(last=False)
    return known


def _for_users() -> "pl.Expr":
    import polars as pl

    return ~pl.col("variant").is_in(["shadow", "fallback"])


def scan_sealed(home: Home, digest: str) -> "pl.LazyFrame":
    """Return the rows of one sealed file without reading them yet."""
    import polars as pl

    path = home.blobs.local_path(digest)
    return pl.scan_parquet(path if path is not None else BytesIO(home.blobs.get(digest)))


def _projected(scan: "pl.LazyFrame", columns: Sequence[str] | None) -> "pl.LazyFrame":
    if columns is None:
        return scan
    known = scan.collect_schema()
    return scan.select([name for name in columns if name in known])


def _empty(columns: Sequence[str] | None) -> "pl.DataFrame":
    import polars as pl

    schema = {name: getattr(pl, kind) for name, kind in _FIXED.items()}
    return pl.DataFrame(
        schema={key: schema[key] for key in schema if columns is None or key in columns}
    )


def with_outcomes(home: Home, frame: "pl.DataFrame", known_at: int | None = None) -> "pl.DataFrame":
    """Add to each prediction what really happened, as it was known at a moment.

    The highest revision recorded up to `known_at` counts. A shadow answer takes the outcome of the
    live prediction it was made beside. Truth values become 1.0 and 0.0; when some outcome is no
    number, all are text.

    Args:
        home: the project's home.
        frame: predictions, with `prediction_id` (and `live_id`).
        known_at: UTC microseconds; None for all that is known now.
    """
    keyed = _keyed(frame)
    labelled = _labelled(keyed, _outcomes_of(home, keyed[_KEY], known_at))
    return labelled.with_columns(_typed(labelled["outcome"]).alias("outcome"))


_KEY = "_outcome_of"


def _keyed(frame: "pl.DataFrame") -> "pl.DataFrame":
    """Add the id that a prediction's outcome is told by."""
    import polars as pl

    key = pl.col("prediction_id")
    if "live_id" in frame.columns:
        key = pl.coalesce(pl.col("live_id").cast(pl.String), key)
    return frame.with_columns(key.alias(_KEY))


def _labelled(keyed: "pl.DataFrame", known: "pl.DataFrame") -> "pl.DataFrame":
    """Add the outcomes, as JSON text, to keyed predictions."""
    return keyed.join(known, on=_KEY, how="left", maintain_order="left").drop(_KEY)


def _outcomes_of(home: Home, ids: "pl.Series", known_at: int | None) -> "pl.DataFrame":
    """Return one row a prediction that has an outcome, within the range of these ids."""
    import polars as pl

    names = (_KEY, *OUTCOME_COLUMNS, "revision")
    kinds = (pl.String, pl.String, pl.Int64, pl.Int64, pl.Int64)
    raw = _query(home, ids, known_at) if len(ids) else []
    schema: dict[str, Any] = dict(zip(names, kinds, strict=True))
    found = pl.DataFrame(raw, schema=schema, orient="row")
    if found[_KEY].n_unique() < found.height:
        found = found.sort("revision", "outcome_recorded_at").unique(_KEY, keep="last")
    return found.drop("revision")


def _query(home: Home, ids: "pl.Series", known_at: int | None) -> Sequence[Sequence[Any]]:
    columns = outcomes.c
    query = sa.select(
        columns.prediction_id,
        sa.cast(columns.value, sa.Text),  # JSON text: parsing it here a row at a time is slow
        columns.observed_at,
        columns.recorded_at,
        columns.revision,
    ).where(
        columns.project_id == home.project_id,
        columns.prediction_id >= ids.min(),
        columns.prediction_id <= ids.max(),
    )
    if known_at is not None:
        query = query.where(columns.recorded_at <= known_at)
    with home.read() as tx:
        cursor = tx.execute(query).cursor  # plain tuples: a Row object a row doubles the time
        return cursor.fetchall() if cursor is not None else []


_CHUNK = 200_000


def write_outcomes(home: Home, path: Path, start: int, end: int) -> int:
    """Write the outcomes of predictions with start <= time < end as Parquet; return how many.

    Columns: `prediction_id, value, revision, recorded_at, said`. In `value` truth values become
    1.0 and 0.0, and what is no number is missing; `said` is the outcome as text, whole numbers
    without a point.

    Args:
        home: the project's home.
        path: the file to write.
        start: UTC microseconds, included.
        end: UTC microseconds, excluded.
    """
    import polars as pl

    columns = outcomes.c
    query = sa.select(
        columns.prediction_id,
        sa.cast(columns.value, sa.Text),
        columns.revision,
        columns.recorded_at,
    ).where(
        columns.project_id == home.project_id,
        columns.prediction_id >= _first_id(start),
        columns.prediction_id < _first_id(end),
    )
    schema = {
        "prediction_id": pl.String,
        "value": pl.String,
        "revision": pl.Int64,
        "recorded_at": pl.Int64,
    }
    frames = [pl.DataFrame(schema=schema)]
    with home.read() as tx:
        cursor = tx.execute(query).cursor
        while cursor is not None and (rows := cursor.fetchmany(_CHUNK)):
            frames.append(pl.DataFrame(rows, schema=schema, orient="row"))
    told = pl.concat(frames)
    value = told["value"].replace({"true": "1.0", "false": "0.0"}).cast(pl.Float64, strict=False)
    said = told["value"].str.strip_chars('"').str.replace(r"^(-?\d+)\.0$", "$1").alias("said")
    told.with_columns(value, said).write_parquet(path)
    return told.height


def _typed(texts: "pl.Series") -> "pl.Series":
    """Return JSON texts as numbers where all are, else as text without its quotes."""
    import polars as pl

    plain = texts.replace({"true": "1.0", "false": "0.0", "null": None})
    numbers = plain.cast(pl.Float64, strict=False)
    if numbers.null_count() == plain.null_count():
        return numbers
    if texts.str.starts_with('"').all():
        return texts.str.json_decode(pl.String)
    return texts.str.strip_chars('"')
