"""Training sets: a table's rows with what its views said at each row's time."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

import msgspec

from thrive import data
from thrive.data.reading import find_version, project_here
from thrive.data.storing import add_rows
from thrive.domain.clock import parse_time
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import NotFound, Refused, UsageError
from thrive.domain.run import Use
from thrive.engines import channel
from thrive.features.declare import OnDemand, View
from thrive.features.discover import Declared, load_declared
from thrive.features.join import IN_MEMORY, add_on_demand, join_views
from thrive.features.rows import NormalRows, cells_of, normal_rows
from thrive.flows.derived import Origin, inherit
from thrive.flows.feature_rows import registered
from thrive.flows.making import record_making
from thrive.flows.view_origins import column_origins
from thrive.operations import Context
from thrive.store.place import FOLDER, find_project_folder
from thrive.store.sources.frames import as_polars
from thrive.store.sources.slices import write_rows

if TYPE_CHECKING:
    import polars as pl

Named = str | View | OnDemand
"""A view or an on-demand feature, by its name or as it was declared."""
Engine = Literal["local", "ray"]
_NO_TIME = "_asked"


class _Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a training set is made of."""

    rows: list[NormalRows]
    views: list[View]
    on_demand: list[Any]
    entities: str = ""

    def datasets(self) -> list[str]:
        """Return the datasets that were read: the views' sources, and the rows' own."""
        found = {source for side in self.rows for source in side.definition.sources}
        return sorted(found | {self.entities} - {""})

    def label(self) -> str:
        """Return the views with their digests and sources, as the lineage of what they made."""
        views = [f"{each.definition.name} {each.digest[:12]}" for each in self.rows]
        return ", ".join([*views, *(each.name for each in self.on_demand)])


class Options(TypedDict, total=False):
    """What `training_set` takes by name."""

    time: str
    as_of: str | int | None
    status: bool
    name: str
    why: str
    engine: Engine
    address: str


@overload
def training_set(
    entities: Any, views: Sequence[Named], *, lazy: Literal[True], **options: Unpack[Options]
) -> "pl.LazyFrame": ...


@overload
def training_set(
    entities: Any,
    views: Sequence[Named],
    *,
    lazy: Literal[False] = False,
    **options: Unpack[Options],
) -> "pl.DataFrame": ...


def training_set(
    entities: Any,
    views: Sequence[Named],
    *,
    time: str = "",
    as_of: str | int | None = None,
    status: bool = False,
    name: str = "",
    why: str = "",
    lazy: bool = False,
    engine: Engine = "local",
    address: str = "",
) -> "pl.DataFrame | pl.LazyFrame":
    """Return the rows of `entities`, in their order, with what the views said at each row's time.

    A value is never later than the row's time, nor was it known later; one older than its view's
    `ttl` is missing. Inside a run the sources and views become lineage, and a model registered by
    it carries them.

    Args:
        entities: a frame (Polars, pandas, Arrow) or the name of a dataset; it has the entity
            columns of every view and a time.
        views: feature views and on-demand features, by name (of `features.py`) or as declared;
            an on-demand feature stands after those it reads.
        time: the column of the moment at which each row is asked about; the one time column if
            there is one only.
        as_of: take the history as it was known at this moment: a time, or UTC microseconds.
        status: add a column VIEW_status: present, stale or missing.
        name: keep the result as a version of this dataset, outside a run. It is written in parts
            that content decides: what an earlier version holds already is not stored again.
        why: what that dataset is kept for.
        lazy: return a lazy frame, for rows that do not fit into memory: over the version that is
            kept, in a run over files that last as long as the run.
        engine: `local` joins in memory or over files, `ray` on the nodes of a cluster in parts.
        address: of the cluster, as of `thrive run --address`; else the setting, else this machine.

    Raises:
        NotFound: there is no such view or dataset.
        UsageError: a column is missing, ambiguous or of the wrong type, Ray is not installed, or
            nothing says where lazy rows are kept.
        InfrastructureError: there is no cluster at the address.

    Examples:
        >>> features.training_set(flights, ["weather"], time="asked")  # doctest: +SKIP
    """
    in_run = channel.current() is not None
    if lazy and not in_run and not name:
        raise UsageError("Nothing says where the lazy rows are kept.", 'name="rows"')
    with _scratch(keep=lazy and in_run) as folder, _cluster(engine, address) as cluster:
        parts, rows = _joined(entities, views, folder, time, as_of, cluster, status=status)
        _tell(parts, rows)
        kept = _keep(rows, parts, folder, name, why) if name else None
        if not lazy:
            return rows.collect()
        return rows if kept is None else data.scan(kept)


def _joined(
    entities: Any,
    views: Sequence[Named],
    folder: Path,
    time: str,
    as_of: str | int | None,
    cluster: Any,
    *,
    status: bool,
) -> tuple[_Parts, "pl.LazyFrame"]:
    spine, asked = _timed(_frame(entities), time)
    chosen, on_demand = _chosen(views)
    moment = parse_time(as_of) if isinstance(as_of, str) else as_of
    frames = [[data.scan(name) for name in view.definition.sources] for view in chosen]
    sides = [
        normal_rows(view, sources, as_of=moment)
        for view, sources in zip(chosen, frames, strict=True)
    ]
    if asked == _NO_TIME and any(side.timed for side in sides):
        raise UsageError("The rows have no time, or several.", 'name its column: time="asked"')
    fits = cells_of(spine, *(frame for each in frames for frame in each)) <= IN_MEMORY
    joined = join_views(spine, asked, sides, folder, status=status, in_memory=fits, cluster=cluster)
    if asked == _NO_TIME:
        joined = joined.drop(_NO_TIME)
    asked_of = entities if isinstance(entities, str) else ""
    parts = _Parts(rows=sides, views=chosen, on_demand=on_demand, entities=asked_of)
    return parts, add_on_demand(joined, on_demand)


@contextmanager
def _cluster(engine: Engine, address: str) -> Generator[Any]:
    """Give the cluster to join on, None for this machine."""
    if engine == "local":
        yield None
        return
    if engine != "ray":
        raise UsageError(f"There is no engine {engine!r}.", 'engine="local" or engine="ray"')
    from thrive.engines.ray.spread import connected
    from thrive.settings import read_settings

    with connected(address or read_settings().ray_address or "auto") as cluster:
        yield cluster


def _frame(entities: Any) -> "pl.LazyFrame":
    import polars as pl

    if isinstance(entities, str):
        return data.scan(entities)
    return entities if isinstance(entities, pl.LazyFrame) else as_polars(entities).lazy()


def _timed(spine: "pl.LazyFrame", time: str) -> tuple["pl.LazyFrame", str]:
    """Return the rows and the column of their time; `_asked` where nothing says which."""
    import polars as pl

    if time:
        return spine, time
    times = [name for name, kind in spine.collect_schema().items() if kind == pl.Datetime]
    if len(times) == 1:
        return spine, times[0]
    return spine.with_columns(pl.lit(0, pl.Int64).alias(_NO_TIME)), _NO_TIME


def _chosen(views: Sequence[Named]) -> tuple[list[View], list[OnDemand]]:
    declared = load_declared(_folder()) if any(isinstance(v, str) for v in views) else Declared()
    found: list[Any] = []
    for each in views:
        if isinstance(each, str):
            chosen, computed = declared.chosen([each])
            found += [*chosen, *computed]
        else:
            found.append(each)
    return (
        [each for each in found if isinstance(each, View)],
        [each for each in found if isinstance(each, OnDemand)],
    )


def _folder() -> Path:
    """Return the project's folder, inside a run as well."""
    try:
        return find_project_folder(Path.cwd())
    except NotFound:
        return Path.cwd()


@contextmanager
def _scratch(*, keep: bool) -> Generator[Path]:
    """Give an empty folder for intermediate files, in the home; a run removes what is kept."""
    run = channel.current()
    root = Path(run.facts["scratch"]) if run else find_project_folder(Path.cwd()) / FOLDER / "tmp"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(mkdtemp(dir=root, prefix="features-"))
    try:
        yield folder
    finally:
        if not keep:
            rmtree(folder, ignore_errors=True)


def _tell(parts: _Parts, rows: "pl.LazyFrame") -> None:
    """Say to the run which views its rows were made with."""
    run = channel.current()
    if run is None:
        return
    types = rows.collect_schema()
    run.send(
        "features",
        views=[
            {
                "definition": msgspec.to_builtins(side.definition),
                "spec": msgspec.to_builtins(side.spec()),
            }
            for side in parts.rows
        ],
        on_demand=[msgspec.to_builtins(each.definition(types)) for each in parts.on_demand],
    )


def _keep(rows: "pl.LazyFrame", parts: _Parts, folder: Path, name: str, why: str) -> str:
    """Add the rows as a version of a dataset that names its views and keeps its sources' labels.

    Returns:
        The version, as `rows@3`.

    Raises:
        Refused: called inside a run, which records what it makes itself.
    """
    if channel.current() is not None:
        raise Refused("A run does not add data.", "return it from a step, or add it outside")
    (folder / "kept").mkdir()
    path = write_rows(rows, folder / "kept")
    with project_here("features.training_set") as ctx:
        schema = {column: str(dtype) for column, dtype in rows.collect_schema().items()}
        derived = inherit(ctx, name, schema, _origins(ctx, parts))
        label = parts.label()
        began = ctx.now()
        why = why or f"Training rows with {label}."
        added = add_rows(ctx, path, name=name, why=why, derived=derived)
        version = find_version(ctx, name, added.version)
        pinned = [find_version(ctx, source) for source in parts.datasets()]
        over = ", ".join(f"{each.dataset}@{each.version}" for each in pinned)
        source = f"features: {label} over {over}"
        record_making(ctx, version, source, _read(ctx, parts, pinned), began)
    return f"{name}@{added.version}"


def _read(ctx: Context, parts: _Parts, pinned: Sequence[DatasetVersion]) -> list[Use]:
    """Return what the rows were made from: versions of datasets, and the views over them."""
    views = [registered(ctx, side.definition, side.spec()) for side in parts.rows]
    return [
        *(
            Use(kind="dataset", name=v.dataset, digest=v.digest, direction="in", version=v.version)
            for v in pinned
        ),
        *(
            Use(
                kind="feature_view", name=v.name, digest=v.digest, direction="in", version=v.version
            )
            for v in views
        ),
    ]


def _origins(ctx: Context, parts: _Parts) -> dict[str, list[Origin]]:
    """Return of each column of a training set the columns of its sources that it comes from.

    The key and the time of a view say whom a value is about, not what it was computed from.
    """
    pinned = {source: find_version(ctx, source) for source in parts.datasets()}
    columns = {
        (source, column.name): column
        for source, version in pinned.items()
        for column in version.columns
    }
    found: dict[str, list[Origin]] = {}
    for (source, name), column in columns.items():
        found.setdefault(name, []).append(Origin(column, source, same=True))
    for view in parts.views:
        defined = view.definition
        keys = {*defined.entity, defined.event_time, defined.recorded_time}
        schemas = [data.scan(source).collect_schema() for source in defined.sources]
        for name, origins in column_origins(view, schemas).items():
            needed = [each for each in origins if each.same or each.column not in keys] or origins
            found[name] = [
                Origin(columns[each.dataset, each.column], each.dataset, each.same)
                for each in needed
            ]
    return found
