"""Calls of steps inside the pipeline function: what is sent, and what comes back."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

import msgspec

from thrive.domain.errors import ThriveError, UsageError
from thrive.engines.channel import Channel
from thrive.engines.failures import Failure, describe, raise_again
from thrive.training import keys
from thrive.training.artifacts import ArtifactStore, Ref
from thrive.training.closure import closure_of
from thrive.training.outputs import keep_result
from thrive.training.seeds import sow
from thrive.training.watch import Watch, watching

if TYPE_CHECKING:
    from thrive.training.declare import Step

R = TypeVar("R")
_MISSING = object()


class Started(Generic[R]):
    """A step on its way: `result()` waits for it. Given to another step, it is its result."""

    def __init__(
        self, link: Channel | None = None, number: int = 0, *, value: Any = _MISSING
    ) -> None:
        self._link = link
        self._number = number
        self._value = value
        self._ref: Ref | None = None

    def ref(self) -> Ref | None:
        """Return where the result is, once it is there; None outside of runs."""
        if self._ref is None and self._link is not None:
            answer = self._link.answer(self._number)
            self._ref = msgspec.convert(_right(answer)["result"], Ref)
        return self._ref

    def result(self) -> R:
        """Return the result, once it is there; raise what the step raised."""
        if self._value is _MISSING:
            ref = self.ref()
            assert ref is not None
            assert self._link is not None
            self._value = ArtifactStore.of(self._link).fetch(ref)
        return cast("R", self._value)

    def __reduce__(self) -> Any:
        """Travel as the result."""
        return _same, (self.result(),)


class Results(Sequence[R]):
    """The results of a fan-out in the order of its items; each is read when it is asked for."""

    def __init__(self, store: ArtifactStore, refs: list[Ref]) -> None:
        self._store = store
        self._refs = refs

    @overload
    def __getitem__(self, place: int) -> R: ...
    @overload
    def __getitem__(self, place: slice) -> "list[R]": ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self._store.fetch(ref) for ref in self._refs[place]]
        return self._store.fetch(self._refs[place])

    def __len__(self) -> int:
        return len(self._refs)

    def __iter__(self) -> Iterator[R]:
        return (self._store.fetch(ref) for ref in self._refs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(cast("Sequence[Any]", other))

    def __hash__(self) -> int:
        return hash(tuple(ref.digest for ref in self._refs))

    def __repr__(self) -> str:
        return repr(list(self))

    def __reduce__(self) -> Any:
        """Travel as a list."""
        return list, (list(self),)


def _same(value: Any) -> Any:
    return value


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    args: list[Any]
    kwargs: dict[str, Any]
    arguments: dict[str, str]
    classes: dict[str, str]


class _Sender:
    """Turns the arguments of one step into references and into inputs of its key."""

    def __init__(self, link: Channel, step: "Step[Any, Any]") -> None:
        self._store = ArtifactStore.of(link)
        self._step = step

    def send(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Sent:
        named = keys.names_of(self._step.function, len(args))
        arguments: dict[str, str] = {}
        classes: list[Any] = []
        lent = [
            self._lend(name, value, arguments, classes)
            for name, value in zip(named, args, strict=True)
        ]
        same = {name: self._lend(name, value, arguments, classes) for name, value in kwargs.items()}
        digests = keys.class_digests(classes)
        return _Sent(args=lent, kwargs=same, arguments=arguments, classes=digests)

    def _lend(
        self, name: str, value: Any, arguments: dict[str, str], classes: list[Any]
    ) -> dict[str, Any]:
        known = value.ref() if isinstance(value, Started) else None
        words = f"argument {name} of {self._step.name}"
        ref = known or self._store.lend(value, words, classes)
        arguments[name] = keys.told(value, ref)
        return plain(ref)


def plain(ref: Ref) -> dict[str, Any]:
    """Return a reference as plain values that the wire holds."""
    return msgspec.to_builtins(ref, builtin_types=(bytes,))


def start(
    link: Channel, step: "Step[Any, Any]", args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Started[Any]:
    """Ask for one execution of a step."""
    _require_top_level(step)
    sent = _Sender(link, step).send(args, kwargs)
    inputs = _inputs(step, sent)
    number = link.ask("step", **_named(step), args=sent.args, kwargs=sent.kwargs, inputs=inputs)
    return Started(link, number)


def fan_out(
    link: Channel,
    step: "Step[Any, Any]",
    rows: Sequence[Sequence[Any]],
    same: Mapping[str, Any],
) -> Results[Any]:
    """Ask for one execution for each row of arguments, and wait for all."""
    _require_top_level(step)
    sender = _Sender(link, step)
    shared = sender.send((), same)
    sent = [sender.send(row, {}) for row in rows]
    each = [{"args": row.args, "arguments": row.arguments, "classes": row.classes} for row in sent]
    inputs = _inputs(step, shared)
    asked = link.request("map", **_named(step), rows=each, kwargs=shared.kwargs, inputs=inputs)
    refs = msgspec.convert(_right(asked)["results"], list[Ref])
    return Results(ArtifactStore.of(link), refs)


def call_inline(
    link: Channel, step: "Step[Any, Any]", args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Execute a step in this process, unless its result is known."""
    inputs = _inline_inputs(link, step, args, kwargs)
    answer = link.request("inline", **_named(step), inputs=inputs, code=_changed_code(step))
    return _answered_inline(link, step, args, kwargs, answer)


def map_inline(
    link: Channel,
    step: "Step[Any, Any]",
    rows: Sequence[Sequence[Any]],
    same: Mapping[str, Any],
) -> list[Any]:
    """Execute a step once for each row of arguments in this process, unless results are known."""
    inputs = [_inline_inputs(link, step, row, same) for row in rows]
    code = _changed_code(step)
    answers = link.request("inline_map", **_named(step), rows=inputs, code=code)
    return [
        _answered_inline(link, step, row, same, answer, in_row=True)
        for row, answer in zip(rows, answers, strict=True)
    ]


def _answered_inline(
    link: Channel,
    step: "Step[Any, Any]",
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    answer: dict[str, Any],
    *,
    in_row: bool = False,
) -> Any:
    """Return the result that is known, or execute the step and say how it ended."""
    store = ArtifactStore.of(link)
    if answer["result"] is not None:
        return store.fetch(msgspec.convert(answer["result"], Ref))
    sow(answer["seed"])
    watch = watch_of(link, step)
    done: dict[str, Any] = {"position": answer["position"], "result": None, "failure": None}
    try:
        with watching(watch):
            result = step.function(*args, **kwargs)
        done["result"] = _kept(store, step, result, in_row=in_row)
    except BaseException as error:
        done["failure"] = msgspec.to_builtins(describe(error, task=step.name))
        raise
    finally:
        link.send("inline_done", **done, undeclared=watch.found)
    return result


def code_of(step: "Step[Any, Any]") -> dict[str, Any]:
    """Return what a step stands on as plain values, and keep with the step what a watch needs."""
    found = closure_of(step)
    step.code = step.code or found.digest
    step.code_files = found.files
    return {
        "digest": found.digest,
        "parts": found.parts,
        "libraries": found.libraries,
        "problem": found.problem,
    }


def _changed_code(step: "Step[Any, Any]") -> dict[str, Any] | None:
    """Return what a step stands on if that is not what it was: globals may have been set since."""
    now = code_of(step)
    return None if now["digest"] == step.code else now


def watch_of(link: Channel, step: "Step[Any, Any]") -> Watch:
    """Return what watches over an execution of a step."""
    ours = (link.facts["blobs"], link.facts["scratch"])
    files = [*keys.file_digests(step.options.files), *step.code_files]
    return Watch(ours, files, step.options.env)


def _inline_inputs(
    link: Channel, step: "Step[Any, Any]", args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the inputs of a call whose arguments need not travel; None if they cannot be named."""
    try:
        return _inputs(step, _Sender(link, step).send(args, kwargs))
    except ThriveError:
        return None


def _kept(
    store: ArtifactStore, step: "Step[Any, Any]", result: Any, *, in_row: bool
) -> dict[str, Any] | None:
    try:
        return plain(keep_result(store, step.name, step.outputs, result, in_row=in_row))
    except UsageError:  # what stays in its process need not travel
        return None


def _named(step: "Step[Any, Any]") -> dict[str, Any]:
    options = msgspec.to_builtins(step.options)
    return {"key": step.key, "name": step.name, "options": options}


def _inputs(step: "Step[Any, Any]", sent: _Sent) -> dict[str, Any]:
    options = step.options
    inputs = keys.Inputs(
        arguments=sent.arguments,
        classes=sent.classes,
        files=keys.file_digests(options.files),
        variables=keys.variable_digests(options.env),
        salt=options.salt,
    )
    return msgspec.to_builtins(inputs)


def _right(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that is no failure; raise the failure here otherwise."""
    if answer["failure"] is not None:
        raise_again(msgspec.convert(answer["failure"], Failure), answer["exception"])
    return answer


def _require_top_level(step: "Step[Any, Any]") -> None:
    from thrive.training.declare import declared_steps

    if declared_steps().get(step.key) is not step or "<locals>" in step.key:
        raise UsageError(
            f"Step {step.name!r} is not declared at the top level of a module.",
            "move it out of the function it stands in",
        )
