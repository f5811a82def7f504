"""Where a model version came from, and what came from it: data, code, releases, answers."""

from collections.abc import Sequence

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.errors import NotFound
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference, parse_reference
from thrive.domain.release import RoutingTable
from thrive.domain.run import Use
from thrive.operations import Context, operation
from thrive.store import datasets, models, releases, runs
from thrive.store.database import Tx
from thrive.store.prediction_frames import counts_by_version


class ReadData(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset version that the run read, and the columns of it that it needed."""

    dataset: str
    version: int | None
    digest: str
    columns: str


class Origin(ReadData, frozen=True, kw_only=True):
    """A dataset version that an earlier run read; `through` is what it made from it."""

    through: str


class LivePeriod(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch with one share of traffic; `until` is None while it lasts.

    Times are UTC microseconds, `share` is 0..1.
    """

    share: float
    shadow: bool
    since: int
    until: int | None
    release_id: str


class ModelLineage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known of a model version's origin and of its use, in both directions.

    `origins` are what the data was made from, however many runs before; `predictions` counts the
    answers in the sealed log.
    """

    model: str
    version: int
    run_id: str
    commit: str
    dirty: bool
    data: list[ReadData]
    origins: list[Origin]
    periods: list[LivePeriod]
    predictions: int


@operation(
    "models lineage",
    role=ANYONE,
    next_hint="thrive data lineage {data[0].dataset}@{data[0].version}",
)
def lineage(ctx: Context, model: str) -> ModelLineage:
    """Show which run, code and data made a version, when it was live, and how much it answered.

    Args:
        ctx: the context of the call.
        model: MODEL for the newest version, or MODEL@VERSION.

    Raises:
        NotFound: there is no such model or version.

    Examples:
        thrive models lineage flight-delay@1
        thrive models lineage flight-delay --json
    """
    name, number = parse_reference(model)
    with ctx.read() as tx:
        version = models.get_version(tx, ctx.project_id, name, number)
        data = read_data(tx, ctx, [version])[version.version]
        origins = _origins(tx, ctx, data)
        history = releases.routing_history(tx, ctx.project_id, name)
    answered = counts_by_version(ctx.home).get((name, version.version), 0)
    return ModelLineage(
        model=name,
        version=version.version,
        run_id=version.run_id,
        commit=version.commit,
        dirty=version.dirty,
        data=data,
        origins=origins,
        periods=_periods(version, history),
        predictions=answered,
    )


def read_data(tx: Tx, ctx: Context, versions: Sequence[ModelVersion]) -> dict[int, list[ReadData]]:
    """Return the dataset versions that the run of each version of a model read, by number."""
    made_by = {version.run_id for version in versions if version.run_id}
    uses = runs.uses_by_run(tx, ctx.project_id, made_by) if made_by else {}
    return {version.version: _read(uses.get(version.run_id, [])) for version in versions}


def _read(uses: list[Use]) -> list[ReadData]:
    """Return the dataset versions among what a run used, by name."""
    read = [use for use in uses if use.kind == "dataset" and use.direction == "in"]
    return [_data(use) for use in sorted(read, key=lambda use: (use.name, use.version or 0))]


def _origins(tx: Tx, ctx: Context, data: Sequence[ReadData]) -> list[Origin]:
    """Return what data was made from by runs, and those before them, each once."""
    seen = {(each.dataset, each.version) for each in data}
    waiting, found = [*data], list[Origin]()
    while waiting:
        made = waiting.pop(0)
        for use in _made_from(tx, ctx, made):
            if (use.name, use.version) not in seen:
                seen.add((use.name, use.version))
                label = format_reference(made.dataset, made.version or 0)
                found.append(Origin(**msgspec.structs.asdict(_data(use)), through=label))
                waiting.append(found[-1])
    return found


def _made_from(tx: Tx, ctx: Context, made: ReadData) -> list[Use]:
    """Return the dataset versions that the run read which made this one."""
    try:
        version = datasets.get_version(tx, ctx.project_id, made.dataset, made.version)
    except NotFound:  # it was removed
        return []
    uses = runs.find_uses(tx, ctx.project_id, version.made_by) if version.made_by else []
    return [use for use in uses if use.kind == "dataset" and use.direction == "in"]


def _data(use: Use) -> ReadData:
    return ReadData(dataset=use.name, version=use.version, digest=use.digest, columns=use.needed())


def _periods(version: ModelVersion, history: list[RoutingTable]) -> list[LivePeriod]:
    """Return the stretches in which a version had traffic or a shadow, oldest first.

    Args:
        version: whose.
        history: routing tables, newest first.
    """
    tables = history[::-1]
    ends: list[int | None] = [table.at for table in tables[1:]]
    return [
        LivePeriod(
            share=variant.share,
            shadow=variant.shadow,
            since=table.at,
            until=until,
            release_id=table.release_id or "",
        )
        for table, until in zip(tables, [*ends, None], strict=False)
        for variant in table.variants
        if variant.version == version.version and (variant.shadow or variant.share > 0)
    ]
