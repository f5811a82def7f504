"""The steps of one run: what is known is used again, the rest waits for its turn and is executed.

A step's key is a digest over its code, its inputs and its seed. A result with the same key is
used again if it is still there, and if the datasets its step loaded by name are what they were.
Steps run side by side as far as the processors go; one that fails for a reason that may pass is
tried again.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from thrive.domain.run import Artifact, RunState, StepCode, StepRecord
from thrive.engines.failures import Failure
from thrive.engines.local import Exit, Message, Needs, describe_exit
from thrive.engines.port import Engine
from thrive.flows.calls import Calls, Group, StepCall
from thrive.flows.order import CachePolicy
from thrive.flows.results import Results
from thrive.flows.reuse import Reuse
from thrive.operations import Context
from thrive.tracking.recorder import RunRecorder
from thrive.training.artifacts import ROW_BYTES
from thrive.training.options import Isolation

FIRST_PAUSE_SECONDS = 0.5
"""Pause before a step is tried again; it doubles each time."""
MOST_LOSSES = 3
"""How often a step is sent again because its machine is gone; then it may be what kills them."""
MISTAKES = frozenset(
    {"AssertionError", "AttributeError", "ImportError", "NameError", "SyntaxError", "TypeError"}
)
"""Errors that trying again does not mend; only a step that names them has them tried again."""


class Steps:
    """The desk of one run's steps.

    Args:
        ctx: the context of the operation.
        engine: has imported the pipeline.
        recorder: that of the run.
        codes: what each declared step stands on, as `prepare` told it.
        policy: when results are used again.
        facts: what every task is told.
        say: gets lines for people.
        results: keeps what the steps return.
    """

    def __init__(
        self,
        ctx: Context,
        engine: Engine,
        recorder: RunRecorder,
        codes: dict[str, Any],
        policy: CachePolicy,
        facts: dict[str, Any],
        say: Callable[[str], None],
        results: Results,
    ) -> None:
        self._engine = engine
        self._recorder = recorder
        self._facts = facts
        self._say = say
        self._reuse = Reuse(ctx, policy)
        self._results = results
        self._kept_codes: set[str] = set()
        self._calls = Calls(codes, recorder.run.seed)
        self._queue: deque[StepCall] = deque()
        self._running: dict[str, StepCall] = {}
        self._inline: dict[int, StepCall] = {}
        self._inline_ended = 0
        self.done = 0
        self.until: tuple[str, int] | None = None
        """The step, and which call of that name, after which nothing more is wanted."""
        self.reached = False
        self.doubts: list[str] = []
        self.read_dataset: Callable[[str, int | None], str] = _unread
        self.read_columns: Callable[[dict[str, Any]], None] = _unread

    def on_step(self, message: Message) -> None:
        """Take in one step."""
        body = message.body
        self._admit(self._calls.one(message, body["args"], body["kwargs"], body["inputs"]))
        self.advance()

    def on_map(self, message: Message) -> None:
        """Take in a fan-out."""
        calls = self._calls.several(message)
        for call in calls:
            self._admit(call)
        if not calls:
            self._engine.reply(message, {"results": [], "failure": None, "exception": b""})
        self.advance()

    def on_inline(self, message: Message) -> dict[str, Any]:
        """Answer where the result of a step is, or that it is to be executed in its process."""
        call = self._calls.one(message, [], {}, message.body["inputs"])
        known = self._known(call)
        if known is not None:
            self._use_again(call, known)
            return {"position": 0, "seed": call.seed, "result": known.result}
        record = self._begin(call)
        self._inline[record.position] = call
        return {"position": record.position, "seed": call.seed, "result": None}

    def on_inline_map(self, message: Message) -> list[dict[str, Any]]:
        """Answer for each call of a fan-out in its process as `on_inline` does for one."""
        answers: list[dict[str, Any]] = []
        for call in self._calls.several_inline(message):
            known = self._known(call)
            if known is not None:
                self._use_again(call, known)
                self._close_one(call.group)
                answers.append({"position": 0, "seed": call.seed, "result": known.result})
                continue
            self._keep_code(call)
            facts = self._facts_of(call)
            call.record = self._recorder.begin_step(call.name, call.seed, write=False, **facts)
            self._inline[call.record.position] = call
            answers.append({"position": call.record.position, "seed": call.seed, "result": None})
        return answers

    def _close_one(self, group: Group | None) -> None:
        assert group is not None
        group.open -= 1
        if group.open == 0:
            self._tell_group(group)

    def on_inline_done(self, message: Message) -> None:
        """Write how a step ended in its process."""
        body = message.body
        call = self._inline.pop(body["position"])
        if call.group is not None and call.record is not None:  # they are executed in turn
            began = max(call.record.started_at, self._inline_ended)
            call.record = msgspec.structs.replace(call.record, started_at=began)
            self._inline_ended = self._recorder.now()
        call.result = body["result"]
        _note_undeclared(call, body["undeclared"])
        if body["failure"] is None:
            self._ended(call)
            if call.group is not None:
                self._close_one(call.group)
        else:
            failure = msgspec.convert(body["failure"], Failure)
            self._tell(self._end(call, RunState.FAILED, error=failure.report()), call)

    def on_result(self, message: Message) -> None:
        """Write that a step is done and answer for it; its process ends meanwhile."""
        call = self._running[message.task]
        call.result = message.body["ref"]
        _note_undeclared(call, message.body["undeclared"])
        self._recorder.threads(message.body.get("threads", []))
        self._ended(call, message.body["used"])
        self._answer(call, call.result)
        self.advance()

    @property
    def leaving(self) -> bool:
        """Whether processes of steps that are done have not ended yet."""
        return any(call.result is not None for call in self._running.values())

    def on_failed(self, message: Message) -> None:
        """Take in the failure of a step that is about to end."""
        self._running[message.task].failed = message.body

    def on_exit(self, end: Exit) -> None:
        """Answer for a step whose process ended without a result, or have it tried again."""
        call = self._running.pop(end.task)
        if call.result is None:
            body = call.failed or {"failure": _death(call, end), "exception": b""}
            failure = msgspec.convert(body["failure"], Failure)
            again = self._send_again(call) if end.lost else self._try_again(call, failure)
            if not again:
                self._fail(call, end, body, failure)
        self.advance()

    def call_of(self, task: str) -> StepCall | None:
        """Return the call that a message came from, None for the pipeline function."""
        if task in self._running:
            return self._running[task]
        last = next(reversed(self._inline.values()), None)
        if last is None or last.group is None:
            return last
        return next(each for each in self._inline.values() if each.group is last.group)

    def advance(self) -> None:
        """Start what waits, as far as the processors go."""
        now = time.monotonic()
        waiting: deque[StepCall] = deque()
        while self._queue:
            call = self._queue.popleft()
            if call.group is not None and call.group.failed:
                continue
            if call.due > now or not self._has_room(call):
                waiting.append(call)
                if call.due <= now:
                    break
                continue
            self._execute(call)
        self._queue.extendleft(reversed(waiting))

    def _has_room(self, call: StepCall) -> bool:
        busy = sum(each.options.cpu for each in self._running.values() if each.result is None)
        if not busy:
            return True
        depth = self._engine.depth if call.group is not None else 1
        return busy + call.options.cpu <= self._engine.capacity() * depth

    def _known(self, call: StepCall) -> StepRecord | None:
        return self._reuse.find(call.key, shared=not call.note) if call.key else None

    def _admit(self, call: StepCall) -> None:
        known = self._known(call)
        if known is not None and self._reuse.is_doubted(call.key):
            call.expected, known = known, None
        if known is None:
            self._queue.append(call)
            return
        self._use_again(call, known)
        self._answer(call, known.result)

    def _use_again(self, call: StepCall, known: StepRecord) -> None:
        """Write a step that is not executed, and say again what it read and logged."""
        effects = known.effects or {}
        for read in effects.get("reads", ()):
            self.read_dataset(read["name"], read["version"])
        for said in effects.get("columns", ()):
            self.read_columns(said)
        self._recorder.log(effects.get("points", []))
        call.result = known.result
        if effects.get("made"):
            made = self._results.publish(known.result or {}, call.label, effects["made"])
            effects = {**effects, "made": made}
        source = known.source or f"{known.run_id}/{known.position}"
        record = self._recorder.begin_step(
            call.name, call.seed, write=False, **self._facts_of(call)
        )
        call.record = record
        ended = self._end(call, RunState.DONE, source=source, effects=effects or None)
        if call.group is not None:
            call.group.reused += 1
        self._tell(ended, call)

    def _facts_of(self, call: StepCall) -> dict[str, Any]:
        return {"index": call.index, "key": call.key, "code": call.code, "inputs": call.inputs}

    def _begin(self, call: StepCall) -> StepRecord:
        self._keep_code(call)
        call.record = self._recorder.begin_step(call.name, call.seed, **self._facts_of(call))
        return call.record

    def _keep_code(self, call: StepCall) -> None:
        self._results.keep_inputs(call.inputs)
        if call.code and call.code not in self._kept_codes:
            self._kept_codes.add(call.code)
            self._recorder.code(msgspec.convert(call.stands_on, StepCode))

    def _execute(self, call: StepCall) -> None:
        if call.record is None:
            self._begin(call)
        assert call.record is not None
        call.attempts += 1
        task = f"step-{call.record.position}-{call.attempts}-{call.losses}"
        self._running[task] = call
        work = {
            "role": "step",
            "seed": call.seed,
            "key": call.step,
            "name": call.label,
            "in_row": call.index is not None,
            "args": call.args,
            "kwargs": call.kwargs,
            "files": (call.inputs or {}).get("files", {}),
        }
        self._engine.fork(
            task,
            work,
            {**self._facts, "role": "step"},
            Needs(
                timeout=call.options.timeout,
                memory=call.options.memory,
                fresh=call.options.isolation is Isolation.SPAWN,
                cpu=call.options.cpu,
                gpu=call.options.gpu,
                small=call.group is not None,
            ),
        )

    def _ended(self, call: StepCall, used: dict[str, Any] | None = None) -> None:
        """Write that an executed step is done."""
        made: list[dict[str, Any]] = []
        outputs: list[Artifact] = []
        if call.result is not None:
            outputs = self._results.artifacts(call.result, call.label, call.index)
            made = self._results.publish(call.result, call.label, [])
        reads, columns = list(call.reads.values()), call.columns
        effects = {"reads": reads, "columns": columns, "points": call.points, "made": made}
        if call.expected is not None:
            self._compare(call, call.expected)
        known = {} if used is None else _usage(used["cpu"], used["peak"])
        ended = self._end(call, RunState.DONE, outputs=outputs, effects=effects, **known)
        self._tell(ended, call)

    def _compare(self, call: StepCall, known: StepRecord) -> None:
        expected, found = (known.result or {}).get("digest"), (call.result or {}).get("digest")
        if expected != found:
            call.note = "executed again, it gave another result than the one kept"
            self.doubts.append(call.label)
            self._reuse.distrust(known)

    def _end(self, call: StepCall, state: RunState, **known: Any) -> StepRecord:
        assert call.record is not None
        result = None if call.result is None else _stored(call.result, whole=call.index is not None)
        ended = self._recorder.end_step(
            call.record,
            state,
            result=result,
            note=call.note,
            attempts=call.attempts or None,
            **known,
        )
        self.done += 1
        if state is RunState.DONE and self.until is not None and call.name == self.until[0]:
            self.reached |= call.is_last_with(self.until[1])
        return ended

    def _send_again(self, call: StepCall) -> bool:
        """Have a step whose machine is gone executed on another one; that is no try of its own."""
        call.losses += 1
        if call.losses > MOST_LOSSES:
            return False
        call.attempts -= 1
        self._forget(call)
        self._queue.appendleft(call)
        self._say(f"step {call.label} is executed again: the machine that it ran on is gone")
        return True

    @staticmethod
    def _forget(call: StepCall) -> None:
        """Forget what a try said that came to no end."""
        call.failed, call.reads, call.columns, call.points = None, {}, [], []

    def _try_again(self, call: StepCall, failure: Failure) -> bool:
        if call.attempts > call.options.retries or not _may_pass(failure, call.options.retry_on):
            return False
        pause = FIRST_PAUSE_SECONDS * 2 ** (call.attempts - 1)
        call.due = time.monotonic() + pause
        self._forget(call)
        self._queue.append(call)
        self._say(
            f"step {call.label} failed ({failure.sentence()}); it is tried again in {pause:g} s, "
            f"{call.options.retries - call.attempts + 1} left"
        )
        return True

    def _fail(self, call: StepCall, end: Exit, body: dict[str, Any], failure: Failure) -> None:
        used = _usage(end.cpu, end.peak)
        ended = self._end(call, RunState.FAILED, error=failure.report(), **used)
        self._tell(ended, call, alone=True)
        if call.group is None or not call.group.failed:
            self._engine.reply(call.asked, {"result": None, "results": None, **body})
        if call.group is not None:
            call.group.failed = True

    def _answer(self, call: StepCall, result: dict[str, Any] | None) -> None:
        group = call.group
        if group is None:
            body = {"result": result, "failure": None, "exception": b""}
            self._engine.reply(call.asked, body)
            return
        assert call.index is not None
        group.results[call.index] = result
        group.open -= 1
        if group.open == 0 and not group.failed:
            self._tell_group(group)
            body = {"results": group.results, "failure": None, "exception": b""}
            self._engine.reply(call.asked, body)

    def _tell(self, step: StepRecord, call: StepCall, *, alone: bool = False) -> None:
        if call.group is not None and not alone:
            return
        seconds = ((step.ended_at or step.started_at) - step.started_at) / 1e6
        state = "cached" if step.source else step.state.value
        note = f"  not kept for later: {step.note}" if _is_news(step, call) else ""
        self._say(f"step {step.position:<3} {step.label:<24} {state:<7} {seconds:8.2f} s{note}")

    def _tell_group(self, group: Group) -> None:
        seconds = time.monotonic() - group.began
        reused = f", {group.reused} of them cached" if group.reused else ""
        self._say(f"map      {group.name:<24} {group.size} done {seconds:8.2f} s{reused}")


def _unread(*_asked: Any) -> Any:
    raise AssertionError("the run reads no datasets yet")


def _is_news(step: StepRecord, call: StepCall) -> bool:
    return bool(step.note) and call.options.cache and step.state is RunState.DONE


def _stored(ref: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """Return a reference as the row of a step keeps it: with the bytes of a small one."""
    stored = {name: ref[name] for name in ("kind", "digest", "size")}
    stored |= {name: ref[name] for name in ("name", "shape") if ref.get(name)}
    if ref.get("parts"):
        stored["parts"] = [_stored(part, whole=False) for part in ref["parts"]]
    data = ref.get("data") or b""
    if whole and isinstance(data, str):  # as the row of an earlier run keeps it
        stored["data"] = data
    elif whole and data and len(data) <= ROW_BYTES:
        stored["data"] = msgspec.to_builtins(data)
    return stored


def _usage(cpu: float, peak: int) -> dict[str, int]:
    return {"cpu": round(cpu * 1e6), "peak": peak}


def _note_undeclared(call: StepCall, undeclared: list[str]) -> None:
    if undeclared and not call.note:
        more = f" and {len(undeclared) - 1} more" if len(undeclared) > 1 else ""
        kind, _, name = undeclared[0].partition(" ")
        if kind == "chance":
            call.note = f"it draws from {name}{more}, without a seed"
        else:
            call.note = f"it read {undeclared[0]}{more}, which it does not declare"


def _may_pass(failure: Failure, named: tuple[str, ...]) -> bool:
    """Tell whether trying again may help."""
    if named:
        return bool({failure.kind, *failure.kinds} & set(named))
    return not MISTAKES & {failure.kind, *failure.kinds} and "MemoryError" not in failure.kinds


def _death(call: StepCall, end: Exit) -> dict[str, Any]:
    """Return the failure of a step whose process ended without a result."""
    if end.timed_out:
        what = f"it took longer than {call.options.timeout:g} s and was killed"
        hint = "give it more time: @step(timeout=...)"
    else:
        what = f"its process ended {describe_exit(end.code)}; it held {end.peak >> 20} MiB at most"
        hint = ""
    failure = Failure(
        kind="TimeoutError" if end.timed_out else "Crash",
        what=what,
        hint=hint,
        code="NotRight",
        task=call.label,
    )
    return msgspec.to_builtins(failure)
