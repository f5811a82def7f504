"""Training: from a file with a pipeline to a recorded run and registered versions.

The file is imported and executed in processes of their own; this one records. It knows the
contract, resolves data, and writes every fact as it happens, so that killing it at any moment
leaves a run that is later shown as interrupted, and never half a version.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from thrive.contract.lines import path_of
from thrive.contract.parse import ParsedContract, load
from thrive.domain.errors import Interrupted, ThriveError, UsageError
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference
from thrive.domain.run import Run, RunState
from thrive.engines.failures import restore
from thrive.engines.port import Engine
from thrive.flows.execution import Execution, Show
from thrive.flows.order import EngineName, Launched, Order, RunResult, launch
from thrive.operations import Context
from thrive.tracking.code import CodeFacts, listed, record_code, uncommitted
from thrive.tracking.recorder import Beginning, RunRecorder, start_run
from thrive.tracking.recovery import recover_dead_runs

LAST_BUNDLE = "bundle"


def train(
    ctx: Context,
    target: str,
    params: list[str] | None = None,
    *,
    experiment: str = "",
    show: Show | None = None,
    code: CodeFacts | None = None,
) -> Run:
    """Run a pipeline without a terminal: for workers, and for the action `retrain`.

    Arguments as of `Order`; `show` gets each line of output.

    Raises:
        ThriveError: the run could not start, or failed; what it recorded is kept.
    """
    order = Order(target=target, params=params or [], experiment=experiment, code=code)
    return execute(ctx, order, show)


def execute(ctx: Context, order: Order, show: Show | None = None) -> Run:
    """Run a pipeline; the context's progress is told of each step, `show` gets the output.

    Raises:
        ThriveError: the run could not start, or failed; what it recorded is kept.
    """
    started = start(ctx, order, show)
    with started.engine:
        return finish(started)


def execute_and_tell(
    ctx: Context, order: Order, show: Show | None = None, launched: Launched | None = None
) -> RunResult:
    """Run a pipeline and say how it ended; arguments as of `start`."""
    started = start(ctx, order, show, launched)
    with started.engine:
        run = finish(started)
    return _result(started, run)


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A run on its way: its record is written, its pipeline is imported."""

    ctx: Context
    engine: Engine
    recorder: RunRecorder
    execution: Execution
    code: CodeFacts
    contract: ParsedContract


def start(
    ctx: Context, order: Order, show: Show | None, launched: Launched | None = None
) -> Started:
    """Import the pipeline and begin its record; the caller closes the engine.

    Args:
        ctx: the context of the operation.
        order: what is to be run.
        show: gets the output.
        launched: the process that imports it already, begun by `launch`.

    Raises:
        ThriveError: the run could not start.
    """
    folder = ctx.local_folder()
    launched = launched or launch(order, folder)
    engine = launched.engine
    try:
        contract = load(folder)
        recover_dead_runs(ctx)
        facts = facts_of(ctx, contract)
        memory = ctx.home.temporary_folder / LAST_BUNDLE
        code = order.code or record_code(folder, order.target, ctx.home.blobs, memory=memory)
        early, ready = await_ready(engine, show)
        _refuse_afar(order, ready)
        if ready.get("registers"):  # nobody should train for an hour to hear of it
            from thrive.flows.data_use import refuse_gaps

            refuse_gaps(contract, "model")
        recorder = start_run(ctx, _beginning(ready, code, order))
    except BaseException:
        engine.close()
        raise
    recorder.write_log(early)
    engine = _placed(ctx, order, launched, code, recorder)
    codes, policy, form = ready["codes"], order.policy, launched.form
    return Started(
        ctx=ctx,
        engine=engine,
        recorder=recorder,
        execution=Execution(
            ctx,
            engine,
            recorder,
            contract,
            facts,
            show,
            codes,
            policy,
            order.recorded,
            form,
            order.until,
        ),
        code=code,
        contract=contract,
    )


def _placed(
    ctx: Context, order: Order, launched: Launched, code: CodeFacts, recorder: RunRecorder
) -> Engine:
    """Return the engine of the run's steps: that of the launched process, or one of a cluster."""
    if order.engine is EngineName.LOCAL:
        return launched.engine
    from thrive.flows.cluster import on_ray

    try:
        found = on_ray(ctx, order, launched, code.record, recorder)
    except BaseException as error:
        launched.engine.close()
        recorder.finish(RunState.FAILED, str(error))
        raise
    recorder.amend(engine={"name": order.engine.value, "nodes": found.nodes})
    return found


def _refuse_afar(order: Order, ready: dict[str, Any]) -> None:
    for name in ready.get("afar", ()) if order.engine is EngineName.LOCAL else ():
        raise UsageError(
            f"Step {name!r} runs only on Ray.",
            f"thrive run {order.target} --engine ray --address ray://HOST:10001",
        )


def facts_of(ctx: Context, contract: ParsedContract) -> dict[str, Any]:
    """Return what every child of the run is told."""
    return {
        "blobs": str(ctx.home.blobs.local.root.resolve()),
        "folder": str(ctx.local_folder().resolve()),
        "home": str(ctx.home.temporary_folder.parent.resolve()),
        "models": {
            name: {
                "target": terms.target.column,
                "positive": terms.target.positive,
                "threshold": terms.target.threshold,
                "entity": terms.entity,
                "refused": terms.inputs.refused,
            }
            for name, terms in contract.contract.model.items()
        },
    }


def await_ready(engine: Engine, show: Show | None) -> tuple[bytes, dict[str, Any]]:
    """Wait for the import of the user's file; return its output and what it said of itself."""
    output = b""
    waiting = engine.ready()
    try:
        while True:
            part = next(waiting).data
            output += part
            if show:
                show(part.decode(errors="replace"))
    except StopIteration as end:
        return output, end.value
    except KeyboardInterrupt:
        raise Interrupted("Stopped before the run began.", "") from None


def _beginning(ready: dict[str, Any], code: CodeFacts, order: Order) -> Beginning:
    said = {"untracked": code.untracked, "left_out": code.left_out, "lost": code.lost}
    return Beginning(
        experiment=order.experiment or ready["pipeline"],
        name=ready["pipeline"],
        pipeline=ready["pipeline"],
        params=ready["params"],
        seed=ready["seed"],
        code=code.record,
        environment={**ready["environment"], "code": said},
        tags=order.tags,
    )


def finish(started: Started) -> Run:
    """Execute the pipeline and write how it ended, whatever happens.

    Raises:
        Interrupted: the user stopped it.
        ThriveError: the pipeline or a step failed.
    """
    recorder = started.recorder
    short = recorder.run.run_id
    try:
        failure = started.execution.run()
    except KeyboardInterrupt:
        started.engine.close()
        recorder.finish(RunState.INTERRUPTED, "Stopped by the user.")
        raise Interrupted(f"Run {short} was stopped.", f"thrive runs resume {short}") from None
    except BaseException as error:
        started.engine.close()
        recorder.finish(RunState.FAILED, str(error))
        raise
    if started.execution.stopped:
        started.engine.close()
        return recorder.finish(RunState.INTERRUPTED, "It was stopped: other trials are better.")
    if failure is None:
        return recorder.finish(RunState.DONE)
    recorder.finish(RunState.FAILED, failure.report())
    raise _failed(restore(failure), failure.task, failure.frames, short)


def _failed(error: ThriveError, task: str, frames: list[str], run_id: str) -> ThriveError:
    where = f"Step {task!r}" if task else "The pipeline"
    what = "\n".join([f"{where} failed: {error.what}", *frames])
    return type(error)(what, error.hint or f"thrive runs logs {run_id}")


def _result(started: Started, run: Run) -> RunResult:
    versions = started.execution.versions
    return RunResult(
        run_id=run.run_id,
        pipeline=run.pipeline,
        state=run.state,
        seconds=round(((run.ended_at or run.started_at) - run.started_at) / 1e6, 3),
        metrics=run.metrics,
        models=[format_reference(version.model, version.version) for version in versions],
        notes=_notes(started, versions),
    )


def _uncommitted(started: Started, versions: list[ModelVersion]) -> Iterator[str]:
    """Say why versions may not leave dev, while it is quickly mended."""
    if not versions or started.code.lost or not started.code.record.dirty:
        return
    files = uncommitted(started.code.record, started.code.untracked)
    yield f"not committed: {listed(files)}; until they are, and it is run again, only dev takes it"


def _without_views(started: Started, versions: list[ModelVersion]) -> Iterator[str]:
    """Say which inputs callers will have to send though a feature view made them."""
    for version in versions:
        unnamed = started.execution.unnamed_views(version)
        if unnamed:
            label = format_reference(version.model, version.version)
            listed_names = ", ".join(f'"{name}"' for name in unnamed)
            yield (
                f"{label} takes what {', '.join(unnamed)} gave in training, and "
                f"[{path_of('model', version.model)}] does not name it: callers must send it "
                f"themselves, or write features = [{listed_names}] and run it again"
            )


def _notes(started: Started, versions: list[ModelVersion]) -> list[str]:
    notes = [started.code.lost] if started.code.lost else []
    notes += started.execution.tracked.notes
    notes += _uncommitted(started, versions)
    notes += _without_views(started, versions)
    notes += [
        f"{format_reference(version.model, version.version)} is what run {version.run_id[:12]} "
        "registered: the same package, tables, data and contract, so no version was added"
        for version in versions
        if version.run_id != started.recorder.run.run_id
    ]
    known = started.contract.contract.model
    notes += [
        f"thrive.toml says nothing of {name!r}: add [model.{name}] before it can go to production"
        for name in dict.fromkeys(version.model for version in versions)
        if name not in known
    ]
    return notes
