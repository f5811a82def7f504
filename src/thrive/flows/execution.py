"""One run on its way: messages of its tasks become records, steps become forks."""

from collections.abc import Callable
from typing import Any

import msgspec

from thrive import data
from thrive.contract.parse import ParsedContract
from thrive.domain.clock import SECOND
from thrive.domain.errors import ThriveError
from thrive.domain.model import ModelVersion
from thrive.domain.run import RunState, StepRecord, Use
from thrive.engines.failures import Failure, describe
from thrive.engines.local import Exit, LocalEngine, Message, Output, describe_exit
from thrive.flows.data_use import refuse_training_data, refuse_use
from thrive.flows.used_features import UsedFeatures
from thrive.operations import Context
from thrive.registry import versions
from thrive.store import runs
from thrive.tracking.recorder import FLUSH_SECONDS, RunRecorder
from thrive.training.seeds import step_seed

Show = Callable[[str], None]
"""Gets text for people as it comes."""
PIPELINE = "pipeline"


class _RunningStep(msgspec.Struct):
    record: StepRecord
    asked: Message
    timeout: float | None
    ref: dict[str, Any] | None = None
    failed: dict[str, Any] | None = None


class _Reading(msgspec.Struct):
    """What a run reads of one version; `whole` once something read all of it."""

    use: Use
    whole: bool = False


class Execution:
    """Executes one run on an engine that is ready, and records it.

    Args:
        ctx: the context of the operation.
        engine: has imported the pipeline.
        recorder: that of the run.
        contract: in force for what is registered.
        facts: what every task is told.
        show: gets the output and a line for each step; None shows nothing.
    """

    def __init__(
        self,
        ctx: Context,
        engine: LocalEngine,
        recorder: RunRecorder,
        contract: ParsedContract,
        facts: dict[str, Any],
        show: Show | None,
    ) -> None:
        self._ctx = ctx
        self._engine = engine
        self._recorder = recorder
        self._contract = contract
        self._facts = {
            **facts,
            "run_id": recorder.run.run_id,
            "scratch": str((recorder.scratch / "arguments").resolve()),
        }
        self._show = show or _silent
        self._running: dict[str, _RunningStep] = {}
        self._inline: dict[int, StepRecord] = {}
        self._counts: dict[str, int] = {}
        self._done = 0
        self._expected = self._steps_last_time()
        self._training: dict[str, str] = {}
        self._reads: dict[str, _Reading] = {}
        self._features = UsedFeatures()
        self._finished = False
        self._failure: Failure | None = None
        self._exit: Exit | None = None
        self.versions: list[ModelVersion] = []
        self._handlers: dict[str, Callable[[Message], Any]] = {
            "columns": self._on_columns,
            "dataset": self._on_dataset,
            "failed": self._on_failed,
            "features": self._on_features,
            "finished": self._on_finished,
            "inline": self._on_inline,
            "inline_done": self._on_inline_done,
            "log": self._on_log,
            "register": self._on_register,
            "result": self._on_result,
            "step": self._on_step,
        }

    def run(self) -> Failure | None:
        """Execute the pipeline function to its end; return its failure, None when it is done.

        Raises:
            ThriveError: the store or the engine failed; the caller closes the run.
        """
        seed = self._recorder.run.seed
        work = {"role": PIPELINE, "name": "", "seed": seed}
        self._engine.fork(PIPELINE, work, {**self._facts, "role": PIPELINE})
        while self._exit is None:
            for event in self._engine.events(FLUSH_SECONDS):
                self._take(event)
            self._recorder.flush_if_due()
        return self._outcome(self._exit)

    def _take(self, event: Message | Output | Exit) -> None:
        if isinstance(event, Message):
            self._answer(event)
        elif isinstance(event, Output):
            self._recorder.write_log(event.data)
            self._show(event.data.decode(errors="replace"))
        elif event.task == PIPELINE:
            self._exit = event
        else:
            self._on_step_exit(event)

    def _answer(self, message: Message) -> None:
        """Handle one message; what a request may not do is the task's error, not the run's."""
        try:
            reply = self._handlers[message.kind](message)
        except ThriveError as error:
            if not message.number:
                raise
            self._engine.reply(message, failure=describe(error))
        else:
            if message.kind != "step":
                self._engine.reply(message, reply)

    def _on_dataset(self, message: Message) -> Any:
        version = data.resolve(self._ctx, message.body["name"], message.body["version"])
        refuse_use(self._ctx, version, self._contract)
        self._ctx.home.blobs.fetch(*(entry.digest for entry in version.files))
        self._training[version.dataset] = version.digest
        use = Use(
            kind="dataset",
            name=version.dataset,
            digest=version.digest,
            direction="in",
            version=version.version,
            columns=self._columns_of(version.digest),
        )
        self._reads.setdefault(version.digest, _Reading(use=use))
        self._recorder.use(use)
        return msgspec.to_builtins(version)

    def _columns_of(self, digest: str) -> list[str] | None:
        known = self._reads.get(digest)
        return known.use.columns if known is not None else None

    def _on_columns(self, message: Message) -> None:
        """Add what a scan reads of a dataset; once something read it whole, nothing narrows it."""
        reading = self._reads.get(message.body["digest"])
        if reading is None or reading.whole:
            return
        columns = message.body["columns"]
        reading.whole = columns is None
        seen = None if columns is None else sorted({*(reading.use.columns or ()), *columns})
        if seen != reading.use.columns:
            reading.use = msgspec.structs.replace(reading.use, columns=seen)
            self._recorder.use(reading.use)

    def _on_features(self, message: Message) -> None:
        """Register the views that rows were made with, as part of the run's lineage."""
        for view in self._features.add(self._ctx, message.body):
            self._recorder.use(
                Use(
                    kind="feature_view",
                    name=view.name,
                    digest=view.digest,
                    direction="in",
                    version=view.version,
                )
            )

    def _on_log(self, message: Message) -> None:
        self._recorder.log(message.body["points"])

    def _on_register(self, message: Message) -> int:
        self._recorder.flush()
        with self._ctx.read() as tx:
            model = message.body["model"]
            refuse_training_data(tx, self._ctx, self._training, self._contract, model)
        candidate = msgspec.convert(
            {**message.body, "training": self._training}, versions.Candidate
        )
        terms = self._contract.contract.model.get(model)
        candidate = msgspec.structs.replace(
            candidate, features=self._features.spec_of(model, terms.features if terms else [])
        )
        version = versions.register(self._ctx, candidate, self._recorder.run, self._contract)
        self.versions.append(version)
        self._say(f"registered {version.model}@{version.version}")
        return version.version

    def _on_step(self, message: Message) -> None:
        record = self._begin(message.body["name"])
        timeout = message.body["timeout"]
        task = f"step-{record.position}"
        self._running[task] = _RunningStep(record=record, asked=message, timeout=timeout)
        sent = {key: message.body[key] for key in ("key", "name", "args", "kwargs")}
        work = {"role": "step", "seed": record.seed, **sent}
        self._engine.fork(task, work, {**self._facts, "role": "step"}, timeout=timeout)

    def _begin(self, name: str) -> StepRecord:
        index = self._counts.get(name, 0)
        self._counts[name] = index + 1
        seed = step_seed(self._recorder.run.seed, name, index)
        self._ctx.progress(self._share(), name)
        return self._recorder.begin_step(name, seed)

    def _on_inline(self, message: Message) -> int:
        record = self._begin(message.body["name"])
        self._inline[record.position] = record
        return record.position

    def _on_inline_done(self, message: Message) -> None:
        record = self._inline.pop(message.body["position"])
        self._tell(self._recorder.end_step(record, RunState.DONE))

    def _on_result(self, message: Message) -> None:
        self._running[message.task].ref = message.body["ref"]

    def _on_failed(self, message: Message) -> None:
        failure = msgspec.convert(message.body["failure"], Failure)
        if message.task == PIPELINE:
            self._failure = failure
        if message.task != PIPELINE or not failure.task:  # that of a step is in the log already
            self._recorder.write_log(failure.trace.encode())
        if message.task != PIPELINE:
            self._running[message.task].failed = message.body

    def _on_finished(self, _message: Message) -> None:
        self._finished = True

    def _on_step_exit(self, end: Exit) -> None:
        step = self._running.pop(end.task)
        if step.ref is not None:
            ref = step.ref
            self._ctx.home.blobs.admit(ref["digest"])
            output = self._recorder.artifact(
                step.record.name, ref["kind"], ref["digest"], ref["size"]
            )
            self._tell(self._recorder.end_step(step.record, RunState.DONE, output=output))
            reply = {"result": ref, "failure": None, "exception": b""}
        else:
            body = step.failed or {"failure": _death(step, end), "exception": b""}
            failure = msgspec.convert(body["failure"], Failure)
            error = failure.report()
            self._tell(self._recorder.end_step(step.record, RunState.FAILED, error=error))
            reply = {"result": None, **body}
        self._engine.reply(step.asked, reply)

    def _outcome(self, end: Exit) -> Failure | None:
        if self._failure is not None:
            return self._failure
        if self._finished and end.code == 0:
            return None
        return Failure(
            kind="Crash",
            what=f"its process ended {describe_exit(end.code)}",
            code="NotRight",
        )

    def _share(self) -> float:
        return min(0.99, self._done / max(self._expected, self._done + 1))

    def _steps_last_time(self) -> int:
        """Return how many steps the experiment's last finished run had: the progress to expect."""
        project = self._ctx.project_id
        with self._ctx.read() as tx:
            recent = runs.find(tx, project, experiment=self._recorder.run.experiment, limit=5)
            done = next((run for run in recent if run.state is RunState.DONE), None)
            return len(runs.find_steps(tx, project, done.run_id)) if done else 0

    def _tell(self, step: StepRecord) -> None:
        self._done += 1
        seconds = ((step.ended_at or step.started_at) - step.started_at) / SECOND
        self._say(f"step {step.position:<3} {step.name:<24} {step.state.value:<7} {seconds:8.2f} s")
        self._ctx.progress(self._share(), f"{step.name} {step.state.value}")

    def _say(self, line: str) -> None:
        self._show(f"{line}\n")


def _silent(_text: str) -> None:
    return


def _death(step: _RunningStep, end: Exit) -> dict[str, Any]:
    """Return the failure of a step whose process ended without a result."""
    if end.timed_out:
        what = f"it took longer than {step.timeout:g} s and was killed"
        hint = "give it more time: @step(timeout=...)"
    else:
        what = f"its process ended {describe_exit(end.code)}; it held {end.peak >> 20} MiB at most"
        hint = ""
    failure = Failure(kind="Crash", what=what, hint=hint, code="NotRight", task=step.record.name)
    return msgspec.to_builtins(failure)
