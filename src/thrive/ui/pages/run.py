"""One run: what it used, what it made, and how to make it again."""

from typing import Any

import msgspec

from thrive.domain.errors import NotFound
from thrive.domain.reference import format_reference
from thrive.domain.run import Artifact, MetricPoint, Run, RunState, StepRecord, Use
from thrive.flows.export.graph import Node as ExportNode
from thrive.flows.export.graph import graph_of
from thrive.operations import Context
from thrive.store import runs
from thrive.store.database import Tx
from thrive.tracking.curation import NOTE_TAG
from thrive.tracking.curves import Steps, Values, curves_of
from thrive.tracking.operations import show_logs
from thrive.tracking.recovery import as_seen
from thrive.ui.pages.lineage import Edge, Node
from thrive.ui.words import duration

CURVES = 12
"""Metrics whose history is drawn."""
CURVE_POINTS = 400
"""Points kept of a history: the extremes of each stretch."""
DRAWN_STEPS = 60
"""Steps up to which their graph is drawn."""
_FOLDED = ("libraries", "contents")
"""Parts of an environment that are long: the page folds them."""
_WORST = {RunState.RUNNING: 1, RunState.INTERRUPTED: 2, RunState.FAILED: 3}
LOG_CHARACTERS = 20_000
"""The end of a log that the page shows."""


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """The history of one metric, thinned to its extremes; `points` counts all of it."""

    key: str
    points: int
    history: list[MetricPoint]


class LogTail(msgspec.Struct, frozen=True, kw_only=True):
    """The end of what a run wrote; `cut` tells that there is more before."""

    text: str
    cut: bool


class StepGraph(msgspec.Struct, frozen=True, kw_only=True):
    """Which steps were over when another began; empty for a lone step, and for very many."""

    nodes: list[Node]
    edges: list[Edge]


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one run; `contents` are digests of what each library holds."""

    now: int
    run: Run
    steps: list[StepRecord]
    graph: StepGraph
    inputs: list[Use]
    outputs: list[Use]
    artifacts: list[Artifact]
    curves: list[Curve]
    log: LogTail
    environment: dict[str, Any]
    contents: dict[str, str]
    libraries: list[str]
    reproduce: list[str]
    note: str
    note_tag: str


def load(ctx: Context, run_id: str) -> RunPage:
    """Return the page of a run, by its id or the beginning of it.

    Raises:
        NotFound: there is none.
        UsageError: the beginning fits several.
    """
    project = ctx.project_id
    with ctx.read() as tx:
        run = as_seen(runs.get(tx, project, run_id))
        steps = runs.find_steps(tx, project, run.run_id)
        uses = runs.find_uses(tx, project, run.run_id)
        artifacts = runs.find_artifacts(tx, project, run.run_id)
        curves = _curves(ctx, tx, run)
    libraries: list[str] = run.environment.get("libraries", [])
    return RunPage(
        now=ctx.now(),
        run=run,
        steps=steps,
        graph=step_graph(steps, run.seed, ctx.now()),
        inputs=[use for use in uses if use.direction == "in"],
        outputs=[use for use in uses if use.direction == "out"],
        artifacts=artifacts,
        curves=curves,
        log=_log(ctx, run.run_id),
        environment={key: run.environment[key] for key in run.environment if key not in _FOLDED},
        contents=run.environment.get("contents", {}),
        libraries=libraries,
        reproduce=_reproduce(run, uses),
        note=run.tags.get(NOTE_TAG, ""),
        note_tag=NOTE_TAG,
    )


def step_graph(steps: list[StepRecord], seed: int, now: int) -> StepGraph:
    """Return the steps of a run as its exports order them, with what each took."""
    if len(steps) < 2:
        return StepGraph(nodes=[], edges=[])
    known = {step.position: step for step in steps}
    found = graph_of(steps, seed)
    if len(found) > DRAWN_STEPS:
        return StepGraph(nodes=[], edges=[])
    return StepGraph(
        nodes=[_node(each, [known[place] for place in each.positions], now) for each in found],
        edges=[Edge(source=before, target=each.id) for each in found for before in each.after],
    )


def _node(found: ExportNode, steps: list[StepRecord], now: int) -> Node:
    """Return one step, or a fan-out with the state of the row that is worst off."""
    ends = [step.ended_at if step.ended_at is not None else now for step in steps]
    took = duration(max(ends) - min(step.started_at for step in steps))
    cached = all(step.source for step in steps)
    worst = max(steps, key=lambda step: _WORST.get(step.state, 0))
    rows = f"{found.rows:,} rows, " if found.rows > 1 else ""
    return Node(
        key=found.id,
        kind="step",
        name=found.step,
        said=f"{rows}{took}",
        state="cached" if cached else worst.state.value,
        link=f"#step-{steps[0].position}",
    )


def _curves(ctx: Context, tx: Tx, run: Run) -> list[Curve]:
    made: list[Curve] = []
    for key in sorted(run.metrics)[:CURVES]:
        counted = (run.summaries or {}).get(key)
        if counted is not None and counted.points < 2:
            continue
        steps, values = curves_of(ctx.home).curve(tx, run.run_id, key, CURVE_POINTS)
        if len(steps) > 1:
            points = counted.points if counted is not None else len(steps)
            made.append(Curve(key=key, points=points, history=points_of(steps, values)))
    return made


def points_of(steps: Steps, values: Values) -> list[MetricPoint]:
    """Return a curve as points; a value that is NaN is None."""
    return [
        MetricPoint(key="", value=None if value != value else value, step=step, at=0)  # noqa: PLR0124 - NaN alone differs from itself
        for step, value in zip(steps.tolist(), values.tolist(), strict=True)
    ]


def _log(ctx: Context, run_id: str) -> LogTail:
    try:
        text = show_logs(ctx, run_id).text
    except NotFound:  # the log's bytes are gone; the rest of the run is still worth a page
        text = ""
    return LogTail(text=text[-LOG_CHARACTERS:], cut=len(text) > LOG_CHARACTERS)


def _reproduce(run: Run, uses: list[Use]) -> list[str]:
    """Return the commands that make the run again, as far as what it recorded allows."""
    lines: list[str] = []
    if run.code is not None:
        lines.append(f"thrive runs reproduce {run.run_id[:12]}   # all of it; or step by step:")
    if run.code is not None and run.code.commit:
        lines.append(f"git checkout {run.code.commit}")
        if run.code.dirty:
            lines.append("git apply run.diff   # save the difference below under this name")
    for use in uses:
        if use.kind == "dataset" and use.direction == "in" and use.version is not None:
            label = format_reference(use.name, use.version)
            lines.append(f"thrive data checkout {label} --to data/{use.name}")
    if run.code is not None:
        lines.append(f"thrive run {run.code.entry}".rstrip())
    return lines
