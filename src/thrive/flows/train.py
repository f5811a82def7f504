"""Training: from a file with a pipeline to a recorded run and registered versions.

The file is imported and executed in processes of their own; this one records. It knows the
contract, resolves data, and writes every fact as it happens, so that killing it at any moment
leaves a run that is later shown as interrupted, and never half a version.
"""

import os
from pathlib import Path
from typing import Any

import msgspec

from thrive.contract.gaps import gaps
from thrive.contract.parse import ParsedContract, load
from thrive.domain.actor import BUILDERS
from thrive.domain.errors import ContractGap, Interrupted, ThriveError, UsageError
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference
from thrive.domain.run import Run, RunState
from thrive.engines.failures import restore
from thrive.engines.local import LocalEngine
from thrive.flows.execution import Execution, Recorded, Show
from thrive.flows.reuse import ALWAYS, CachePolicy
from thrive.flows.terminal import show_on_terminal
from thrive.operations import Context, Kind, operation
from thrive.tracking.code import CodeFacts, record_code
from thrive.tracking.recorder import Beginning, RunRecorder, start_run
from thrive.tracking.recovery import recover_dead_runs
from thrive.training.config import read_config
from thrive.training.discover import Form, find_file, form_of, split_target

PROGRAMS = {
    Form.PIPELINE: "thrive.training.driver",
    Form.SCRIPT: "thrive.training.tracked",
    Form.NOTEBOOK: "thrive.training.tracked",
}


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended: what it measured, which versions it registered, what to type next.

    `notes` says what the record lacks and what stands between the versions and production.
    """

    run_id: str
    pipeline: str
    state: RunState
    seconds: float
    metrics: dict[str, float | None]
    models: list[str]
    notes: list[str]

    @property
    def next_hint(self) -> str:
        """What to type next."""
        if self.models:
            return f"thrive gates run {self.models[-1]}"
        return f"thrive runs show {self.run_id}"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run, and how.

    Attributes:
        target: `FILE` or `FILE:PIPELINE`, relative to the project's folder.
        params: parameters of the pipeline, as `name=value` or `--name value`; a script's words.
        values: parameters as plain values; `params` come before them.
        options: step -> option -> value, over what `@step` says.
        experiment: the name to compare the run under; that of the pipeline if empty.
        policy: when results of earlier steps are used again.
        seed: of the run, unless the pipeline has a parameter `seed`.
        code: the record of the folder's code, where it was unpacked from an earlier run.
        tags: what else is to be kept with the run.
        environment: variables of all its processes; None takes one away.
        recorded: the run that this one repeats, to compare.
        python: the interpreter of its processes; this one if empty.
    """

    target: str
    params: list[str] = []
    values: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {}
    experiment: str = ""
    policy: CachePolicy = ALWAYS
    seed: int = 0
    code: CodeFacts | None = None
    tags: dict[str, str] = {}
    environment: dict[str, str | None] = {}
    recorded: Recorded | None = None
    python: str = ""


@operation("run", role=BUILDERS, kind=Kind.CLIENT, writes=True)
def run(
    ctx: Context,
    target: str,
    params: list[str] | None = None,
    *,
    experiment: str = "",
    config: Path | None = None,
    set_: list[str] | None = None,
    no_cache: bool = False,
    verify_cache: str = "",
) -> RunResult:
    """Run a pipeline, a script or a notebook: code, data, parameters, metrics are recorded.

    A step whose code, inputs and seed are those of an earlier run is not executed again: its
    result is used. `thrive runs why` says what changed where it was. A file without a @pipeline
    is executed as it is, in a fresh process; a notebook from top to bottom.

    Args:
        ctx: the context of the call.
        target: FILE with one @pipeline, FILE:PIPELINE, a script, or a notebook.
        params: parameters of the pipeline, e.g. --rate 0.05; words for a script.
        experiment: the name to compare the run under; that of the pipeline if not given.
        config: a TOML or JSON file with parameters, and options of steps in [steps.NAME].
        set_: an option of a step, e.g. --set fit.cpu=4.
        no_cache: execute every step.
        verify_cache: the share of known results to execute again and compare, e.g. 5%.

    Examples:
        thrive run train.py
        thrive run train.py --until 2013-05-01 --experiment proxies
        thrive run train.py --config night.toml --set fit.memory=4G
        thrive run train.py --verify-cache 5%
        thrive run explore.ipynb --rate 0.05
    """
    given = read_config(config, set_ or [])
    order = Order(
        target=target,
        params=params or [],
        values=given.values,
        options=given.options,
        experiment=experiment,
        policy=CachePolicy(use=not no_cache, verify=parse_share(verify_cache)),
    )
    return execute_and_tell(ctx, order, show_on_terminal)


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


def execute_and_tell(ctx: Context, order: Order, show: Show | None = None) -> RunResult:
    """Run a pipeline and say how it ended; arguments as of `execute`."""
    started = start(ctx, order, show)
    with started.engine:
        run = finish(started)
    return _result(started, run)


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A run on its way: its record is written, its pipeline is imported."""

    ctx: Context
    engine: LocalEngine
    recorder: RunRecorder
    execution: Execution
    code: CodeFacts
    contract: ParsedContract


def start(ctx: Context, order: Order, show: Show | None) -> Started:
    """Import the pipeline and begin its record; the caller closes the engine.

    Raises:
        ThriveError: the run could not start.
    """
    folder = ctx.local_folder()
    contract = load(folder)
    _refuse_gaps(contract)
    file = find_file(order.target, folder)
    form = form_of(file, split_target(order.target)[1])
    recover_dead_runs(ctx)
    facts = _facts(ctx, contract)
    engine = LocalEngine(
        PROGRAMS[form],
        _arguments(order, file),
        folder=folder,
        environment=_environment(order, folder),
        python=order.python,
    )
    try:
        code = order.code or record_code(folder, order.target, ctx.home.blobs)
        early, ready = _await_ready(engine, show)
        recorder = start_run(ctx, _beginning(ready, code, order))
    except BaseException:
        engine.close()
        raise
    recorder.write_log(early)
    codes, policy = ready["codes"], order.policy
    return Started(
        ctx=ctx,
        engine=engine,
        recorder=recorder,
        execution=Execution(
            ctx, engine, recorder, contract, facts, show, codes, policy, order.recorded, form
        ),
        code=code,
        contract=contract,
    )


def _arguments(order: Order, file: Path) -> dict[str, Any]:
    """Return what the program of the run's processes is told."""
    return {
        "file": str(file),
        "pipeline": split_target(order.target)[1],
        "parameters": order.params,
        "values": order.values,
        "options": order.options,
        "seed": order.seed,
    }


def parse_share(text: str) -> float:
    """Return a share such as `5%` or `0.05` as a number."""
    try:
        number = float(text.removesuffix("%") or 0) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise UsageError(f"{text!r} is no share.", "write --verify-cache 5%")
    return number


def _refuse_gaps(contract: ParsedContract) -> None:
    """Raise ContractGap for what the contract must answer before anything is trained."""
    blocking = [gap for gap in gaps(contract) if gap.blocks == "train"]
    if blocking:
        first, more = blocking[0], len(blocking) - 1
        rest = f" ({more} more: thrive check)" if more else ""
        raise ContractGap(f"{contract.filename}:{first.line}: {first.what}{rest}", first.fix)


def _facts(ctx: Context, contract: ParsedContract) -> dict[str, Any]:
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
            }
            for name, terms in contract.contract.model.items()
        },
    }


def _environment(order: Order, folder: Path) -> dict[str, str | None]:
    return {**order.environment, "PYTHONHASHSEED": "0", "PYTHONPATH": _python_path(folder)}


def _python_path(folder: Path) -> str:
    known = os.environ.get("PYTHONPATH", "")
    return f"{folder}{os.pathsep}{known}" if known else str(folder)


def _await_ready(engine: LocalEngine, show: Show | None) -> tuple[bytes, dict[str, Any]]:
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


def _notes(started: Started, versions: list[ModelVersion]) -> list[str]:
    notes = [started.code.lost] if started.code.lost else []
    notes += started.execution.tracked.notes
    known = started.contract.contract.model
    notes += [
        f"thrive.toml says nothing of {name!r}: add [model.{name}] before it can go to production"
        for name in dict.fromkeys(version.model for version in versions)
        if name not in known
    ]
    return notes
