"""Outcomes from files, object stores, tables and queries."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from thrive.domain.clock import parse_time
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.prediction import Outcome, ParkedOutcome
from thrive.store.sources import Reach, brought

if TYPE_CHECKING:
    import polars as pl

_REQUIRED = ("prediction_id", "value", "observed_at")
_SHAPE = "columns prediction_id,value,observed_at and, if you like, source,revision,reason"
_KEYED = "columns value,observed_at, the model's keys and, if you like, at,source,revision,reason"
_RESERVED = {"value", "observed_at", "at", "source", "revision", "reason"}


def read_outcomes(path: Path, recorded_at: int) -> list[Outcome]:
    """Return the outcomes in a file.

    `observed_at` is ISO 8601, a datetime, or UTC microseconds.

    Args:
        path: a `.csv`, `.parquet` or `.jsonl` file.
        recorded_at: UTC microseconds of the telling.

    Raises:
        NotFound: there is no such file.
        UsageError: it is of another kind, a column is missing, or a value has the wrong form.
    """
    return _by_id(_read(path), str(path), recorded_at)


def read_told(
    source: str, reach: Reach, recorded_at: int, *, keyed: bool = False
) -> list[Outcome] | list[ParkedOutcome]:
    """Return the outcomes at a source: a file, an object, a Delta table or a query.

    Args:
        source: as `thrive data add` takes it, e.g. "warehouse: select ...".
        reach: by what sources are reached.
        recorded_at: UTC microseconds of the telling.
        keyed: its rows may name keys of a model; where they name predictions, these count.

    Raises:
        NotFound: nothing is there.
        UsageError: it is misspelled, a column is missing, or a value has the wrong form.
        StoreUnavailable: it does not answer.
    """
    import polars as pl

    with brought(source, reach) as found:
        path = Path(found.path)
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        frames = [_read(each) for each in files if each == path or each.is_file()]
        if not frames:
            raise NotFound(f"There is no file in {source}.", "give a source of outcomes")
        frame = pl.concat(frames, how="diagonal_relaxed")
    if keyed and _REQUIRED[0] not in frame.columns:
        return _by_key(frame, source)
    return _by_id(frame, source, recorded_at)


def _by_id(frame: "pl.DataFrame", source: str, recorded_at: int) -> list[Outcome]:
    missing = [name for name in _REQUIRED if name not in frame.columns]
    if missing:
        keys = "" if missing != ["prediction_id"] else "; with --model MODEL its keys will do"
        raise UsageError(f"{source} has no column {', '.join(missing)}.", f"write {_SHAPE}{keys}")
    times = _times(frame["observed_at"], source)
    ids = frame["prediction_id"].to_list()
    wrong = next((row for row, text in enumerate(ids) if not isinstance(text, str)), None)
    if wrong is not None:
        raise UsageError(
            f"{source}, row {wrong + 1}: {ids[wrong]!r} is not a prediction id.",
            "give the 32 hex digits that came back with the prediction",
        )
    return [
        Outcome(
            prediction_id=prediction_id,
            value=value,
            observed_at=observed_at,
            recorded_at=recorded_at,
            source=str(origin),
            revision=int(revision),
            reason=str(reason),
        )
        for prediction_id, value, observed_at, origin, revision, reason in zip(
            ids, frame["value"].to_list(), times, *_optionals(frame), strict=True
        )
    ]


def _by_key(frame: "pl.DataFrame", source: str) -> list[ParkedOutcome]:
    import polars as pl

    missing = [name for name in _REQUIRED[1:] if name not in frame.columns]
    if missing:
        raise UsageError(f"{source} has no column {', '.join(missing)}.", f"write {_KEYED}")
    observed = _times(frame["observed_at"], source)
    at = _times(frame["at"], source) if "at" in frame.columns else observed
    keys = frame.select(pl.exclude(_RESERVED)).cast(pl.String)
    entities = keys.to_dicts() if keys.width else [{}] * frame.height
    return [
        ParkedOutcome(
            entity={name: text for name, text in entity.items() if text is not None},
            at=moment,
            value=value,
            observed_at=observed_at,
            source=str(origin),
            revision=int(revision),
            reason=str(reason),
        )
        for entity, moment, value, observed_at, origin, revision, reason in zip(
            entities, at, frame["value"].to_list(), observed, *_optionals(frame), strict=True
        )
    ]


def _optionals(frame: "pl.DataFrame") -> tuple[list[Any], list[Any], list[Any]]:
    return (
        _optional(frame, "source", "default"),
        _optional(frame, "revision", 0),
        _optional(frame, "reason", ""),
    )


def _read(path: Path) -> "pl.DataFrame":
    import polars as pl

    readers: dict[str, Any] = {
        ".csv": lambda: pl.read_csv(path, schema_overrides={"prediction_id": pl.String}),
        ".parquet": lambda: pl.read_parquet(path),
        ".jsonl": lambda: pl.read_ndjson(path),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"{path.name} is neither .csv, .parquet nor .jsonl.",
            f"write one of them, with {_SHAPE}",
        )
    try:
        return reader()
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.", "give the path of an outcomes file") from None
    except pl.exceptions.PolarsError as error:
        first = str(error).split("\n", 1)[0][:200]
        raise UsageError(f"{path} cannot be read: {first}.", f"write {_SHAPE}") from None


def _times(column: "pl.Series", source: str) -> list[int]:
    import polars as pl

    if column.null_count():
        raise UsageError(
            f"{source}: {column.name} is empty in some rows.", "say when each became true"
        )
    if column.dtype == pl.String:
        return [parse_time(text) for text in column.to_list()]
    if column.dtype.is_temporal():
        return column.cast(pl.Datetime("us")).cast(pl.Int64).to_list()
    return column.cast(pl.Int64).to_list()


def _optional(frame: "pl.DataFrame", name: str, default: Any) -> list[Any]:
    if name not in frame.columns:
        return [default] * frame.height
    return frame[name].fill_null(default).to_list()
