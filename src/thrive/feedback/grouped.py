"""Real performance by group, joined out of memory: many predictions, many outcomes, one pass.

DuckDB joins the sealed Parquet files with the latest revision of each outcome. Shares of right
decisions carry Wilson's interval, mean errors the normal one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from thrive.domain.clock import DAY
from thrive.statistics.intervals import critical_value

if TYPE_CHECKING:
    import polars as pl

_FOREVER = 1 << 62
_MEMORY_MB = 640
"""What the join holds at most before it goes to disk."""


def grouped_performance(
    logs: Sequence[Path],
    outcomes: Path,
    *,
    by: Sequence[str] = (),
    threshold: float | None = None,
    positive: object = None,
    classes: bool = False,
    every: int = DAY,
    since: int = 0,
    until: int = _FOREVER,
    model: str = "",
    folder: Path | None = None,
) -> "pl.DataFrame":
    """Return rows, labelled rows, real performance with its interval and label delay by group.

    Args:
        logs: sealed prediction logs.
        outcomes: a Parquet file with `prediction_id, value, revision, recorded_at`; the highest
            revision of each prediction counts. Values are numbers, 1 and 0 for yes and no; for
            classes and a positive text, `said` holds them as text.
        by: more columns to group by than time, version and variant, e.g. `x.origin`.
        threshold: the score that decides yes; None for numbers and more classes.
        positive: the outcome that counts as yes; above one half, if left out.
        classes: an answer is right where its decision is the outcome.
        every: microseconds of a stretch of time.
        since: only answers from then on, UTC microseconds.
        until: only answers before then.
        model: only this model's rows; all, if left out.
        folder: where intermediate files go; memory alone if left out.

    Returns:
        One row a group: `start, version, variant`, the columns of `by`, `rows, labelled,
        performance, low, high` (95 %) and `delay_p90` in microseconds. Rows are the answers of
        versions to users: neither shadows nor requests that failed. `performance` is the share of
        right decisions, or the mean absolute error.
    """
    import duckdb
    import polars as pl

    connection = duckdb.connect()
    try:
        connection.execute(f"SET memory_limit = '{_MEMORY_MB}MB'")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET enable_progress_bar = false")
        if folder is not None:
            connection.execute("SET temp_directory = ?", [str(folder)])
        shares = classes or threshold is not None
        query = _query(by, _hit(threshold, positive, classes=classes), model, shares=shares)
        given = {
            "logs": [str(path) for path in logs],
            "outcomes": str(outcomes),
            "every": every,
            "since": since,
            "until": until,
            "z": critical_value(0.95),
            **({"model": model} if model else {}),
            **({} if threshold is None else {"threshold": threshold}),
            **({} if threshold is None or positive is None else {"positive": _plain(positive)}),
        }
        done = connection.execute(query, given)
        names = [column[0] for column in done.description]
        return pl.DataFrame(done.fetchall(), schema=names, orient="row", infer_schema_length=None)
    finally:
        connection.close()


def _plain(positive: object) -> float | str:
    return float(positive) if isinstance(positive, int | float) else str(positive)


def _hit(threshold: float | None, positive: object, *, classes: bool) -> str:
    """Return how one labelled answer is judged, as monitoring judges it."""
    if classes:
        return "CAST(decision = said AS DOUBLE)"
    if threshold is None:
        return "abs(score - value)"
    yes = "value > 0.5"
    if positive is not None:
        yes = "said = $positive" if isinstance(_plain(positive), str) else "value = $positive"
    return f"CAST((score >= $threshold) = ({yes}) AS DOUBLE)"


def _query(by: Sequence[str], hit: str, model: str, *, shares: bool) -> str:
    names = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in by]
    groups = ", ".join(["start", "version", "variant", *names])
    held = "".join(f", {name}" for name in names)
    only = "AND model = $model" if model else ""
    low, high = _WILSON if shares else _NORMAL
    said = "arg_max(said, revision) AS said," if " said" in hit or "(said" in hit else ""
    return f"""
        WITH told AS (
            SELECT prediction_id, arg_max(value, revision) AS value, {said}
                   min(recorded_at) AS recorded_at
            FROM read_parquet($outcomes) GROUP BY prediction_id
        ), judged AS (
            SELECT time - time % $every AS start, version, variant{held},
                   {hit} AS hit, recorded_at - time AS delay
            FROM read_parquet($logs, union_by_name = true)
            LEFT JOIN told USING (prediction_id)
            WHERE variant <> 'shadow' AND error = '' AND time >= $since AND time < $until {only}
        ), counted AS (
            SELECT {groups}, count(*) AS rows, count(hit) AS labelled, avg(hit) AS performance,
                   coalesce(stddev_samp(hit), 0) AS spread,
                   approx_quantile(delay, 0.9) AS delay_p90
            FROM judged GROUP BY {groups}
        )
        SELECT {groups}, rows, labelled, performance, {low} AS low, {high} AS high, delay_p90
        FROM counted ORDER BY {groups}
    """


_MIDDLE = "(performance + $z * $z / (2 * labelled)) / (1 + $z * $z / labelled)"
_HALF = (
    "$z * sqrt(performance * (1 - performance) / labelled + $z * $z / (4 * labelled * labelled))"
    " / (1 + $z * $z / labelled)"
)
_WILSON = (
    f"CASE WHEN labelled > 0 THEN {_MIDDLE} - {_HALF} END",
    f"CASE WHEN labelled > 0 THEN {_MIDDLE} + {_HALF} END",
)
"""Wilson's interval of a share (1927)."""
_NORMAL = tuple(
    f"CASE WHEN labelled > 1 THEN performance {sign} $z * spread / sqrt(labelled) END"
    for sign in "-+"
)
