"""Outcomes as data: the joined rows as a dataset version, and real performance by group."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec

from thrive.data.reading import find_version
from thrive.data.storing import add_rows
from thrive.domain.actor import ANYONE, AUTHORS
from thrive.domain.clock import DAY, format_time, parse_duration, parse_time
from thrive.domain.dataset import AddedVersion
from thrive.domain.errors import CannotTell, UsageError
from thrive.feedback.grouped import grouped_performance
from thrive.feedback.training_rows import joined
from thrive.flows.making import record_making
from thrive.monitoring.terms import terms_of
from thrive.operations import Context, Kind, operation
from thrive.packaging.signature import OutputKind
from thrive.store import models, predictions
from thrive.store.prediction_frames import write_outcomes
from thrive.store.sources.slices import write_rows


@operation(
    "outcomes dataset",
    role=AUTHORS,
    kind=Kind.CLIENT,
    writes=True,
    next_hint="thrive data list",
)
def outcomes_dataset(
    ctx: Context, model: str, *, name: str, since: str = "", until: str = ""
) -> AddedVersion:
    """Keep predictions with what really happened as a version of a dataset, to train on.

    Inputs stand as they were served, beside `_label`, `_score` and `_time`.

    Args:
        model: whose predictions.
        name: of the dataset.
        since: only predictions from then on, e.g. 2013-06-01; from the first, if left out.
        until: only predictions before then; to the last, if left out.

    Raises:
        CannotTell: no prediction of that time has an outcome.

    Examples:
        thrive outcomes dataset flight-delay --name flights-live --since 2013-06-01
    """
    began = ctx.now()
    start = parse_time(since) if since else 0
    end = parse_time(until) if until else began + 1
    with ctx.read() as tx:
        models.get(tx, ctx.project_id, model)
    rows = joined(ctx.home, model, start, end)
    if not rows.height:
        raise CannotTell(
            f"No prediction of {model} in that time has an outcome.", "thrive outcomes status"
        )
    with tempfile.TemporaryDirectory(dir=ctx.home.temporary_folder) as folder:
        path = write_rows(rows, Path(folder))
        why = f"Predictions of {model} with what really happened."
        added = add_rows(ctx, path, name=name, why=why)
    version = find_version(ctx, name, added.version)
    source = f"outcomes of {model}, {format_time(start)} to {format_time(end)}"
    record_making(ctx, version, source, [], began)
    return added


class GroupPerformance(msgspec.Struct, frozen=True, kw_only=True):
    """Real performance of one group in one stretch of time.

    Attributes:
        start: of the stretch, UTC microseconds.
        version: of the model.
        variant: who answered, e.g. production or candidate.
        group: the values of the columns that were asked for.
        rows: answers of versions to users: no shadows, no failed requests; as in
            `outcomes status`.
        labelled: those with an outcome, as in `outcomes status`.
        metric: what performance is: `accuracy`, the share of right decisions, or `mae`, the mean
            absolute error.
        performance: its value; None without outcomes.
        low: lower end of its 95 % interval.
        high: upper end.
        delay_p90: microseconds after which nine of ten outcomes were known.
    """

    start: int
    version: int
    variant: str
    group: dict[str, str | int | float | bool | None]
    rows: int
    labelled: int
    metric: str
    performance: float | None
    low: float | None
    high: float | None
    delay_p90: int | None


@operation("outcomes performance", role=ANYONE, kind=Kind.JOB)
def outcomes_performance(
    ctx: Context,
    model: str,
    *,
    by: list[str] | None = None,
    within: str = "30 days",
    every: str = "1 day",
) -> list[GroupPerformance]:
    """Show real performance by version and variant, and by columns, over time, with intervals.

    It counts what `outcomes status` counts: the answers that versions gave to users within that
    time, and those of them that have an outcome.

    Args:
        model: whose.
        by: inputs or keys to group by as well.
        within: how far back to look.
        every: the length of a stretch of time.

    Raises:
        UsageError: no answer of that time has such an input or key.

    Examples:
        thrive outcomes performance flight-delay --by origin --every "7 days"
    """
    now = ctx.now()
    since = now - parse_duration(within)
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, model)
        sealed = predictions.find_sealed(tx, ctx.project_id, since, now)
    target = terms_of(ctx, version).model.target
    kind = version.signature.get("output", {}).get("kind")
    classes = kind in {OutputKind.CLASS, OutputKind.VECTOR}
    threshold = None if classes or kind == OutputKind.NUMBER else target.threshold
    with tempfile.TemporaryDirectory(dir=ctx.home.temporary_folder) as place:
        folder = Path(place)
        logs = [_local(ctx, digest, folder) for digest in {item.digest for item in sealed} - {""}]
        if not logs:
            return []
        outcomes = folder / "outcomes.parquet"
        write_outcomes(ctx.home, outcomes, since, now + DAY)
        columns = [_column(logs, name) for name in by or []]
        found = grouped_performance(
            logs,
            outcomes,
            by=columns,
            threshold=threshold,
            positive=target.positive,
            classes=classes,
            every=parse_duration(every),
            since=since,
            until=now,
            model=model,
            folder=folder,
        )
    metric = "mae" if kind == OutputKind.NUMBER else "accuracy"
    return [_group(row, columns, metric) for row in found.to_dicts()]


def _local(ctx: Context, digest: str, folder: Path) -> Path:
    path = ctx.home.blobs.local_path(digest)
    if path is None:
        path = folder / f"{digest}.parquet"
        path.write_bytes(ctx.home.blobs.get(digest))
    return path


def _column(logs: list[Path], name: str) -> str:
    import polars as pl

    known = {column for path in logs for column in pl.read_parquet_schema(path)}
    found = next((column for column in (f"x.{name}", f"k.{name}") if column in known), None)
    if found is None:
        has = ", ".join(sorted(column[2:] for column in known if column[1:2] == "."))
        raise UsageError(f"No answer has an input {name!r}.", f"they have {has[:200]}")
    return found


def _group(row: dict[str, Any], columns: list[str], metric: str) -> GroupPerformance:
    delay = row["delay_p90"]
    return GroupPerformance(
        start=row["start"],
        version=row["version"],
        variant=row["variant"],
        group={name[2:]: row[name] for name in columns},
        rows=row["rows"],
        labelled=row["labelled"],
        metric=metric,
        performance=row["performance"],
        low=row["low"],
        high=row["high"],
        delay_p90=None if delay is None else round(delay),
    )
