"""What a run would do, without doing it: which results would be used again, what would be executed.

The pipeline function is executed, its steps are not: each answers with the result that is known
for its key, else with that of the last run, which stands in for the one that is to come.
"""

from typing import Any

import msgspec

from thrive.contract.parse import load
from thrive.data.reading import resolve
from thrive.domain.actor import BUILDERS
from thrive.domain.errors import NotRight, ThriveError
from thrive.domain.run import Run, RunState, StepRecord
from thrive.engines.failures import Failure, describe
from thrive.engines.local import Exit, LocalEngine, Message
from thrive.flows.calls import Calls, StepCall
from thrive.flows.data_use import refuse_use
from thrive.flows.order import ALWAYS, Order, launch
from thrive.flows.reuse import Reuse
from thrive.flows.run import settings_of
from thrive.flows.seen_data import SeenData
from thrive.flows.train import await_ready, facts_of
from thrive.operations import Context, Kind, PathText, operation
from thrive.store import runs
from thrive.store.snapshots.bring import fetch_all
from thrive.tracking.why import by_place, changes_between

PLAN = "plan"
UNKNOWN = "UnknownYet"
"""The kind of the failure that ends a plan: a step has no result yet, and none to stand in."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a step.

    Attributes:
        step: the step.
        would: `be used again`, or `be executed`; `depends` where that follows from the result of a
            step that is to be executed: if it gives what it gave the last time, it is used again.
        why: what changed since the last time, or which run has the result.
    """

    step: str
    would: str
    why: str


@operation("pipelines plan", role=BUILDERS, kind=Kind.CLIENT)
def plan(
    ctx: Context,
    target: PathText,
    params: list[str] | None = None,
    *,
    set_: list[str] | None = None,
    experiment: str = "",
) -> list[Planned]:
    """Say what a run of a pipeline would execute, what it would use again, and why.

    No step is executed and nothing is recorded; the pipeline function itself is executed, up to
    the first step of which no run has had a result.

    Args:
        ctx: the context of the call.
        target: FILE with one @pipeline, or FILE:PIPELINE.
        params: parameters of the pipeline, e.g. --rate 0.05.
        set_: an option of a step, e.g. --set fit.cpu=4.
        experiment: the name that runs of it are compared under; that of the pipeline if not given.

    Raises:
        ThriveError: the pipeline cannot be imported, or failed.

    Examples:
        thrive pipelines plan train.py --rate 0.05
    """
    values, options = settings_of(None, set_ or [])
    order = Order(target=target, params=params or [], values=values, options=options)
    launched = launch(order, ctx.local_folder())
    with launched.engine:
        _, ready = await_ready(launched.engine, None)
        return _Plan(ctx, launched.engine, ready, experiment or ready["pipeline"]).made()


class _Plan:
    """One plan on its way.

    Args:
        ctx: the context of the operation.
        engine: has imported the pipeline.
        ready: what that told.
        experiment: where the last run is looked for.
    """

    def __init__(
        self, ctx: Context, engine: LocalEngine, ready: dict[str, Any], experiment: str
    ) -> None:
        self._ctx = ctx
        self._engine = engine
        self._seed: int = ready["seed"]
        self._codes = ready["codes"]
        self._calls = Calls(ready["codes"], ready["seed"])
        self._reuse = Reuse(ctx, ALWAYS)
        self._contract = load(ctx.local_folder())
        self._counts: dict[str, int] = {}
        self._last = self._last_steps(experiment, ready["pipeline"])
        self._seen = SeenData(ctx, self._contract, lambda _: None)
        self._rows: list[Planned] = []
        self._open: str = ""
        self._failure: Failure | None = None

    def made(self) -> list[Planned]:
        """Execute the pipeline function and return what became of each step."""
        facts = {
            **facts_of(self._ctx, self._contract),
            "run_id": PLAN,
            "scratch": str((self._ctx.home.temporary_folder / PLAN).resolve()),
            "role": "pipeline",
        }
        self._engine.fork(PLAN, {"role": "pipeline", "name": "", "seed": self._seed}, facts)
        while True:
            for event in self._engine.events(1.0):
                if isinstance(event, Message):
                    self._answer(event)
                elif isinstance(event, Exit):
                    return self._ended()

    def _ended(self) -> list[Planned]:
        if self._failure is not None and self._failure.kind != UNKNOWN:
            why = f"the pipeline function failed: {self._failure.sentence()}"
            self._rows.append(Planned(step="", would="depends", why=why))
        return self._rows

    def _answer(self, message: Message) -> None:
        try:
            reply = self._reply(message)
        except ThriveError as error:
            if message.number:
                self._engine.reply(message, failure=describe(error))
        else:
            self._engine.reply(message, reply)

    def _reply(self, message: Message) -> Any:
        body = message.body
        if message.kind == "step":
            call = self._calls.one(message, body["args"], body["kwargs"], body["inputs"])
            return self._told([call], "result")
        if message.kind == "map":
            return self._told(self._calls.several(message), "results")
        if message.kind == "inline":
            call = self._calls.one(message, [], {}, body["inputs"], body["index"])
            return self._inline([call])[0]
        if message.kind == "inline_map":
            return self._inline(self._calls.several_inline(message))
        return self._aside(message)

    def _aside(self, message: Message) -> Any:
        """Answer what is no step."""
        body = message.body
        if message.kind == "dataset":
            version = resolve(self._ctx, body["name"], body["version"])
            refuse_use(self._ctx, version, self._contract)
            fetch_all(self._ctx.home.blobs, version.listed_in)
            self._seen.see(version)
            return self._seen.told(version)
        if message.kind == "failed":
            failure = msgspec.convert(body["failure"], Failure)
            self._failure = self._failure or failure
        elif message.kind == "register":
            row = Planned(step="", would="be executed", why=f"it registers {body['model']}")
            self._rows.append(row)
            return 0
        return None

    def _told(self, calls: list[StepCall], field: str) -> dict[str, Any]:
        """Return the answer to a step or a fan-out: results, or the failure that ends the plan."""
        results = [self._result(call) for call in calls]
        if None in results:
            failure = Failure(kind=UNKNOWN, what="not known yet", code="NotRight")
            told = msgspec.to_builtins(failure)
            return {"result": None, "results": None, "failure": told, "exception": b""}
        whole = results if field == "results" else results[0]
        return {field: whole, "failure": None, "exception": b""}

    def _inline(self, calls: list[StepCall]) -> list[dict[str, Any]]:
        """Return the answers to calls in the process of the pipeline function.

        Raises:
            NotRight: one has no result yet.
        """
        results = [self._result(call) for call in calls]
        if None in results:
            self._failure = Failure(kind=UNKNOWN, what="")
            raise NotRight("not known yet", "")
        return [
            {"position": 0, "seed": call.seed, "result": result}
            for call, result in zip(calls, results, strict=True)
        ]

    def _result(self, call: StepCall) -> dict[str, Any] | None:
        """Note what would become of a call; return its result, or the one that stands in for it."""
        place = self._counts.get(call.label, 0)
        self._counts[call.label] = place + 1
        known = self._reuse.find(call.key, shared=not call.note) if call.key else None
        if known is not None:
            source = known.source or f"{known.run_id}/{known.position}"
            would = "depends" if self._open else "be used again"
            behind = f", if {self._open} gives what it gave the last time" if self._open else ""
            self._rows.append(
                Planned(step=call.label, would=would, why=f"the result of {source}{behind}")
            )
            return known.result
        last = self._last.get((call.label, place))
        self._rows.append(Planned(step=call.label, would="be executed", why=self._why(call, last)))
        self._open = self._open or call.label
        return None if last is None or not self._reuse.is_there(last) else last.result

    def _why(self, call: StepCall, last: StepRecord | None) -> str:
        if last is None:
            return "no earlier run came to it"
        if call.note:
            return call.note
        now = StepRecord(
            run_id=PLAN,
            position=0,
            name=call.name,
            state=RunState.SCHEDULED,
            started_at=0,
            seed=call.seed,
            index=call.index,
            key=call.key,
            code=call.code,
            inputs=call.inputs,
        )
        with self._ctx.read() as tx:
            found = changes_between(tx, self._ctx, last, now, self._codes.get(call.step))
        return "; ".join(f"{each.why} {each.name}" for each in found)

    def _last_steps(self, experiment: str, pipeline: str) -> dict[tuple[str, int], StepRecord]:
        """Return the steps of the last finished run of the pipeline, by place."""
        project = self._ctx.project_id
        with self._ctx.read() as tx:
            earlier: list[Run] = runs.find(tx, project, experiment=experiment, limit=20)
            done = (each for each in earlier if each.pipeline == pipeline)
            last = next((each for each in done if each.state is RunState.DONE), None)
            return by_place(runs.find_steps(tx, project, last.run_id)) if last else {}
