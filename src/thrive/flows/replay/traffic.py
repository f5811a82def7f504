"""Recorded traffic: requests with the time they were asked, and what came of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.domain.clock import HOUR, parse_time
from thrive.domain.errors import NotFound, UsageError

if TYPE_CHECKING:
    import polars as pl


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns of recorded traffic hold what.

    Everything else is sent with the request. `known` is when the outcome became known: null
    where it never did.
    """

    key: str
    time: str
    outcome: str
    known: str


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """An injected fault, labelled as such.

    For a while columns of the request arrive empty, and feature views get no new rows.
    """

    columns: list[str]
    start: int
    end: int
    text: str

    def holds_back(self, view: str, now: int) -> bool:
        """Tell whether a view gets no new rows at a moment."""
        return view in self.columns and self.start <= now < self.end


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Rows to send in one call, with the key of each, and when they are asked."""

    at: int
    keys: list[str]
    rows: list[dict[str, Any]]


def parse_fault(text: str) -> Fault:
    """Read a fault such as `temp,visib@2013-07-20..2013-07-22`.

    Raises:
        UsageError: the text has another form.
    """
    columns, at, period = text.partition("@")
    start, dots, end = period.partition("..")
    if not (columns and at and dots):
        raise UsageError(
            f"{text!r} is not a fault.", 'write e.g. "temp,visib@2013-07-20..2013-07-22"'
        )
    names = [name.strip() for name in columns.split(",")]
    return Fault(columns=names, start=parse_time(start), end=parse_time(end), text=text)


class Traffic:
    """The requests of a Parquet file in the order they were asked; reads only what it needs.

    Args:
        path: the Parquet file.
        columns: which of its columns hold what.
        fault: an injected fault, None for the traffic as it was.
        singles: how many rows of the whole file are sent alone instead of with their hour.
        views: feature views that are not in the file; a fault may name them.

    Raises:
        NotFound: there is no such file.
        UsageError: it lacks a column.
    """

    def __init__(
        self,
        path: Path,
        columns: Columns,
        fault: Fault | None = None,
        singles: int = 0,
        views: Sequence[str] = (),
    ) -> None:
        import polars as pl

        if not path.is_file():
            raise NotFound(f"There is no traffic file {path}.", "give a Parquet file of requests")
        self.columns = columns
        frame = pl.read_parquet(path)
        self._check(frame)
        frame = frame.with_columns(
            _asked=_microseconds(frame, columns.time), _known=_microseconds(frame, columns.known)
        ).sort("_asked", maintain_order=True)
        every = max(1, frame.height // singles) if singles else frame.height + 1
        alone = (pl.int_range(pl.len()) % every == every // 2) & (singles > 0)
        frame = frame.with_columns(_alone=alone, _hour=pl.col("_asked") // HOUR)
        self._frame = _with_fault(frame, fault, views)

    def _check(self, frame: "pl.DataFrame") -> None:
        wanted = msgspec.structs.astuple(self.columns)
        missing = [name for name in wanted if name not in frame.columns]
        if missing:
            raise UsageError(
                f"The traffic file has no column {', '.join(missing)}.",
                f"its columns are: {', '.join(frame.columns[:30])}",
            )

    def between(self, start: int, end: int) -> "pl.DataFrame":
        """Return the rows asked in a period, as they were recorded."""
        import polars as pl

        return self._frame.filter(pl.col("_asked") >= start, pl.col("_asked") < end)

    def requests(self, hour: int, skip: set[str]) -> list[Request]:
        """Return the calls of one hour (UTC microseconds): its rows together, a few alone.

        Args:
            hour: the beginning of the hour.
            skip: keys that have been answered already.
        """
        import polars as pl

        rows = self.between(hour, hour + HOUR)
        if skip:
            rows = rows.filter(~pl.col(self.columns.key).is_in(list(skip)))
        together = rows.filter(~pl.col("_alone"))
        groups = [together] if together.height else []
        alone = rows.filter("_alone")
        groups += [alone.slice(index, 1) for index in range(alone.height)]
        return [self._request(group) for group in groups]

    def _request(self, rows: "pl.DataFrame") -> Request:
        import polars as pl

        hidden = [self.columns.time, self.columns.outcome, self.columns.known]
        sent = rows.drop([*hidden, "_asked", "_known", "_alone", "_hour"])
        moment = rows["_asked"].max()
        assert isinstance(moment, int)
        return Request(
            at=moment,
            keys=rows[self.columns.key].cast(pl.String).to_list(),
            rows=sent.to_dicts(),
        )

    def outcomes(self) -> dict[str, tuple[Any, int]]:
        """Return what came of each key that has an outcome: (value, when it was known)."""
        known = self._frame.drop_nulls(["_known", self.columns.outcome])
        values = known.select(self.columns.key, self.columns.outcome, "_known").rows()
        return {str(key): (value, at) for key, value, at in values}


def _microseconds(frame: "pl.DataFrame", column: str) -> "pl.Expr":
    import polars as pl

    kind = frame.schema[column]
    if kind.is_integer():
        return pl.col(column).cast(pl.Int64)
    if kind == pl.String:
        return pl.col(column).str.to_datetime(time_zone="UTC", time_unit="us").dt.epoch("us")
    return pl.col(column).dt.epoch("us")


def _with_fault(frame: "pl.DataFrame", fault: Fault | None, views: Sequence[str]) -> "pl.DataFrame":
    import polars as pl

    if fault is None:
        return frame
    emptied = [name for name in fault.columns if name not in views]
    unknown = [name for name in emptied if name not in frame.columns]
    if unknown:
        known = ", ".join([*views, *(name for name in frame.columns[:30] if name[:1] != "_")])
        raise UsageError(
            f"The fault empties {unknown[0]!r}, which is no feature view of the model and no "
            "column of the traffic file.",
            f"name one of {known}",
        )
    broken = (pl.col("_asked") >= fault.start) & (pl.col("_asked") < fault.end)
    return frame.with_columns(
        pl.when(broken).then(None).otherwise(pl.col(name)).alias(name) for name in emptied
    )
