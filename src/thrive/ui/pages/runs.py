"""Runs: what was tried. The address holds the whole state of the table, so a view is a link."""

from collections.abc import Mapping

import msgspec

from thrive.domain.errors import UsageError
from thrive.domain.run import Run, RunState
from thrive.domain.view import ViewPage
from thrive.operations import Context
from thrive.tracking.filters import Fields, Kind, parse_filter, parse_order
from thrive.tracking.recovery import as_seen
from thrive.tracking.search import RUN_FIELDS, Grouped, Query, View, index_of
from thrive.ui.saved import Views, views_of

ROWS = 50
"""Runs on one page."""
METRICS, PARAMS = 6, 3
"""Columns shown where none are chosen: the metrics and parameters that most runs have."""
MOST_COLUMNS, MOST_GROUPS = 30, 50
FIELDS = Fields(
    attributes=RUN_FIELDS.attributes,
    aliases={
        **RUN_FIELDS.aliases,
        "state": "status",
        "by": "user_id",
        "experiment": "experiment_id",
        "began": "start_time",
        "ended": "end_time",
    },
)
"""What a filter line may ask: MLflow's words, and our own."""
_KINDS = {"metrics": Kind.METRIC, "params": Kind.PARAM, "tags": Kind.TAG}


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """A name under which runs are compared, with how many there are."""

    name: str
    runs: int


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One run in the table; `metrics` and `params` are those of the columns."""

    run_id: str
    name: str
    experiment: str
    pipeline: str
    state: RunState
    actor: str
    started_at: int
    ended_at: int | None
    cells: list[float | str | None]


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One chosen column: `field` is `metrics.auc`; `sorted` is "", "asc" or "desc"."""

    field: str
    kind: str
    key: str
    sorted: str


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The runs of one value, and the filter line that leaves them alone.

    `spreads` has least, median and most of each of the page's `measured` metrics.
    """

    value: str
    runs: int
    spreads: list[tuple[float, float, float] | None]
    filter: str


class RunsPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of runs.

    Attributes:
        experiment: the one looked in, "" for all.
        filter: the filter line in force.
        order: the field sorted by, with DESC or ASC; "" for the newest first.
        view: active or deleted.
        group: the field that runs are grouped by, "" for none.
        groups: its values, the most frequent first.
        measured: the metrics of the columns, whose spread each group tells.
        problem: what is wrong with the filter line, "" for nothing.
        matched: how many runs there are.
        columns: the chosen ones.
        offered: the fields that could be chosen.
        chosen: the choice as it stands in the address, "" for none.
        views: the saved views, and the address of this one.
        next: what to ask the next page with, None at the end.
    """

    now: int
    experiment: str
    experiments: list[Experiment]
    filter: str
    order: str
    view: str
    group: str
    groups: list[Group]
    measured: list[str]
    problem: str
    matched: int
    columns: list[Column]
    offered: list[str]
    chosen: str
    runs: list[RunLine]
    views: Views
    next: str | None


def load(ctx: Context, words: Mapping[str, str]) -> RunsPage:
    """Return one page of the table.

    Args:
        ctx: the project.
        words: `experiment`, `q` (the filter line), `order`, `columns` (fields with commas between
            them), `group`, `view`, `after`.
    """
    experiment, asked = words.get("experiment", ""), words.get("q", "").strip()
    view = View.DELETED if words.get("view") == View.DELETED else View.ACTIVE
    problem = ""
    try:
        query = Query(
            experiments=[experiment] if experiment else None,
            conditions=parse_filter(asked, FIELDS),
            order=parse_order([words["order"]] if words.get("order") else [], FIELDS),
            view=view,
            limit=ROWS,
            after=words.get("after", ""),
        )
    except UsageError as error:
        problem = f"{error.what} {error.hint}".strip()
        query = Query(experiments=[], limit=ROWS)
    index = index_of(ctx.home)
    with ctx.read() as tx:
        counted = index.experiments(tx)
        found, after = index.search(tx, query)
        survey = index.survey(tx, query)
        columns = _columns(words, survey.metrics, survey.params)
        measured = [each.key for each in columns if each.kind == "metrics"]
        group = _field(words.get("group", ""))
        grouped = index.grouped(tx, query, *group, measured, MOST_GROUPS)
    return RunsPage(
        now=ctx.now(),
        experiment=experiment,
        experiments=[Experiment(name=name, runs=count) for name, count in counted],
        filter=asked,
        order=words.get("order", ""),
        view=view.value,
        group=words.get("group", ""),
        groups=_groups(grouped, words),
        measured=measured,
        problem=problem,
        matched=survey.matched,
        columns=columns,
        offered=[
            *(f"metrics.{key}" for key in survey.metrics),
            *(f"params.{key}" for key in survey.params),
        ],
        chosen=words.get("columns", ""),
        runs=[line_of(as_seen(run), columns) for run in found],
        views=views_of(ctx, ViewPage.RUNS, words),
        next=after or None,
    )


def line_of(run: Run, columns: list[Column]) -> RunLine:
    """Return a run as a line of a table."""
    return RunLine(
        run_id=run.run_id,
        name=run.name,
        experiment=run.experiment,
        pipeline=run.pipeline,
        state=run.state,
        actor=run.actor,
        started_at=run.started_at,
        ended_at=run.ended_at,
        cells=[_cell(run, column) for column in columns],
    )


def _cell(run: Run, column: Column) -> float | str | None:
    if column.kind == "metrics":
        return run.metrics.get(column.key)
    value = (run.params if column.kind == "params" else run.tags).get(column.key)
    return value if value is None or isinstance(value, int | float) else str(value)


def _columns(words: Mapping[str, str], metrics: list[str], params: list[str]) -> list[Column]:
    field, _, way = words.get("order", "").rpartition(" ")
    chosen = [each for each in words.get("columns", "").split(",") if each.partition(".")[2]]
    if not chosen:
        chosen = [f"metrics.{key}" for key in metrics[:METRICS]]
        chosen += [f"params.{key}" for key in params[:PARAMS]]
    return [
        Column(
            field=each,
            kind=each.partition(".")[0],
            key=each.partition(".")[2],
            sorted=way.lower() if field == written(each) else "",
        )
        for each in dict.fromkeys(chosen)
        if each.partition(".")[0] in _KINDS
    ][:MOST_COLUMNS]


def written(field: str) -> str:
    """Return a field as a filter line takes it, its key in quotes where it needs them."""
    kind, mark, key = field.partition(".")
    plain = key.replace("_", "").replace("-", "").isalnum()
    return field if not mark or plain else f"{kind}.`{key}`"


def _field(field: str) -> tuple[Kind, str]:
    kind, _, key = field.partition(".")
    return _KINDS.get(kind, Kind.PARAM), key


def _groups(grouped: list[Grouped], words: Mapping[str, str]) -> list[Group]:
    before = words.get("q", "").strip()
    field = written(words.get("group", ""))
    made: list[Group] = []
    for each in grouped:
        said = each.value.replace("'", "''")
        condition = f"{field} = '{said}'"
        narrowed = f"{before} AND {condition}" if before else condition
        made.append(Group(value=each.value, runs=each.runs, spreads=each.spreads, filter=narrowed))
    return made
