"""Calls of steps as the pipeline function asks for them, with the keys of their results."""

import time
from typing import Any

import msgspec

from thrive.domain.run import StepRecord
from thrive.engines.local import Message
from thrive.training.digests import key_of, step_seed
from thrive.training.options import StepOptions


class Group(msgspec.Struct):
    """A fan-out: its calls, and what is still open."""

    name: str
    size: int
    began: float
    open: int
    results: list[Any]
    reused: int = 0
    failed: bool = False
    first: int = 0


class StepCall(msgspec.Struct):
    """One execution of a step, from the question to the answer."""

    asked: Message
    name: str
    step: str
    options: StepOptions
    args: list[Any]
    kwargs: dict[str, Any]
    seed: int
    key: str
    code: str
    inputs: dict[str, Any] | None
    stands_on: dict[str, Any] | None = None
    note: str = ""
    ordinal: int = 0
    index: int | None = None
    group: Group | None = None
    record: StepRecord | None = None
    expected: StepRecord | None = None
    attempts: int = 0
    losses: int = 0
    due: float = 0.0
    reads: dict[str, dict[str, Any]] = {}
    columns: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    result: dict[str, Any] | None = None
    failed: dict[str, Any] | None = None

    @property
    def label(self) -> str:
        """The step as people name it."""
        return self.name if self.index is None else f"{self.name}[{self.index}]"

    def is_last_with(self, ordinal: int) -> bool:
        """Tell whether that call of this name is this one, or one of a fan-out that ends here."""
        if self.group is None:
            return self.ordinal == ordinal
        inside = self.group.first <= ordinal < self.group.first + self.group.size
        return inside and self.group.open <= 1


class Calls:
    """Turns what the pipeline function asks into calls, in the order of the questions.

    Args:
        codes: what each declared step stands on, as `prepare` told it.
        seed: that of the run.
    """

    def __init__(self, codes: dict[str, Any], seed: int) -> None:
        self._codes = codes
        self._seed = seed
        self._counts: dict[str, int] = {}

    def one(
        self,
        message: Message,
        args: list[Any],
        kwargs: dict[str, Any],
        inputs: dict[str, Any] | None,
        index: int | None = None,
    ) -> StepCall:
        """Return one call of a step, with its seed and its key."""
        body = message.body
        name = body["name"]
        options = msgspec.convert(body["options"], StepOptions)
        count = self._counts.get(name, 0)
        self._counts[name] = count + 1
        seed = step_seed(self._seed, name, count)
        code = body.get("code") or self._codes.get(body["key"])
        problem = code["problem"] if code else "it was declared after the run began"
        if inputs is None:
            problem = problem or "its arguments have no content to name"
        keyed = inputs is not None and not problem
        return StepCall(
            asked=message,
            name=name,
            step=body["key"],
            options=options,
            args=args,
            kwargs=kwargs,
            seed=seed,
            key=key_of(code["digest"], inputs or {}, seed=seed) if code and keyed else "",
            code=code["digest"] if code else "",
            stands_on=code,
            inputs=inputs,
            note=problem or ("" if options.cache else "cache=False"),
            ordinal=count,
            index=index,
            reads={},
            columns=[],
            points=[],
        )

    def several(self, message: Message) -> list[StepCall]:
        """Return the calls of a fan-out."""
        body = message.body
        rows = body["rows"]
        group = Group(body["name"], len(rows), time.monotonic(), len(rows), [None] * len(rows))
        calls: list[StepCall] = []
        group.first = self._counts.get(body["name"], 0)
        for index, row in enumerate(rows):
            inputs = {
                **body["inputs"],
                "arguments": {**body["inputs"]["arguments"], **row["arguments"]},
                "classes": {**body["inputs"]["classes"], **row["classes"]},
            }
            call = self.one(message, row["args"], body["kwargs"], inputs, index)
            call.group = group
            calls.append(call)
        return calls

    def several_inline(self, message: Message) -> list[StepCall]:
        """Return the calls of a fan-out in the process of the pipeline function."""
        rows = message.body["rows"]
        group = Group(message.body["name"], len(rows), time.monotonic(), len(rows), [])
        group.first = self._counts.get(message.body["name"], 0)
        calls = [self.one(message, [], {}, inputs, index) for index, inputs in enumerate(rows)]
        for call in calls:
            call.group = group
        return calls
