"""Outcomes from files: CSV, Parquet or JSON lines."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from thrive.domain.clock import parse_time
from thrive.domain.errors import NotFound, UsageError
from thrive.domain.prediction import Outcome

if TYPE_CHECKING:
    import polars as pl

_REQUIRED = ("prediction_id", "value", "observed_at")
_SHAPE = "columns prediction_id,value,observed_at and, if you like, source,revision,reason"


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
    frame = _read(path)
    missing = [name for name in _REQUIRED if name not in frame.columns]
    if missing:
        raise UsageError(f"{path} has no column {', '.join(missing)}.", f"write {_SHAPE}")
    times = _times(frame["observed_at"], path)
    ids = frame["prediction_id"].to_list()
    wrong = next((row for row, text in enumerate(ids) if not isinstance(text, str)), None)
    if wrong is not None:
        raise UsageError(
            f"{path}, row {wrong + 1}: {ids[wrong]!r} is not a prediction id.",
            "give the 32 hex digits that came back with the prediction",
        )
    rows = zip(
        ids,
        frame["value"].to_list(),
        times,
        _optional(frame, "source", "default"),
        _optional(frame, "revision", 0),
        _optional(frame, "reason", ""),
        strict=True,
    )
    return [
        Outcome(
            prediction_id=prediction_id,
            value=value,
            observed_at=observed_at,
            recorded_at=recorded_at,
            source=str(source),
            revision=int(revision),
            reason=str(reason),
        )
        for prediction_id, value, observed_at, source, revision, reason in rows
    ]


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


def _times(column: "pl.Series", path: Path) -> list[int]:
    import polars as pl

    if column.null_count():
        raise UsageError(f"{path}: observed_at is empty in some rows.", "say when each became true")
    if column.dtype == pl.String:
        return [parse_time(text) for text in column.to_list()]
    if column.dtype.is_temporal():
        return column.cast(pl.Datetime("us")).cast(pl.Int64).to_list()
    return column.cast(pl.Int64).to_list()


def _optional(frame: "pl.DataFrame", name: str, default: Any) -> list[Any]:
    if name not in frame.columns:
        return [default] * frame.height
    return frame[name].fill_null(default).to_list()
