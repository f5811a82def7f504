"""From a fitted model and its rows to blobs: package, evaluation table, reference table.

It runs in the child process of a run: the process that asks for a version never loads a model.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.contract.lines import path_of
from thrive.domain.errors import UsageError
from thrive.domain.model import LABEL, SCORE, TIME
from thrive.engines.channel import Channel
from thrive.packaging.inference import columns_of
from thrive.packaging.loader import FORMATS
from thrive.packaging.package import Package, pack
from thrive.packaging.trained_rows import trained_rows
from thrive.store.blobs.folder import FolderBlobs
from thrive.store.sources.frames import as_polars

if TYPE_CHECKING:
    import polars as pl


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asked of `register`, apart from the model and its rows."""

    name: str
    label: str
    time: str
    score: str
    features: list[str] | None
    model_format: str | None


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """The digests of what was kept for a new version."""

    package: str
    evaluation: str
    reference: str
    trained_rows: str


def prepare(
    link: Channel,
    model: Any,
    request: Request,
    evaluation: Any,
    reference: Any,
    trained_on: Any = None,
) -> Prepared:
    """Pack the model, write the tables, keep the blobs, and return their digests.

    Raises:
        UsageError: a column is missing, there are no rows, or they are in no table that is known.
        UnsafeModel: no safe format holds the model.
    """
    evaluation = as_polars(evaluation)
    reference = None if reference is None else as_polars(reference)
    trained_on = None if trained_on is None else as_polars(trained_on)
    return _prepared(link, model, request, evaluation, reference, trained_on)


def _prepared(
    link: Channel,
    model: Any,
    request: Request,
    evaluation: "pl.DataFrame",
    reference: "pl.DataFrame | None",
    trained_on: "pl.DataFrame | None",
) -> Prepared:
    terms = link.facts["models"].get(request.name, {})
    label = request.label or terms.get("target", "")
    _require_target(evaluation, request, label)
    names = _features(model, request, evaluation, {label, *terms.get("entity", ())})
    _require(evaluation, "evaluation", [*names, label, request.time])
    package = pack(
        model,
        evaluation.select(names),
        positive=terms.get("positive"),
        threshold=terms.get("threshold"),
        refused=terms.get("refused", ()),
        seen=_shown(trained_on, names),
        model_format=request.model_format,
    )
    columns = msgspec.structs.replace(request, label=label)
    positive = package.manifest.signature.output.positive
    alone = reference is None or request.score in evaluation.columns
    scored = _scored(evaluation, package, request.score if alone else "")
    judged = _table(scored, columns, positive)
    compared = judged
    if reference is not None:
        _require(reference, "reference", [label, request.time, request.score or SCORE])
        compared = _table(_renamed(reference, request.score), columns, positive)
    fingerprints = b"" if trained_on is None else _fingerprints(trained_on, judged, names)
    blobs = FolderBlobs(Path(link.facts["blobs"]))
    for data in package.files.values():
        blobs.put(data)
    return Prepared(
        package=blobs.put(package.manifest.to_bytes()),
        evaluation=blobs.put(_parquet(judged)),
        reference=blobs.put(_parquet(compared)),
        trained_rows=blobs.put(fingerprints) if fingerprints else "",
    )


def _shown(trained_on: "pl.DataFrame | None", names: list[str]) -> "pl.DataFrame | None":
    """Return the inputs of the rows a model was fitted on, where all of them are there."""
    if trained_on is None or not {*names} <= {*trained_on.columns}:
        return None
    return trained_on.select(names)


def _fingerprints(trained_on: "pl.DataFrame", judged: "pl.DataFrame", names: list[str]) -> bytes:
    """Return the fingerprints of the trained rows, over all columns that the kept table has."""
    _require(trained_on, "trained_on", names)
    shared = [name for name in judged.columns if name in trained_on.columns]
    natural = [name for name in shared if name not in {LABEL, SCORE, TIME}]
    return trained_rows(trained_on, natural).to_bytes()


def _features(
    model: Any, request: Request, evaluation: "pl.DataFrame", others: set[str]
) -> list[str]:
    if request.features is not None:
        return request.features
    known = getattr(model, "feature_names_in_", None)
    if known is not None:
        return [str(name) for name in known]
    spoken_for = {*others, request.time, request.score, LABEL, SCORE, TIME}
    return [name for name in evaluation.columns if name not in spoken_for]


def _require_target(evaluation: "pl.DataFrame", request: Request, label: str) -> None:
    """Refuse rows without the column that the contract, not the call, says is predicted."""
    if request.label or not label or label in evaluation.columns:
        return
    raise UsageError(
        f"register(evaluation=) has no column {label!r}, the target of "
        f"[{path_of('model', request.name)}] in thrive.toml.",
        f"mend target there, or give label=; the columns are {', '.join(evaluation.columns[:30])}",
    )


def _require(frame: "pl.DataFrame", what: str, names: list[str]) -> None:
    if frame.is_empty():
        raise UsageError(f"register({what}=) has no row.", "give out-of-sample rows")
    missing = [name for name in names if name and name not in frame.columns]
    if missing:
        raise UsageError(
            f"register({what}=) has no column {', '.join(map(repr, missing))}.",
            f"its columns are {', '.join(frame.columns[:30])}",
        )


def _scored(frame: "pl.DataFrame", package: Package, score: str) -> "pl.DataFrame":
    """Return the frame with `_score`: the column named, else what the packed model answers."""
    import polars as pl

    if score or SCORE in frame.columns:
        _require(frame, "evaluation", [score])
        return _renamed(frame, score)
    signature = package.manifest.signature
    predictor = FORMATS[package.manifest.model_format].load(package.files, signature)
    answers = predictor.predict(columns_of(signature, frame))
    return frame.with_columns(pl.Series(SCORE, answers))


def _renamed(frame: "pl.DataFrame", score: str) -> "pl.DataFrame":
    return frame.rename({score: SCORE}) if score and score != SCORE else frame


def _table(frame: "pl.DataFrame", request: Request, positive: Any) -> "pl.DataFrame":
    """Return the natural columns, then `_label`, `_score` and `_time`."""
    import polars as pl

    label = pl.lit(None, pl.Float64) if not request.label else _truth(frame, request, positive)
    moment = pl.lit(None, pl.Int64) if not request.time else _microseconds(frame, request.time)
    natural = [name for name in frame.columns if name not in {request.label, LABEL, SCORE, TIME}]
    score = pl.col(SCORE)
    if frame.schema[SCORE].is_numeric():
        score = score.cast(pl.Float64)
    return frame.select(*natural, label.alias(LABEL), score, moment.alias(TIME))


def _truth(frame: "pl.DataFrame", request: Request, positive: Any) -> "pl.Expr":
    import polars as pl

    column = pl.col(request.label)
    kind = frame.schema[request.label]
    if positive is None or kind == pl.Boolean:
        return column
    if kind.is_numeric():
        return column == float(positive)
    return column.cast(pl.String) == str(positive)


def _microseconds(frame: "pl.DataFrame", name: str) -> "pl.Expr":
    """Return event times as UTC microseconds.

    Raises:
        UsageError: the column holds no times.
    """
    import polars as pl

    column, kind = pl.col(name), frame.schema[name]
    if kind.is_integer():
        return column.cast(pl.Int64)
    if kind == pl.String:
        return column.str.to_datetime(time_unit="us", time_zone="UTC").cast(pl.Int64)
    if kind == pl.Date or kind.base_type() == pl.Datetime:
        return column.cast(pl.Datetime("us", getattr(kind, "time_zone", None))).cast(pl.Int64)
    raise UsageError(f"Column {name!r} of type {kind} holds no times.", "give a datetime column")


def _parquet(frame: "pl.DataFrame") -> memoryview:
    stream = io.BytesIO()
    frame.write_parquet(stream, compression="zstd", statistics=True)
    return stream.getbuffer()
