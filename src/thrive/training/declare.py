"""`@step` and `@pipeline`: plain functions that know they are part of a run."""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from thrive.domain.errors import UsageError
from thrive.engines import channel
from thrive.engines.channel import Channel
from thrive.training import calls
from thrive.training.options import Isolation, StepOptions, read_options
from thrive.training.outputs import Outputs, outputs_of

P = ParamSpec("P")
R = TypeVar("R")


class Step(Generic[P, R]):
    """A function that a run executes as one step; called outside a run, it is just called.

    Args:
        function: the function; its arguments and result must pickle, or be Polars frames.
        options: where it runs, its limits, and what its result follows from.
    """

    def __init__(self, function: Callable[P, R], options: StepOptions) -> None:
        self.function = function
        self.options = options
        self.name = function.__name__
        self.key = f"{function.__module__}:{function.__qualname__}"
        self.code = ""
        """The digest of what it stands on, as it was when the run began."""
        self.code_files: frozenset[str] = frozenset()
        """The files of the project that it stands on."""
        functools.update_wrapper(self, function)

    @functools.cached_property
    def outputs(self) -> Outputs | None:
        """What its annotation says of its results; read when the module is whole."""
        return outputs_of(self.function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the step: in a run as a step of it and from its pipeline function, else plainly."""
        link = _run()
        if link is None:
            return self.function(*args, **kwargs)
        if self.options.isolation is Isolation.INLINE:
            return calls.call_inline(link, self, args, kwargs)
        return calls.start(link, self, args, kwargs).result()

    def start(self, *args: P.args, **kwargs: P.kwargs) -> "calls.Started[R]":
        """Begin the step and go on; `.result()` waits for it, and other steps take it as it is.

        Outside a run, and where it runs inline, it is executed at once.
        """
        link = _run()
        if link is None or self.options.isolation is Isolation.INLINE:
            return calls.Started(value=self(*args, **kwargs))
        return calls.start(link, self, args, kwargs)

    def map(self, *items: Iterable[Any], **same: Any) -> "Sequence[R]":
        """Run the step once for each item, side by side, and return the results in order.

        Args:
            items: one iterable for each positional argument that differs.
            same: arguments that all executions share.
        """
        rows = list(zip(*items, strict=True))
        link = _run()
        if link is None:
            return [cast("Any", self.function)(*row, **same) for row in rows]
        if self.options.isolation is Isolation.INLINE:
            return calls.map_inline(link, self, rows, same)
        return calls.fan_out(link, self, rows, same)

    def __reduce__(self) -> str:
        """Pickle by name, as functions do."""
        return self.function.__qualname__


def _run() -> Channel | None:
    """Return the channel inside the pipeline function of a run, else None."""
    link = channel.current()
    return link if link is not None and link.facts.get("role") == "pipeline" else None


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


def declared_steps() -> dict[str, Step[Any, Any]]:
    """Return the steps declared in this process so far, by `module:qualified.name`."""
    return dict(_steps)


def set_options(given: dict[str, dict[str, Any]]) -> None:
    """Change options of declared steps, by the name of the step.

    Raises:
        UsageError: there is no such step, or it has no such option.
    """
    for name, options in given.items():
        named = [each for each in _steps.values() if name in {each.name, each.key}]
        if not named:
            known = sorted({each.name for each in _steps.values()})
            raise UsageError(f"There is no step {name!r}.", f"it has {', '.join(known)}")
        for each in named:
            each.options = read_options(options, each.options)


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *,
    isolation: str = "fork",
    timeout: str = "",
    memory: str = "",
    cpu: float = 1,
    gpu: float = 0,
    retries: int = 0,
    retry_on: type[BaseException] | Sequence[type[BaseException] | str] = (),
    cache: bool = True,
    files: str | Sequence[str] = (),
    env: str | Sequence[str] = (),
    salt: str = "",
) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(function: Callable[..., Any] | None = None, /, **given: Any) -> Any:
    """Declare a function as a step of pipelines.

    Args:
        function: the function, when used as `@step` alone.
        given: the options:
            isolation: "fork" (a process of its own), "spawn" (a fresh interpreter), "inline" (the
            pipeline's process, without limits) or "ray" (only on a cluster: `--engine ray`);
            timeout: e.g. "10m"; the step is killed after it;
            memory: e.g. "2G"; more than this is refused to it;
            cpu: how many processors it counts for when steps run side by side;
            gpu: how many graphics processors it needs, on a cluster;
            retries: how often it is tried again;
            retry_on: the errors that are tried again; all but plain mistakes if not given;
            cache: whether later runs use its result again while nothing it follows from changed;
            files, env: files and variables that its result follows from;
            salt: anything else its result follows from.

    Raises:
        UsageError: an option is unknown or has a wrong value.
    """
    options = read_options(given)

    def declare(plain: Callable[..., Any]) -> Step[..., Any]:
        declared = Step(plain, options)
        _steps[declared.key] = declared
        return declared

    return declare if function is None else declare(function)


def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]:
    """Declare a function as a pipeline: the command `thrive run FILE` executes it."""
    return Pipeline(function)
