"""The two decorators: a view over versioned data, and a feature computed on demand."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from blake3 import blake3

from thrive.domain.clock import parse_duration
from thrive.domain.errors import ThriveError, UsageError
from thrive.domain.features import FeatureColumn, OnDemandDefinition, ViewDefinition
from thrive.domain.identifiers import checked_name
from thrive.features.code import code_of, place_of
from thrive.packaging.expressions import pack_expression

if TYPE_CHECKING:
    import polars as pl

DECIDING = ("entity", "event_time", "recorded_time", "sources", "ttl", "delay", "code")
"""The parts of a definition that decide its values; owner, why and freshness do not."""


class View:
    """A function over datasets, with what must be known to use it at the right time.

    Called like the function it was made of.

    Args:
        function: takes one lazy frame a source and returns one.
        definition: what was declared of it.
    """

    def __init__(self, function: Callable[..., Any], definition: ViewDefinition) -> None:
        self.function = function
        self.definition = definition
        functools.update_wrapper(self, function)

    @property
    def name(self) -> str:
        """The view's name."""
        return self.definition.name

    def __call__(self, *frames: "pl.LazyFrame") -> "pl.LazyFrame":
        """Return the view's rows for the rows of its sources.

        Raises:
            UsageError: the function fails, or returns no lazy frame.
        """
        import polars as pl

        rows = _called(self.function, f"View {self.name!r}", frames)
        if not isinstance(rows, pl.LazyFrame):
            eager = isinstance(rows, pl.DataFrame)
            cure = "leave out .collect(), or end with .lazy()" if eager else "return a pl.LazyFrame"
            raise UsageError(f"View {self.name!r} returned a {type(rows).__name__}.", cure)
        return rows

    def __repr__(self) -> str:
        return f"<feature view {self.name} {self.definition.digest[:12]}>"


class OnDemand:
    """A feature computed from columns of the same row.

    Called like the function it was made of.

    Args:
        function: takes a polars expression a parameter and returns one.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = _function_name(function, "feature")
        self.inputs = list(inspect.signature(function).parameters)
        functools.update_wrapper(self, function)

    def __call__(self, *inputs: "pl.Expr") -> "pl.Expr":
        """Return the expression for given inputs."""
        return self.function(*inputs)

    def expression(self) -> "pl.Expr":
        """Return the expression over the columns that its parameters name.

        Raises:
            UsageError: the function fails, or returns no expression.
        """
        import polars as pl

        columns = [pl.col(name) for name in self.inputs]
        made = _called(self.function, f"On-demand feature {self.name!r}", columns)
        if not isinstance(made, pl.Expr):
            raise UsageError(
                f"On-demand feature {self.name!r} returned a {type(made).__name__}.",
                "return an expression of its parameters",
            )
        return made.alias(self.name)

    def packed(self) -> str:
        """Return the expression as JSON, as serving reads it.

        Raises:
            UsageError: the function fails, or the expression is none that serving evaluates.
        """
        return pack_expression(self.expression(), self.name)

    def definition(self, types: Mapping[str, Any]) -> OnDemandDefinition:
        """Return what serving needs of it, without its code.

        Args:
            types: the polars type of each of its inputs.

        Raises:
            UsageError: the expression is none that serving evaluates, e.g. it calls Python.
        """
        import polars as pl

        text = self.packed()
        inputs = [FeatureColumn(name=name, dtype=str(types[name])) for name in self.inputs]
        return OnDemandDefinition(
            name=self.name, inputs=inputs, expression=text, polars=pl.__version__
        )


def feature_view(
    *,
    entity: str | list[str],
    source: str | list[str],
    event_time: str = "",
    recorded_time: str = "",
    ttl: str = "",
    delay: str = "",
    freshness: str = "",
    owner: str = "",
    why: str = "",
) -> Callable[[Callable[..., Any]], View]:
    """Declare a function as a feature view.

    The function takes a `pl.LazyFrame` a source and returns one with the entity columns, the time
    columns and one column a feature. It must not read the clock: what is known when is decided
    by the times.

    Args:
        entity: the column, or columns, that name what the values are about.
        source: the dataset it reads, or several in the order of its parameters.
        event_time: the column of the time from which a row holds; without one the values are
            taken as having always held (a register, a list of airports).
        recorded_time: the column of the time at which a row was recorded: a late or corrected row
            counts from then on.
        ttl: how long after its event time a value may be used, e.g. "6h"; for ever if not said.
        delay: how long after its event time a value can be known, e.g. "1h".
        freshness: how old the newest value may become before its owner is told.
        owner: the team that answers for it.
        why: what it tells a model.

    Raises:
        UsageError: a duration cannot be read, or a time is asked for without `event_time`.

    Examples:
        >>> @feature_view(entity="origin", event_time="at", source="weather", ttl="6h")
        ... def weather(rows):
        ...     return rows.select("origin", "at", "temp")
    """
    entities = [entity] if isinstance(entity, str) else list(entity)
    sources = [source] if isinstance(source, str) else list(source)
    if not entities or not sources:
        raise UsageError("A feature view needs an entity and a source.", 'entity="id"')
    if not event_time and (ttl or delay or freshness or recorded_time):
        raise UsageError(
            "ttl, delay, freshness and recorded_time need an event time.", 'event_time="at"'
        )
    lasting, later, promised = (_microseconds(text) for text in (ttl, delay, freshness))

    def declare(function: Callable[..., Any]) -> View:
        plain = ViewDefinition(
            name=_function_name(function, "feature view"),
            entity=entities,
            event_time=event_time,
            recorded_time=recorded_time,
            sources=sources,
            ttl=lasting,
            delay=later,
            freshness=promised,
            owner=owner,
            why=why or (inspect.getdoc(function) or "").split("\n", 1)[0],
            code=code_of(function),
            digest="",
        )
        return View(function, msgspec.structs.replace(plain, digest=_digest(plain)))

    return declare


def on_demand(function: Callable[..., Any], /) -> OnDemand:
    """Declare a function as a feature computed from the request and from values of views.

    Each parameter names a column of the row; the function builds one polars expression, the same
    for a million training rows and for one request.

    Examples:
        >>> @on_demand
        ... def hour_of_day(sched_dep_time):
        ...     return sched_dep_time // 100
    """
    return OnDemand(function)


def _called(function: Callable[..., Any], what: str, inputs: Iterable[Any]) -> Any:
    """Return what a user's function returns; what it raises is told with its place."""
    try:
        return function(*inputs)
    except ThriveError:
        raise
    except Exception as error:
        place = place_of(error, function)
        raise UsageError(
            f"{what} failed at {place}: {type(error).__name__}: {error}", f"mend {place}"
        ) from error


def _function_name(function: Callable[..., Any], noun: str) -> str:
    return checked_name(function.__name__, noun)


def _microseconds(text: str) -> int:
    return parse_duration(text) if text else 0


def _digest(definition: ViewDefinition) -> str:
    values = msgspec.to_builtins(definition)
    deciding = {name: values[name] for name in DECIDING}
    return blake3(msgspec.json.encode(deciding, order="sorted")).hexdigest()
