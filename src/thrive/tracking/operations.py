"""What people and programs ask of runs and experiments."""

from typing import Any

import msgspec

from thrive.domain.actor import ANYONE
from thrive.domain.project import Page
from thrive.domain.run import Artifact, CodeRecord, Run, RunState, StepRecord, Use
from thrive.operations import Context, PageSize, operation
from thrive.store import runs
from thrive.tracking.recorder import LOG_ARTIFACT
from thrive.tracking.recovery import as_seen


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One run in a list."""

    run_id: str
    experiment: str
    pipeline: str
    state: RunState
    actor: str
    started_at: int
    ended_at: int | None
    metrics: dict[str, float | None]


class RunDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One run with everything it used and made."""

    run_id: str
    experiment: str
    name: str
    pipeline: str
    state: RunState
    actor: str
    started_at: int
    ended_at: int | None
    params: dict[str, Any]
    seed: int
    metrics: dict[str, float | None]
    error: str
    tags: dict[str, str]
    code: CodeRecord | None
    steps: list[StepRecord]
    artifacts: list[Artifact]
    uses: list[Use]
    environment: dict[str, Any]
    replay: bool


class RunLog(msgspec.Struct, frozen=True, kw_only=True):
    """What a run's processes wrote."""

    run_id: str
    text: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in which two runs differ; `change` is second minus first, for numbers."""

    kind: str
    name: str
    first: Any
    second: Any
    change: float | None = None


class ExperimentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment: a name under which runs are compared."""

    name: str
    runs: int
    last_run: str
    last_state: RunState | None


@operation("runs list", role=ANYONE, next_hint="thrive runs show {run_id}")
def list_runs(
    ctx: Context, *, experiment: str | None = None, limit: PageSize = 20, after: str | None = None
) -> Page[RunRow]:
    """List runs, newest first.

    Args:
        ctx: the context of the call.
        experiment: only runs of this experiment.
        limit: how many.
        after: the run id the last page ended with.

    Examples:
        thrive runs list --experiment train --limit 5
    """
    with ctx.read() as tx:
        found = runs.find(tx, ctx.project_id, experiment=experiment, limit=limit + 1, after=after)
    rows = [_row(as_seen(run)) for run in found[:limit]]
    return Page(items=rows, next=rows[-1].run_id if len(found) > limit else None)


@operation("runs show", role=ANYONE, next_hint="thrive runs logs {run_id}")
def show_run(ctx: Context, run: str) -> RunDetail:
    """Show one run: parameters, metrics, steps, artifacts, code, data and environment.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.

    Examples:
        thrive runs show 01928374
    """
    with ctx.read() as tx:
        found = as_seen(runs.get(tx, ctx.project_id, run))
        steps = runs.find_steps(tx, ctx.project_id, found.run_id)
        artifacts = runs.find_artifacts(tx, ctx.project_id, found.run_id)
        uses = runs.find_uses(tx, ctx.project_id, found.run_id)
    own: dict[str, Any] = {
        name: getattr(found, name)
        for name in RunDetail.__struct_fields__
        if name not in {"steps", "artifacts", "uses"}
    }
    return RunDetail(**own, steps=steps, artifacts=artifacts, uses=uses)


@operation("runs logs", role=ANYONE)
def show_logs(ctx: Context, run: str) -> RunLog:
    """Show what a run's steps wrote, also while it runs.

    Args:
        ctx: the context of the call.
        run: the run's id, or the beginning of it.

    Examples:
        thrive runs logs 01928374
    """
    with ctx.read() as tx:
        found = runs.get(tx, ctx.project_id, run)
        kept = runs.find_artifacts(tx, ctx.project_id, found.run_id)
    digest = next((one.digest for one in kept if one.name == LOG_ARTIFACT), None)
    live = ctx.home.temporary_folder / f"run-{found.run_id}" / LOG_ARTIFACT
    data = b""
    if digest is not None:
        data = ctx.home.blobs.get(digest)
    elif live.is_file():
        data = live.read_bytes()
    return RunLog(run_id=found.run_id, text=data.decode(errors="replace"))


@operation("runs compare", role=ANYONE, alias="runs diff")
def compare_runs(ctx: Context, first: str, second: str) -> list[Difference]:
    """Say in what two runs differ: code, data, parameters, seed, libraries, metrics.

    Args:
        ctx: the context of the call.
        first: a run's id, or the beginning of it.
        second: another one.

    Examples:
        thrive runs compare 01928374 01928375
        thrive runs diff 01928374 01928375
    """
    with ctx.read() as tx:
        one, other = (runs.get(tx, ctx.project_id, run) for run in (first, second))
        data = [_data(runs.find_uses(tx, ctx.project_id, run.run_id)) for run in (one, other)]
    groups: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("code", _code(one), _code(other)),
        ("data", data[0], data[1]),
        ("parameter", one.params, other.params),
        ("seed", {"seed": one.seed}, {"seed": other.seed}),
        ("environment", _environment(one), _environment(other)),
        ("metric", one.metrics, other.metrics),
    ]
    return [difference for group in groups for difference in _differences(*group)]


@operation("experiments list", role=ANYONE, next_hint="thrive runs list --experiment {name}")
def list_experiments(ctx: Context) -> list[ExperimentRow]:
    """List the experiments with their number of runs and their last run.

    Args:
        ctx: the context of the call.

    Examples:
        thrive experiments list
    """
    with ctx.read() as tx:
        counted = runs.experiments(tx, ctx.project_id)
        last = {name: runs.last_run_of(tx, ctx.project_id, name) for name, _ in counted}
    return [_experiment(name, count, last[name]) for name, count in counted]


def _experiment(name: str, count: int, last: Run | None) -> ExperimentRow:
    return ExperimentRow(
        name=name,
        runs=count,
        last_run=last.run_id if last else "",
        last_state=as_seen(last).state if last else None,
    )


def _row(run: Run) -> RunRow:
    return RunRow(**{name: getattr(run, name) for name in RunRow.__struct_fields__})


def _data(used: list[Use]) -> dict[str, Any]:
    return {
        use.name: f"{use.name}@{use.version} {use.digest[:12]}"
        for use in used
        if use.kind == "dataset" and use.direction == "in"
    }


def _code(run: Run) -> dict[str, Any]:
    if run.code is None:
        return {}
    return {"commit": run.code.commit, "files": run.code.bundle[:12]}


def _environment(run: Run) -> dict[str, Any]:
    record = run.environment
    known = {name: record.get(name) for name in ("python", "platform", "cpu", "cpus")}
    libraries = (line.partition("==") for line in record.get("libraries", []))
    return {**known, **{name: version for name, _, version in libraries}}


def _differences(kind: str, first: dict[str, Any], second: dict[str, Any]) -> list[Difference]:
    found: list[Difference] = []
    for name in sorted({*first, *second}):
        one, other = first.get(name), second.get(name)
        if one != other:
            change = _change(one, other)
            found.append(Difference(kind=kind, name=name, first=one, second=other, change=change))
    return found


def _change(one: Any, other: Any) -> float | None:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return float(other) - float(one)
    return None
