"""Where a version came from, and what came from it: runs, models, releases, predictions.

Edges are what runs recorded as they read; columns are those that a scan really needed, and
`all, opaque` where something took the rows whole.
"""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from thrive.data.reading import find_version
from thrive.domain.actor import ANYONE
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import NotFound
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference
from thrive.domain.release import RoutingTable
from thrive.domain.run import OPAQUE, Use
from thrive.operations import Context, operation
from thrive.store import datasets, erasures, models, releases, runs
from thrive.store.database import Tx


class RunEdge(msgspec.Struct, frozen=True, kw_only=True):
    """A run that read or made the version; `columns` are those it needed."""

    run_id: str
    direction: str
    pipeline: str
    state: str
    started_at: int
    columns: str


class ModelEdge(msgspec.Struct, frozen=True, kw_only=True):
    """A model version that learned from it, how far it came, and what it answered.

    Attributes:
        model: its name.
        version: its number.
        run_id: the run that made it.
        columns: the columns of the dataset that the run needed.
        releases: how often it was sent on its way to users.
        live_share: its share of live traffic now, 0..1.
        first_live_at: when it first answered users, None if it never did.
        predictions: answers in the sealed log, None where they were not counted.
        through: the versions between, made from it one after the other; empty where the model was
            trained on it itself.
    """

    model: str
    version: int
    run_id: str
    columns: str
    releases: int
    live_share: float
    first_live_at: int | None
    predictions: int | None
    through: str = ""


class DataEdge(msgspec.Struct, frozen=True, kw_only=True):
    """Another dataset version: what this one was made from, or what was made from it."""

    dataset: str
    version: int | None
    direction: str
    run_id: str


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything known of a version's origin and of its use, in both directions."""

    dataset: str
    version: int
    digest: str
    source: str
    made_by: str
    runs: list[RunEdge]
    models: list[ModelEdge]
    datasets: list[DataEdge]


@operation(
    "data lineage",
    role=ANYONE,
    next_hint="thrive models lineage {models[0].model}@{models[0].version}",
)
def lineage(ctx: Context, name: str) -> Lineage:
    """Show where a version came from, and which runs, models, releases and answers came from it.

    Args:
        name: the dataset, or one version of it as NAME@VERSION.

    Raises:
        NotFound: there is no such version.

    Examples:
        thrive data lineage flights
        thrive data lineage flights@2 --json
    """
    from thrive.store.prediction_frames import counts_by_version  # a search for a person has no use

    version = find_version(ctx, name)
    with ctx.read() as tx:
        found = traced(tx, ctx, version)
    counts = counts_by_version(ctx.home) if found.models else {}
    return msgspec.structs.replace(
        found,
        models=[
            msgspec.structs.replace(each, predictions=counts.get((each.model, each.version), 0))
            for each in found.models
        ],
    )


def uses_of(tx: Tx, ctx: Context, version: DatasetVersion) -> list[tuple[str, Use]]:
    """Return (run id, use) of the runs that read or made a version, by run.

    Two datasets may have the same content: only uses under this dataset's name count.
    """
    return uses_of_each(tx, ctx, [version])[0]


def uses_of_each(
    tx: Tx, ctx: Context, versions: Sequence[DatasetVersion]
) -> list[list[tuple[str, Use]]]:
    """Return the same of many versions, in their order."""
    digests = _digests_of(tx, ctx, versions)
    every = {digest for each in digests for digest in each}
    by_content: dict[str, list[tuple[str, Use]]] = {}
    for run_id, use in runs.uses_of_content(tx, ctx.project_id, every):
        by_content.setdefault(use.digest, []).append((run_id, use))
    found: list[list[tuple[str, Use]]] = []
    for version, own in zip(versions, digests, strict=True):
        known = (each for digest in own for each in by_content.get(digest, []))
        mine = [
            (run_id, use)
            for run_id, use in known
            if use.kind == "dataset" and use.name == version.dataset
        ]
        found.append(sorted(mine, key=lambda each: each[0]))
    return found


def _digests_of(tx: Tx, ctx: Context, versions: Sequence[DatasetVersion]) -> list[list[str]]:
    """Return the digests each version has had: an erasure gives a new one, runs name the old."""
    present = [version.digest for version in versions]
    former = erasures.former_digests(tx, ctx.project_id, present)
    return [[digest, *former[digest]] for digest in present]


def trained_on(tx: Tx, ctx: Context, version: DatasetVersion) -> list[ModelVersion]:
    """Return the model versions that were trained on a dataset version, by name and number."""
    return trained_on_each(tx, ctx, [version])[0]


def trained_on_each(
    tx: Tx, ctx: Context, versions: Sequence[DatasetVersion]
) -> list[list[ModelVersion]]:
    """Return the same of many versions, in their order."""
    digests = _digests_of(tx, ctx, versions)
    by_data: dict[tuple[str, str], list[ModelVersion]] = {}
    for model in models.find(tx, ctx.project_id):
        for each in models.versions(tx, ctx.project_id, model.name):
            for data in each.training.items():
                by_data.setdefault(data, []).append(each)
    return [
        sorted(
            (each for digest in own for each in by_data.get((version.dataset, digest), [])),
            key=lambda each: (each.model, each.version),
        )
        for version, own in zip(versions, digests, strict=True)
    ]


class Learned(NamedTuple):
    """A model version that learned from a dataset version.

    Attributes:
        model: the version.
        columns: those of the dataset version that were needed on the way.
        through: the dataset versions between, in the order they were made.
    """

    model: ModelVersion
    columns: str
    through: tuple[str, ...]


class _Made(NamedTuple):
    """A dataset version that was made from another, `columns` of which were needed."""

    version: DatasetVersion
    columns: str
    through: tuple[str, ...]


def learned_from_each(
    tx: Tx, ctx: Context, versions: Sequence[DatasetVersion]
) -> list[list[Learned]]:
    """Return the model versions that learned from each of some dataset versions.

    Those trained on it come first, then those trained on what runs made from it.
    """
    made = _made_from_each(tx, ctx, versions)
    flat = [each for several in made for each in several]
    uses = uses_of_each(tx, ctx, versions)
    direct = trained_on_each(tx, ctx, [*versions, *(each.version for each in flat)])
    later = iter(zip(flat, direct[len(versions) :], strict=True))
    found: list[list[Learned]] = []
    for own, trained, several in zip(uses, direct, made, strict=False):
        needed = {run_id: use.needed() for run_id, use in own if use.direction == "in"}
        known = {(each.model, each.version) for each in trained}
        learned = [Learned(each, needed.get(each.run_id, OPAQUE), ()) for each in trained]
        for each, models_of in islice(later, len(several)):
            new = [one for one in models_of if (one.model, one.version) not in known]
            known |= {(one.model, one.version) for one in new}
            learned += [Learned(one, each.columns, each.through) for one in new]
        found.append(learned)
    return found


def _made_from_each(tx: Tx, ctx: Context, versions: Sequence[DatasetVersion]) -> list[list[_Made]]:
    """Return what runs made from each version, and from that in turn, the nearest first."""
    found: list[dict[str, _Made]] = [{_label(each): _Made(each, "", ())} for each in versions]
    edge = [(place, each) for place, known in enumerate(found) for each in known.values()]
    while edge:
        reached: list[tuple[int, _Made]] = []
        steps = _made_next(tx, ctx, [made.version for _, made in edge])
        for (place, made), step in zip(edge, steps, strict=True):
            for version, columns in step:
                label = _label(version)
                if label not in found[place]:
                    new = _Made(version, made.columns or columns, (*made.through, label))
                    found[place][label] = new
                    reached.append((place, new))
        edge = reached
    return [[*known.values()][1:] for known in found]


def _made_next(
    tx: Tx, ctx: Context, versions: Sequence[DatasetVersion]
) -> list[list[tuple[DatasetVersion, str]]]:
    """Return what runs that read each version made, and the columns of it that they needed."""
    read = [
        {run_id: use.needed() for run_id, use in each if use.direction == "in"}
        for each in uses_of_each(tx, ctx, versions)
    ]
    out = runs.datasets_made(tx, ctx.project_id, {run_id for each in read for run_id in each})
    return [
        [
            (version, columns)
            for run_id, columns in each.items()
            for use in out.get(run_id, [])
            for version in _version_made(tx, ctx, use)
        ]
        for each in read
    ]


def _version_made(tx: Tx, ctx: Context, use: Use) -> list[DatasetVersion]:
    """Return the version that a run wrote, by its number: an erasure gives it another digest."""
    try:
        return [datasets.get_version(tx, ctx.project_id, use.name, use.version)]
    except NotFound:  # it was removed
        return []


def _label(version: DatasetVersion) -> str:
    return format_reference(version.dataset, version.version)


def traced(tx: Tx, ctx: Context, version: DatasetVersion) -> Lineage:
    """Return the lineage of a version; answers are not counted.

    Counting them reads the sealed log: too much for a page.
    """
    uses = uses_of(tx, ctx, version)
    learned = learned_from_each(tx, ctx, [version])[0]
    return Lineage(
        dataset=version.dataset,
        version=version.version,
        digest=version.digest,
        source=version.source,
        made_by=version.made_by or "",
        runs=[_run_edge(tx, ctx, run_id, use) for run_id, use in uses],
        models=[_model_edge(tx, ctx, each) for each in learned],
        datasets=_data_edges(tx, ctx, uses),
    )


def _run_edge(tx: Tx, ctx: Context, run_id: str, use: Use) -> RunEdge:
    run = runs.get(tx, ctx.project_id, run_id)
    return RunEdge(
        run_id=run.run_id,
        direction=use.direction,
        pipeline=run.pipeline,
        state=run.state.value,
        started_at=run.started_at,
        columns=use.needed() if use.direction == "in" else "",
    )


def _model_edge(tx: Tx, ctx: Context, learned: Learned) -> ModelEdge:
    project, model = ctx.project_id, learned.model
    history = releases.routing_history(tx, project, model.model)
    sent = releases.find(tx, project, model.model, limit=1000)
    return ModelEdge(
        model=model.model,
        version=model.version,
        run_id=model.run_id,
        columns=learned.columns,
        releases=sum(each.candidate == model.version for each in sent),
        live_share=_share(history[0], model.version) if history else 0.0,
        first_live_at=min(
            (table.at for table in history if _share(table, model.version) > 0), default=None
        ),
        predictions=None,
        through=", ".join(learned.through),
    )


def _share(table: RoutingTable, version: int) -> float:
    live = (each for each in table.variants if each.version == version and not each.shadow)
    return sum(each.share for each in live)


def _data_edges(tx: Tx, ctx: Context, uses: list[tuple[str, Use]]) -> list[DataEdge]:
    """Return the datasets on the other side of the runs that made or read this one."""
    return [
        DataEdge(
            dataset=other.name, version=other.version, direction=other.direction, run_id=run_id
        )
        for run_id, use in uses
        for other in runs.find_uses(tx, ctx.project_id, run_id)
        if other.kind == "dataset" and other.direction != use.direction
    ]


class LineageCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How much came from a version: what a page or a list shows of its lineage."""

    runs: int
    models: list[str]


def counted(tx: Tx, ctx: Context, version: DatasetVersion) -> LineageCounts:
    """Return how many runs read a version, and the model versions trained on it."""
    uses = uses_of(tx, ctx, version)
    return LineageCounts(
        runs=len({run_id for run_id, use in uses if use.direction == "in"}),
        models=[
            format_reference(each.model, each.version) for each in trained_on(tx, ctx, version)
        ],
    )
