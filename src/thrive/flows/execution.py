"""One run on its way: messages of its tasks become records, steps become forks."""

from collections.abc import Callable, Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from thrive.contract.parse import ParsedContract
from thrive.domain.dataset import DatasetVersion
from thrive.domain.errors import NotRight, ThriveError
from thrive.domain.model import ModelVersion
from thrive.domain.reference import format_reference
from thrive.domain.run import RunState, Use
from thrive.engines.failures import Failure, describe
from thrive.engines.local import Exit, Message, Needs, Output, describe_exit
from thrive.engines.port import Engine
from thrive.flows.order import CachePolicy
from thrive.flows.results import Results
from thrive.flows.steps import Steps
from thrive.flows.tracked import Tracked
from thrive.operations import Context
from thrive.store import runs
from thrive.tracking.entry import Form
from thrive.tracking.recorder import FLUSH_SECONDS, RunRecorder

if TYPE_CHECKING:
    from thrive.flows.derived import Origin
    from thrive.flows.seen_data import SeenData
    from thrive.flows.used_features import UsedFeatures

Show = Callable[[str], None]
"""Gets text for people as it comes."""
PIPELINE = "pipeline"


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A version that a run registered, and the digest of its package."""

    model: str
    version: int
    package: str


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier run that is executed once more, to compare.

    Attributes:
        data: dataset -> the number of the version that it read.
        models: model -> the versions that it registered, oldest first.
    """

    data: dict[str, int]
    models: dict[str, list[Registered]]


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
        codes: what each declared step stands on.
        policy: when results of earlier steps are used again.
        recorded: what the run repeats: it reads the same data, and registers nothing.
        form: what is executed; scripts and notebooks get a fresh interpreter.
        until: the step after which it ends.
    """

    def __init__(
        self,
        ctx: Context,
        engine: Engine,
        recorder: RunRecorder,
        contract: ParsedContract,
        facts: dict[str, Any],
        show: Show | None,
        codes: dict[str, Any],
        policy: CachePolicy,
        recorded: Recorded | None = None,
        form: Form = Form.PIPELINE,
        until: tuple[str, int] | None = None,
    ) -> None:
        self._ctx = ctx
        self._form = form
        self._engine = engine
        self._recorder = recorder
        self._contract = contract
        self.facts = {
            **facts,
            "run_id": recorder.run.run_id,
            "scratch": str((recorder.scratch / "arguments").resolve()),
        }
        self._show = show or _silent
        kept = Results(ctx, recorder, self._origins, publishes=recorded is None)
        self._steps = Steps(ctx, engine, recorder, codes, policy, self.facts, self._say, kept)
        self._steps.until = until
        self._steps.read_dataset = self._read
        self._steps.read_columns = self._narrow
        self._expected = self._steps_last_time()
        self._training: dict[str, str] = {}
        self._reads: dict[str, _Reading] = {}
        self._recorded = recorded
        self.tracked = Tracked(recorder, self._say)
        self.packages: list[tuple[Registered, str]] = []
        """Of a repeated run: each version it had registered, and the package made now."""
        self.judge: Callable[[list[dict[str, Any]]], bool] | None = None
        """Gets the points that are logged; says whether the run is to be stopped."""
        self.stopped = False
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
            "inline": self._steps.on_inline,
            "inline_done": self._steps.on_inline_done,
            "inline_map": self._steps.on_inline_map,
            "log": self._on_log,
            "register": self._on_register,
            "map": self._steps.on_map,
            "result": self._steps.on_result,
            "step": self._steps.on_step,
            **self.tracked.handlers,
        }

    @cached_property
    def _seen(self) -> "SeenData":
        from thrive.flows.seen_data import SeenData

        return SeenData(self._ctx, self._contract, self._say)

    @cached_property
    def _features(self) -> "UsedFeatures":
        from thrive.flows.used_features import UsedFeatures

        return UsedFeatures()

    def unnamed_views(self, version: ModelVersion) -> list[str]:
        """Return the feature views that gave inputs of a version, and that its contract omits."""
        if "_features" not in vars(self):
            return []
        terms = self._contract.contract.model.get(version.model)
        inputs = {field["name"] for field in version.signature.get("inputs", [])}
        return self._features.unnamed(terms.features if terms else [], inputs)

    def _origins(self, made: Collection[str]) -> "dict[str, list[Origin]]":
        """Return from which columns that the run read each of some columns may come."""
        read = {digest: each.use.columns for digest, each in self._reads.items()}
        return self._seen.origins(made, read)

    def run(self) -> Failure | None:
        """Execute the pipeline function to its end; return its failure, None when it is done.

        Raises:
            ThriveError: the store or the engine failed; the caller closes the run.
        """
        seed = self._recorder.run.seed
        role = self._form.value
        self._engine.fork(
            PIPELINE,
            {"role": role, "name": "", "seed": seed},
            {**self.facts, "role": role},
            Needs(fresh=self._form is not Form.PIPELINE, here=True),
        )
        while not self._is_over():
            for event in self._engine.events(FLUSH_SECONDS):
                self._take(event)
            self._steps.advance()
            self._recorder.flush_if_due()
        return None if self._exit is None else self._outcome(self._exit)

    def _is_over(self) -> bool:
        ended = self._exit is not None or self._steps.reached or self.stopped
        return ended and not self._steps.leaving

    def _take(self, event: Message | Output | Exit) -> None:
        if isinstance(event, Message):
            self._answer(event)
        elif isinstance(event, Output):
            self._recorder.write_log(event.data)
            self._show(event.data.decode(errors="replace"))
        elif event.task == PIPELINE:
            self._exit = event
        else:
            self._steps.on_exit(event)
            self._tell_progress()

    def _answer(self, message: Message) -> None:
        """Handle one message; what a request may not do is the task's error, not the run's."""
        try:
            reply = self._handlers[message.kind](message)
        except ThriveError as error:
            if not message.number:
                raise
            self._engine.reply(message, failure=describe(error))
        else:
            if message.kind not in {"step", "map"}:  # these are answered when they are done
                self._engine.reply(message, reply)

    def _on_dataset(self, message: Message) -> Any:
        name, number = message.body["name"], message.body["version"]
        version = self._read_version(name, number)
        call = self._steps.call_of(message.task)
        if call is not None:
            read = {"name": name, "version": number, "digest": self._seen.digest(version)}
            call.reads[f"{name}@{number or ''}"] = read
        return self._seen.told(version)

    def _read(self, name: str, number: int | None) -> str:
        return self._read_version(name, number).digest

    def _read_version(self, name: str, number: int | None) -> DatasetVersion:
        """Return the version that a task may read, fetched and part of the lineage."""
        from thrive.data.reading import resolve
        from thrive.flows.data_use import refuse_gaps, refuse_use
        from thrive.store.snapshots.bring import fetch_all

        if self._recorded is not None and number is None:
            number = self._recorded.data.get(name.partition("@")[0])
        version = resolve(self._ctx, name, number)
        refuse_gaps(self._contract, "data", version.dataset)
        refuse_use(self._ctx, version, self._contract)
        fetch_all(self._ctx.home.blobs, version.listed_in)
        self._seen.see(version)
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
        return version

    def _columns_of(self, digest: str) -> list[str] | None:
        known = self._reads.get(digest)
        return known.use.columns if known is not None else None

    def _on_columns(self, message: Message) -> None:
        """Take in what a scan reads of a dataset, and keep it for when the step is not executed."""
        call = self._steps.call_of(message.task)
        if call is not None:
            call.columns.append(message.body)
        self._narrow(message.body)

    def _narrow(self, said: dict[str, Any]) -> None:
        """Add columns to those read of a dataset; once it was read whole, nothing narrows it."""
        reading = self._reads.get(said["digest"])
        if reading is None or reading.whole:
            return
        columns = said["columns"]
        reading.whole = columns is None
        seen = None if columns is None else sorted({*(reading.use.columns or ()), *columns})
        if seen != reading.use.columns:
            reading.use = msgspec.structs.replace(reading.use, columns=seen)
            self._recorder.use(reading.use)

    def _on_features(self, message: Message) -> None:
        """Register the views that rows were made with, as part of the run's lineage."""
        call = self._steps.call_of(message.task)
        if call is not None:
            call.note = call.note or "it joins feature views, whose code its key does not follow"
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
        call = self._steps.call_of(message.task)
        if call is not None:
            call.points += message.body["points"]
        self._recorder.log(message.body["points"])
        if self.judge is not None:
            self.stopped |= self.judge(message.body["points"])

    def _on_register(self, message: Message) -> int:
        from thrive.flows.data_use import refuse_gaps, refuse_training_data
        from thrive.registry import versions

        self._recorder.flush()
        call = self._steps.call_of(message.task)
        if call is not None:
            call.note = call.note or "it registers a model"
        with self._ctx.read() as tx:
            model = message.body["model"]
            refuse_gaps(self._contract, "model", model)
            if self._recorded is not None:
                return self._register_again(model, message.body["package"])
            refuse_training_data(tx, self._ctx, self._training, self._contract, model)
        self._seen.refuse_model(model, message.body["package"])
        candidate = msgspec.convert(
            {**message.body, "training": self._training}, versions.Candidate
        )
        terms = self._contract.contract.model.get(model)
        candidate = msgspec.structs.replace(
            candidate, features=self._features.spec_of(model, terms.features if terms else [])
        )
        version = versions.register(self._ctx, candidate, self._recorder.run, self._contract)
        self.versions.append(version)
        known = version.run_id != self._recorder.run.run_id
        label = format_reference(version.model, version.version)
        self._say(f"{label} is this version already" if known else f"registered {label}")
        return version.version

    def _register_again(self, model: str, package: str) -> int:
        """Return the number that a repeated run was given for a model; nothing is registered."""
        assert self._recorded is not None
        known = self._recorded.models.get(model, [])
        place = sum(version.model == model for version, _ in self.packages)
        if place >= len(known):
            raise NotRight(f"The recorded run registered no {model!r} here.", "")
        self.packages.append((known[place], package))
        return known[place].version

    def _on_failed(self, message: Message) -> None:
        failure = msgspec.convert(message.body["failure"], Failure)
        if message.task == PIPELINE:
            self._failure = failure
        if message.task != PIPELINE or not failure.task:  # that of a step is in the log already
            self._recorder.write_log(failure.trace.encode())
        if message.task != PIPELINE:
            self._steps.on_failed(message)

    def _on_finished(self, message: Message) -> None:
        self._recorder.threads(message.body.get("threads", []))
        self._finished = True

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

    def _tell_progress(self) -> None:
        done = self._steps.done
        share = min(0.99, done / max(self._expected, done + 1))
        self._ctx.progress(share, f"{done} of about {max(self._expected, done)} steps")

    def _steps_last_time(self) -> int:
        """Return how many steps the experiment's last finished run had: the progress to expect."""
        project = self._ctx.project_id
        with self._ctx.read() as tx:
            recent = runs.find(tx, project, experiment=self._recorder.run.experiment, limit=5)
            done = next((run for run in recent if run.state is RunState.DONE), None)
            return runs.count_steps(tx, project, done.run_id) if done else 0

    def _say(self, line: str) -> None:
        self._show(f"{line}\n")


def _silent(_text: str) -> None:
    return
