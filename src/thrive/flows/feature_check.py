"""Skew: what serving read of each view, against what history says it should have read.

The logged predictions are the rows of a training set made now: same keys, same moments. Where a
value differs from the one that was served, training and inference did not see the same feature.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.domain.actor import AUTHORS
from thrive.domain.clock import DAY, ClockMode, parse_duration
from thrive.domain.errors import CannotTell, NotFound, Refused, UsageError
from thrive.domain.features import VIEW_STATUS, FeatureSpec, SpecView
from thrive.domain.model import ModelVersion
from thrive.features.discover import Declared, load_declared
from thrive.features.join import add_on_demand, join_views
from thrive.features.rows import STATUS, NormalRows
from thrive.flows.feature_rows import rows_of, sources_of
from thrive.monitoring.alerts import tell_skew
from thrive.monitoring.findings import Fault
from thrive.operations import Context, Kind, operation
from thrive.serving.sealing import seal_logs
from thrive.serving.views import typed_column
from thrive.store import models
from thrive.store.online.encoding import plain
from thrive.store.prediction_frames import predictions_between

if TYPE_CHECKING:
    import polars as pl

MARK = "offline."
LEAST_SHARE = 0.01
"""Share of rows with another value from which it is worth an alert."""
TOLERANCE = 1e-9
"""Relative difference up to which two numbers are the same."""


class FeatureSkew(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of one version: how often what was served is what history says.

    `differ` counts rows with another value, `late` those of them whose value was missing or too
    old when it was served and is known by now: materialize more often.
    """

    feature: str
    view: str
    version: int
    rows: int
    differ: int
    share: float
    largest: float | None
    late: int


class SkewReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `features check` found: no skew, or which features."""

    model: str
    rows: int
    skewed: list[str]
    features: list[FeatureSkew]

    @property
    def exit_code(self) -> int:
        """1 where a feature is skewed."""
        return 1 if self.skewed else 0


@operation("features check", kind=Kind.CLIENT, role=AUTHORS)
def check(
    ctx: Context,
    model: str,
    *,
    last: str = "7 days",
    rows: int = 100_000,
    alert: bool = False,
) -> SkewReport:
    """Compare the features that were served with what history says they should have been.

    Args:
        model: whose predictions.
        last: how far back.
        rows: at most so many, spread evenly over the time.
        alert: open an alert where they differ, and say that it is over where they no longer do.

    Raises:
        NotFound: there is no such model.
        CannotTell: no prediction was made with feature views.
        Refused: the code of a view is another than the model was trained on.

    Examples:
        thrive features check flight-delay
        thrive features check flight-delay --last "1 day" --alert
    """
    if rows < 1:
        raise UsageError(f"--rows {rows} compares nothing.", "--rows 100000")
    seal_logs(ctx.home, force=True)
    now = ctx.now()
    with ctx.read() as tx:
        models.get(tx, ctx.project_id, model)
        versions = models.versions(tx, ctx.project_id, model)
    logged = predictions_between(ctx.home, now - parse_duration(last), now + DAY, model)
    if ctx.home.clock().mode is ClockMode.REPLAY:
        # A shadow answers after its caller did; a replayed hour may have gone by, and its views on.
        logged = logged.filter(logged["variant"] != "shadow")
    declared = load_declared(ctx.local_folder())
    found: list[FeatureSkew] = []
    compared = 0
    for version in versions:
        mine = _sampled(logged, version, rows)
        if version.features is not None and mine.height:
            compared += mine.height
            compared_here = _compared(ctx, version, version.features, declared, mine)
            found += compared_here
            if alert:
                tell_skew(ctx, version, _faults(compared_here))
    if not compared:
        named = any(version.features is not None for version in versions)
        raise CannotTell(
            f"No prediction of {model} in the last {last} was made with feature views.",
            '--last "30 days"'
            if named
            else f'name them in [model.{model}]: features = ["..."], and train again',
        )
    skewed = [f"{each.feature} of {model}@{each.version}" for each in found if each.differ]
    return SkewReport(model=model, rows=compared, skewed=skewed, features=found)


def _faults(found: list[FeatureSkew]) -> list[Fault]:
    differ = [each for each in found if each.share >= LEAST_SHARE]
    return [
        Fault(column=each.feature, kind="skewed", share=each.share, expected=0.0)
        for each in sorted(differ, key=lambda each: -each.share)
    ]


def _sampled(logged: "pl.DataFrame", version: ModelVersion, rows: int) -> "pl.DataFrame":
    """Return the answered rows of a version, at most so many."""
    import polars as pl

    answered = (pl.col("version") == version.version) & (pl.col("error") == "")
    mine = logged.filter(answered & (pl.col("variant") != "fallback"))
    every = -(-mine.height // rows) or 1
    return mine.gather_every(every) if every > 1 else mine


def _compared(
    ctx: Context,
    version: ModelVersion,
    spec: FeatureSpec,
    declared: Declared,
    logged: "pl.DataFrame",
) -> list[FeatureSkew]:
    sides = [_side(ctx, version, view, declared) for view in spec.views]
    computed = declared.chosen([each.name for each in spec.on_demand])[1]
    spine = _spine(logged, spec).lazy()
    with TemporaryDirectory(dir=ctx.home.temporary_folder, prefix="check-") as folder:
        joined = join_views(spine, "time", sides, Path(folder), status=True)
        offline = add_on_demand(joined, computed).collect()
    served = {name[2:] for name in logged.columns if name.startswith("x.")}
    places = [(view.name, column.name) for view in spec.views for column in view.columns]
    places += [(each.name, each.name) for each in spec.on_demand]
    return [
        _skew(version, view, feature, logged, offline)
        for view, feature in places
        if feature in served
    ]


def _side(ctx: Context, version: ModelVersion, spec: SpecView, declared: Declared) -> NormalRows:
    """Return a view's rows, if its code is that of the version.

    Raises:
        Refused: it is another.
    """
    view = declared.views.get(spec.name)
    if view is None:
        raise NotFound(
            f"{version.model}@{version.version} uses the view {spec.name!r}, which features.py "
            "does not declare.",
            f"git checkout {version.commit or 'the commit it was trained at'}",
        )
    rows = rows_of(ctx, view, sources_of(ctx, view))
    if rows.digest != spec.digest:
        raise Refused(
            f"View {spec.name!r} is another than {version.model}@{version.version} was trained on.",
            f"git checkout {version.commit or 'the commit it was trained at'}",
        )
    return rows


def _spine(logged: "pl.DataFrame", spec: FeatureSpec) -> "pl.DataFrame":
    """Return the moment of each prediction with the request's fields, in their training types."""
    import polars as pl

    types = {key.name: key.dtype for view in spec.views for key in view.keys}
    features = {column.name for view in spec.views for column in view.columns}
    features |= {each.name for each in spec.on_demand}
    for each in spec.on_demand:
        types |= {field.name: field.dtype for field in each.inputs if field.name not in features}
    columns = [_typed(logged, name, kind).alias(name) for name, kind in types.items()]
    return pl.DataFrame([logged["time"], *columns])


def _typed(logged: "pl.DataFrame", name: str, dtype: str) -> "pl.Series":
    place = next((each for each in (f"k.{name}", f"x.{name}") if each in logged.columns), None)
    if place is None:
        raise CannotTell(
            f"The log holds no {name!r}: it is masked, or was never sent.", "see [model] log.mask"
        )
    return typed_column(logged[place].to_list(), dtype)


def _skew(
    version: ModelVersion, view: str, feature: str, logged: "pl.DataFrame", offline: "pl.DataFrame"
) -> FeatureSkew:
    import polars as pl

    expected = plain(offline, [feature])[feature].rename(f"{MARK}{feature}")
    served = plain(logged, [f"x.{feature}"])[f"x.{feature}"]
    table = pl.DataFrame([served.rename("a"), expected.rename("b")])
    same = same_values(table.schema["a"], table.schema["b"])
    status = logged.get_column(f"k.{VIEW_STATUS}{view}", default=None)
    known = offline.get_column(f"{view}{STATUS}", default=None)
    table = table.with_columns(same.alias("same"))
    differ = table.filter(~pl.col("same"))
    late = 0
    if status is not None and known is not None:
        late = int(((status != known) & ~table["same"]).sum())
    numeric = table.schema["a"].is_numeric() and table.schema["b"].is_numeric()
    largest: Any = (differ["a"] - differ["b"]).abs().drop_nans().max() if numeric else None
    return FeatureSkew(
        feature=feature,
        view=view,
        version=version.version,
        rows=table.height,
        differ=differ.height,
        share=round(differ.height / table.height, 6),
        largest=None if largest is None else float(largest),
        late=late,
    )


def same_values(served: Any, expected: Any) -> "pl.Expr":
    """Return whether two cells hold the same value; numbers up to a rounding.

    Equal infinities are the same, and so are two that are no number.
    """
    import polars as pl

    a, b = pl.col("a"), pl.col("b")
    if not (served.is_numeric() and expected.is_numeric()):
        return a.cast(pl.String).eq_missing(b.cast(pl.String))
    x, y = a.cast(pl.Float64), b.cast(pl.Float64)
    close = (x - y).abs() <= TOLERANCE * pl.max_horizontal(x.abs(), y.abs(), pl.lit(1.0))
    near = (a == b) | (x.is_finite() & y.is_finite() & close)
    return pl.when(a.is_null() | b.is_null()).then(a.is_null() & b.is_null()).otherwise(near)
