"""Compare: why is B better? What differs comes first."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from thrive.domain.errors import NotFound, UsageError
from thrive.domain.run import Artifact, Run, RunState
from thrive.domain.view import ViewPage
from thrive.operations import Context
from thrive.store import runs
from thrive.store.database import Tx
from thrive.tracking.curves import curves_of
from thrive.tracking.recovery import as_seen
from thrive.ui.saved import Views, views_of

MOST = 200
"""Runs that are compared at most."""
POINTS = 200
"""Points of a curve: the extremes of each stretch."""
AXES = 8
WITH_FILES = 6
"""Up to so many runs the artifacts stand side by side."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One of the runs."""

    run_id: str
    name: str
    experiment: str
    state: RunState
    started_at: int
    took: int | None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter or metric over the runs; `best` is the place of the highest value."""

    name: str
    values: list[Any]
    differs: bool


class CurveOf(msgspec.Struct, frozen=True, kw_only=True):
    """The history of the chosen metric in one run."""

    run_id: str
    steps: list[int]
    values: list[float | None]
    smoothed: list[float | None]


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """One axis of the parallel coordinates: places (0..1) of the runs, None where one has none."""

    name: str
    places: list[float | None]
    low: str
    high: str


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact name over the runs; `is_image` tells that it can be looked at."""

    name: str
    is_image: bool
    same: bool
    files: list[Artifact | None]


class ComparePage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs side by side.

    Attributes:
        params: the differing first.
        metrics: the latest values.
        metric: the one whose curves are drawn, "" where none has a history.
        charted: the metrics that have one.
        smooth: weight of what came before, 0..0.99.
        log: whether the scale of values is logarithmic.
        views: the saved views, and the address of this one.
        files: artifacts side by side; empty for many runs.
    """

    now: int
    runs: list[Compared]
    params: list[Row]
    metrics: list[Row]
    metric: str
    charted: list[str]
    curves: list[CurveOf]
    smooth: float
    log: bool
    axes: list[Axis]
    views: Views
    files: list[FileRow]


def load(ctx: Context, words: Mapping[str, str]) -> ComparePage:
    """Return some runs side by side.

    Args:
        ctx: the project.
        words: `run` (ids with commas between them), `metric`, `smooth` (0..0.99), `log` (1).

    Raises:
        NotFound: a run is not there.
        UsageError: fewer than two runs, or too many; or `smooth` is no such number.
    """
    ids = list(dict.fromkeys(each for each in words.get("run", "").split(",") if each))
    if not 2 <= len(ids) <= MOST:
        raise UsageError(
            f"2 to {MOST} runs are compared, and {len(ids)} are named.", "choose them in /runs"
        )
    smooth = _smooth(words.get("smooth", ""))
    with ctx.read() as tx:
        found = [as_seen(run) for run in _runs(tx, ctx.project_id, ids)]
        charted = _charted(found)
        metric = words.get("metric", "")
        metric = metric if metric in charted else next(iter(charted), "")
        curves = [
            _curve(ctx, tx, run, metric, smooth) for run in found if metric in (run.summaries or {})
        ]
        files = _files(tx, ctx.project_id, found)
    params = _rows([run.params for run in found])
    metrics = _rows([run.metrics for run in found])
    return ComparePage(
        now=ctx.now(),
        runs=_all_compared(found),
        params=params,
        metrics=metrics,
        metric=metric,
        charted=charted,
        curves=curves,
        smooth=smooth,
        log=words.get("log", "") == "1",
        axes=_axes(params, metrics, metric),
        views=views_of(ctx, ViewPage.COMPARE, words),
        files=files,
    )


def _runs(tx: Tx, project: str, ids: list[str]) -> list[Run]:
    found = {run.run_id: run for run in runs.some(tx, project, ids)}
    made = [found.get(each) or runs.get(tx, project, each) for each in ids]
    if len({run.run_id for run in made}) < len(made):
        raise NotFound("A run is named twice.", "choose others in /runs")
    return made


def _smooth(text: str) -> float:
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 0.99:
        raise UsageError(
            f"smooth={text[:20]!r} is no number of 0 to 0.99.", "write e.g. smooth=0.6"
        )
    return value


def _all_compared(found: list[Run]) -> list[Compared]:
    """Return the runs by names that tell them apart."""
    names = Counter(run.name for run in found)
    return [
        _compared(run, f"{run.name} {run.run_id[-4:]}" if names[run.name] > 1 else run.name)
        for run in found
    ]


def _compared(run: Run, name: str) -> Compared:
    return Compared(
        run_id=run.run_id,
        name=name.strip() or run.run_id[-8:],
        experiment=run.experiment,
        state=run.state,
        started_at=run.started_at,
        took=run.ended_at - run.started_at if run.ended_at is not None else None,
    )


def _rows(groups: list[dict[str, Any]]) -> list[Row]:
    """Return each key over the runs, those that differ first."""
    rows: list[Row] = []
    for key in sorted({key for group in groups for key in group}):
        values = [group.get(key) for group in groups]
        differs = any(value != values[0] for value in values)
        rows.append(Row(name=key, values=values, differs=differs))
    return sorted(rows, key=lambda row: not row.differs)


def _charted(found: list[Run]) -> list[str]:
    counts: dict[str, int] = {}
    for run in found:
        for key, summary in (run.summaries or {}).items():
            if summary.points > 1:
                counts[key] = counts.get(key, 0) + 1
    return sorted(counts, key=lambda key: (-counts[key], key))


def _curve(ctx: Context, tx: Tx, run: Run, metric: str, smooth: float) -> CurveOf:
    steps, values = curves_of(ctx.home).curve(tx, run.run_id, metric, POINTS)
    return CurveOf(
        run_id=run.run_id,
        steps=steps.tolist(),
        values=_finite(values),
        smoothed=_finite(smoothed(values, smooth)) if smooth else [],
    )


def _finite(values: Any) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]


def smoothed(values: Any, weight: float) -> Any:
    """Return the exponential moving average, its beginning corrected for what is not there yet.

    Args:
        values: float64; NaN is passed over.
        weight: of what came before, 0 (included) to 1.

    The correction is that of Adam (Kingma and Ba 2015).
    """
    made = np.empty(len(values))
    last, seen = 0.0, 0
    for place, value in enumerate(values.tolist()):
        if np.isfinite(value):
            last, seen = last * weight + (1 - weight) * value, seen + 1
        made[place] = last / (1 - weight**seen) if seen else np.nan
    return made


def _axes(params: list[Row], metrics: list[Row], metric: str) -> list[Axis]:
    chosen = [row for row in params if row.differs][: AXES - 1]
    charted = [row for row in metrics if row.name == metric]
    others = [row for row in metrics if row.differs and row.name != metric]
    shown = [*chosen, *charted, *others][:AXES]
    return [_axis(row) for row in shown] if chosen else []


def _axis(row: Row) -> Axis:
    numbers = [each for each in row.values if _is_number(each)]
    known = [each for each in row.values if each is not None]
    if numbers and len(numbers) == len(known):
        low, high = min(numbers), max(numbers)
        width = (high - low) or 1.0
        places = [None if value is None else (value - low) / width for value in row.values]
        return Axis(name=row.name, places=places, low=f"{low:.4g}", high=f"{high:.4g}")
    names = sorted({str(each) for each in known})
    ranks = {name: place / max(1, len(names) - 1) for place, name in enumerate(names)}
    return Axis(
        name=row.name,
        places=[None if value is None else ranks[str(value)] for value in row.values],
        low=names[0] if names else "",
        high=names[-1] if names else "",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)


def _files(tx: Tx, project: str, found: list[Run]) -> list[FileRow]:
    if len(found) > WITH_FILES:
        return []
    by_run = [
        {each.name: each for each in runs.find_artifacts(tx, project, run.run_id)} for run in found
    ]
    rows: list[FileRow] = []
    for name in sorted({name for files in by_run for name in files}):
        files = [each.get(name) for each in by_run]
        digests = {each.digest if each else None for each in files}
        rows.append(
            FileRow(name=name, is_image=is_image(name), same=len(digests) == 1, files=files)
        )
    return sorted(rows, key=lambda row: (row.same, not row.is_image))


def is_image(name: str) -> bool:
    """Tell whether a name is that of a picture that browsers show."""
    return name.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".webp"))
