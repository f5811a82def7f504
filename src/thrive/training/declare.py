"""`@step` and `@pipeline`: plain functions that know they are part of a run."""

import functools
import pickle
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Generic, ParamSpec, TypeVar, overload

import msgspec

from thrive.domain.clock import SECOND, parse_duration
from thrive.domain.errors import UsageError
from thrive.engines import channel
from thrive.engines.channel import Channel
from thrive.engines.failures import Failure, restore
from thrive.training import artifacts

P = ParamSpec("P")
R = TypeVar("R")


class Isolation(StrEnum):
    """Where a step runs: in a fork of its own, or in the process of the pipeline function."""

    FORK = "fork"
    INLINE = "inline"


class Step(Generic[P, R]):
    """A function that a run executes as one step; called outside a run, it is just called.

    Args:
        function: the function; its arguments and result must pickle, or be Polars frames.
        isolation: where it runs.
        timeout: seconds after which it is killed, None for no limit.
    """

    def __init__(
        self, function: Callable[P, R], *, isolation: Isolation, timeout: float | None
    ) -> None:
        self.function = function
        self.isolation = isolation
        self.timeout = timeout
        self.name = function.__name__
        self.key = f"{function.__module__}:{function.__qualname__}"
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step: in a run as a step of it and from its pipeline function, else plainly."""
        link = channel.current()
        if link is None or link.facts.get("role") != "pipeline":
            return self.function(*args, **kwargs)
        if self.isolation is Isolation.INLINE:
            return self._inline(link, *args, **kwargs)
        return self._forked(link, args, kwargs)

    def __reduce__(self) -> str:
        """Pickle by name, as functions do."""
        return self.function.__qualname__

    def _inline(self, link: Channel, /, *args: P.args, **kwargs: P.kwargs) -> R:
        position = link.request("inline", name=self.name)
        result = self.function(*args, **kwargs)
        link.send("inline_done", position=position)
        return result

    def _forked(self, link: Channel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        if _steps.get(self.key) is not self or "<locals>" in self.key:
            raise UsageError(
                f"Step {self.name!r} is not declared at the top level of a module.",
                "move it out of the function it stands in",
            )
        store = artifacts.ArtifactStore.of(link)
        sent = [store.lend(value, f"argument {n} of {self.name}") for n, value in enumerate(args)]
        named = {key: store.lend(value, f"{self.name}({key}=)") for key, value in kwargs.items()}
        answer = link.request(
            "step",
            key=self.key,
            name=self.name,
            args=msgspec.to_builtins(sent, builtin_types=(bytes,)),
            kwargs=msgspec.to_builtins(named, builtin_types=(bytes,)),
            timeout=self.timeout,
        )
        if answer["failure"] is not None:
            raise_again(msgspec.convert(answer["failure"], Failure), answer["exception"])
        return store.fetch(msgspec.convert(answer["result"], artifacts.Ref))


class Pipeline(Generic[P, R]):
    """A function that calls steps; `thrive run FILE` executes it.

    Args:
        function: the function; its parameters become options of the command.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        self.name = function.__name__
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)


_steps: dict[str, Step[Any, Any]] = {}


def find_step(key: str) -> Step[Any, Any]:
    """Return the step declared as `module:qualified.name` in this process.

    Raises:
        UsageError: its module was not imported when the run began.
    """
    try:
        return _steps[key]
    except KeyError:
        raise UsageError(
            f"Step {key!r} was not known when the run began.",
            "import its module at the top of the pipeline's file",
        ) from None


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *, isolation: str = "fork", timeout: str = ""
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(
    function: Callable[..., Any] | None = None, /, *, isolation: str = "fork", timeout: str = ""
) -> Any:
    """Declare a function as a step of pipelines.

    Args:
        function: the function, when used as `@step` alone.
        isolation: "fork" (a process of its own) or "inline" (the pipeline's process).
        timeout: e.g. "10m"; the step is killed after it. Steps that run inline have none.

    Raises:
        UsageError: the isolation or the time-out is not known.
    """
    if isolation not in set(Isolation):
        raise UsageError(f"{isolation!r} is no isolation.", 'write "fork" or "inline"')
    seconds = parse_duration(timeout) / SECOND if timeout else None

    def declare(plain: Callable[..., Any]) -> Step[..., Any]:
        declared = Step(plain, isolation=Isolation(isolation), timeout=seconds)
        _steps[declared.key] = declared
        return declared

    return declare if function is None else declare(function)


def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]:
    """Declare a function as a pipeline: the command `thrive run FILE` executes it."""
    return Pipeline(function)


class StepError(Exception):
    """The traceback of a step's process; stands as the cause of the error it raised."""


def raise_again(failure: Failure, pickled: bytes) -> None:
    """Raise in this process what a step raised in its own.

    The exception itself is raised if it could travel, else an error of our tree with its words.
    """
    error: BaseException = restore(failure)
    try:
        if pickled:
            error = pickle.loads(pickled)  # noqa: S301 - written by a step of this run
    except Exception:  # noqa: BLE001 - any class may refuse to be rebuilt
        error = restore(failure)
    error.__cause__ = StepError(failure.trace)
    error.__dict__["thrive_failure"] = failure
    raise error
