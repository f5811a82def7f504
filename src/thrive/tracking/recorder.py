"""Writes one run as it happens: what a method wrote survives the death of its process.

Metric points, beginnings of steps, and ends of those that took less than a second wait a quarter
of a second for others to be written with, and do not wait for the disk: a power cut may take the
last second of them. What a run had not written yet is executed again when it is resumed.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from thrive.domain.clock import SECOND, ClockMode
from thrive.domain.identifiers import new_id
from thrive.domain.run import (
    Artifact,
    CodeRecord,
    MetricPoint,
    Run,
    RunState,
    StepCode,
    StepRecord,
    Use,
)
from thrive.operations import Context
from thrive.store import experiments, observations, references, runs
from thrive.store.database import Tx
from thrive.store.place import made
from thrive.tracking.process import own_identity

FLUSH_SECONDS = 0.25
LOG_ARTIFACT = "log"
DEAR = SECOND
"""The end of a step that took longer is written at once: nobody wants to execute it again."""


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run before its first step."""

    experiment: str
    name: str
    pipeline: str
    params: dict[str, Any]
    seed: int
    code: CodeRecord
    environment: dict[str, Any]
    tags: dict[str, str] = {}


class RunRecorder:
    """The record of one running run; one recorder a run, used by one thread.

    Times are those of the project's clock at the beginning plus the machine's time that passed,
    so that durations are true in a replay as well.

    Args:
        ctx: the context of the operation that runs.
        run: the run, already stored.
    """

    def __init__(self, ctx: Context, run: Run) -> None:
        self._ctx = ctx
        self.run = run
        self._began = time.monotonic()
        self._points: list[MetricPoint] = []
        self._flushed = self._began
        self._steps = 0
        self._waiting: dict[int, tuple[StepRecord, Sequence[Artifact]]] = {}
        self._codes: list[StepCode] = []
        self._artifacts: set[str] = set()
        self.scratch = made(ctx.home.temporary_folder / f"run-{run.run_id}")
        self._log = (self.scratch / LOG_ARTIFACT).open("ab", buffering=0)

    def now(self) -> int:
        """Return the run's present moment in UTC microseconds."""
        return self.run.started_at + round((time.monotonic() - self._began) * SECOND)

    def begin_step(self, name: str, seed: int, *, write: bool = True, **known: Any) -> StepRecord:
        """Take in that the next step runs, and return it; `known` are other fields of it.

        Without `write` it is written when it ends.
        """
        self._steps += 1
        step = StepRecord(
            run_id=self.run.run_id,
            position=self._steps,
            name=name,
            state=RunState.RUNNING,
            started_at=self.now(),
            seed=seed,
            **known,
        )
        if write:
            self._save_step(step)
        return step

    def end_step(
        self,
        step: StepRecord,
        state: RunState,
        *,
        outputs: Sequence[Artifact] = (),
        error: str = "",
        **known: Any,
    ) -> StepRecord:
        """Write how a step ended, with its results and the metrics it logged."""
        ended = msgspec.structs.replace(
            step,
            state=state,
            ended_at=self.now(),
            outputs=[output.name for output in outputs],
            error=error,
            **known,
        )
        self._save_step(ended, outputs)
        return ended

    def artifact(self, name: str, kind: str, digest: str, size: int) -> Artifact:
        """Return an artifact of this run under a name that is not taken yet; it is not written."""
        free, count = name, 1
        while free in self._artifacts:
            count += 1
            free = f"{name}-{count}"
        self._artifacts.add(free)
        return Artifact(
            run_id=self.run.run_id,
            name=free,
            kind=kind,
            digest=digest,
            size=size,
            created_at=self.now(),
        )

    def keep(self, name: str, kind: str, data: bytes) -> Artifact:
        """Keep bytes as an artifact of the run."""
        digest = self._ctx.home.blobs.put(data)
        kept = self.artifact(name, kind, digest, len(data))
        self.save(kept)
        return kept

    def save(self, artifact: Artifact) -> None:
        """Write an artifact of the run."""
        with self._ctx.observe(self._subject) as tx:
            runs.save_artifact(tx, self._ctx.project_id, artifact)

    def amend(self, **environment: Any) -> None:
        """Take more into the record of the environment; it is written with the end of the run."""
        known = {**self.run.environment, **environment}
        self.run = msgspec.structs.replace(self.run, environment=known)

    def threads(self, pools: list[dict[str, Any]]) -> None:
        """Take in the thread pools of a task that loaded more libraries than were known."""
        if len(pools) > len(self.run.environment.get("threads", ())):
            self.amend(threads=pools)

    def code(self, *codes: StepCode) -> None:
        """Take in what code digests stand for; it is written with the steps that name them."""
        self._codes += codes

    def use(self, use: Use) -> None:
        """Write one edge of lineage."""
        with self._ctx.observe(self._subject) as tx:
            runs.save_use(tx, self._ctx.project_id, self.run.run_id, use)

    def log(self, points: list[dict[str, Any]]) -> None:
        """Take metric points; they are written together, a quarter of a second later at most."""
        now = self.now()
        self._points += [msgspec.convert({**point, "at": now}, MetricPoint) for point in points]
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write what waits if it has waited long enough."""
        if (self._points or self._waiting) and time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the waiting metric points and steps."""
        self._flushed = time.monotonic()
        if self._waiting or self._points:
            dear = any(_is_dear(step) for step, _ in self._waiting.values())
            with self._ctx.observe(self._subject, durable=dear) as tx:
                self.run = self._write_waiting(tx, self.run)

    def write_log(self, data: bytes) -> None:
        """Append to the run's log."""
        self._log.write(data)

    def finish(self, state: RunState, error: str = "") -> Run:
        """Write how the run ended, keep its log, and remove its scratch folder."""
        self._log.close()
        ended = msgspec.structs.replace(self.run, state=state, ended_at=self.now(), error=error)
        self.run = close_run(self._ctx, ended, self._write_waiting)
        return self.run

    @property
    def _subject(self) -> str:
        return f"run:{self.run.run_id}"

    def _save_step(self, step: StepRecord, outputs: Sequence[Artifact] = ()) -> None:
        """Write a step, with others a quarter of a second later if it costs little."""
        self._waiting[step.position] = (step, outputs)
        if _is_dear(step) or (self._points and step.index is None):
            self.flush()
        else:
            self.flush_if_due()

    def _write_waiting(self, tx: Tx, run: Run) -> Run:
        """Write what waits, and return the run with what its points make of it."""
        project = self._ctx.project_id
        waiting, self._waiting = self._waiting, {}
        codes, self._codes = self._codes, []
        points, self._points = self._points, []
        for code in codes:
            runs.save_step_code(tx, project, code)
        if waiting:
            runs.save_step(tx, project, *(step for step, _ in waiting.values()))
        for _, outputs in waiting.values():
            for output in outputs:
                runs.save_artifact(tx, project, output)
        if not points:
            return run
        seen = observations.Observation(points=points)
        now = observations.observe_one(tx, project, run.run_id, seen)
        return msgspec.structs.replace(
            run,
            metrics=now.metrics,
            summaries=now.summaries,
            params=now.params,
            tags=now.tags,
        )


def _is_dear(step: StepRecord) -> bool:
    return step.ended_at is not None and step.ended_at - step.started_at > DEAR


def open_run(
    ctx: Context, *, experiment: str, name: str, params: dict[str, Any], tags: dict[str, str]
) -> Run:
    """Store a new run of a script that has no pipeline, and return it."""
    run = _new_run(ctx, experiment=experiment, name=name, params=params, tags=tags)
    with ctx.write(f"run:{run.run_id}", experiment=experiment) as tx:
        experiments.ensure(tx, ctx.project_id, experiment, run.started_at)
        runs.save(tx, ctx.project_id, run)
    return run


def _new_run(ctx: Context, **known: Any) -> Run:
    return Run(
        run_id=new_id(),
        state=RunState.RUNNING,
        actor=ctx.actor.name,
        started_at=ctx.now(),
        process=own_identity(),
        replay=ctx.home.clock().mode is ClockMode.REPLAY,
        **known,
    )


def start_run(ctx: Context, beginning: Beginning) -> RunRecorder:
    """Store a new run and return its recorder."""
    run = _new_run(ctx, **{name: getattr(beginning, name) for name in beginning.__struct_fields__})
    with ctx.write(f"run:{run.run_id}", pipeline=run.pipeline, seed=run.seed) as tx:
        experiments.ensure(tx, ctx.project_id, run.experiment, run.started_at)
        runs.save(tx, ctx.project_id, run)
        references.add(tx, ctx.project_id, "run", run.run_id, beginning.code.bundle)
    return RunRecorder(ctx, run)


def close_run(ctx: Context, run: Run, pending: Callable[[Tx, Run], Run] | None = None) -> Run:
    """Write the end of a run with what became of its steps; keep its log; remove its scratch.

    Args:
        ctx: the context of the operation.
        run: as it ended.
        pending: writes what waited for this moment, and returns the run with it.
    """
    scratch = ctx.home.temporary_folder / f"run-{run.run_id}"
    log = _kept_log(ctx, run, scratch / LOG_ARTIFACT)
    with ctx.write(f"run:{run.run_id}", state=run.state.value) as tx:
        run = pending(tx, run) if pending else run
        for step in runs.find_open_steps(tx, ctx.project_id, run.run_id):
            lost = msgspec.structs.replace(step, state=run.state, ended_at=run.ended_at)
            runs.save_step(tx, ctx.project_id, lost)
        if log is not None:
            runs.save_artifact(tx, ctx.project_id, log)
        runs.save(tx, ctx.project_id, run)
        runs.compact(tx, ctx.project_id, run.run_id)
    shutil.rmtree(scratch, ignore_errors=True)
    return run


def _kept_log(ctx: Context, run: Run, path: Path) -> Artifact | None:
    if not path.is_file() or path.stat().st_size == 0:
        return None
    return Artifact(
        run_id=run.run_id,
        name=LOG_ARTIFACT,
        kind="text",
        digest=ctx.home.blobs.put_file(path),
        size=path.stat().st_size,
        created_at=run.ended_at or run.started_at,
    )
