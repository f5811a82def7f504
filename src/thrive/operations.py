"""The registry of operations: each is written once, and every door offers it.

`@operation` on a plain typed function gives the SDK method, the REST route, the command, the
permission check and the audit row. The function takes a `Context` first; its positional
parameters are the command's arguments, its keyword-only parameters the command's options; its
docstring is their help. It returns a domain value and never prints.

The database is imported by those who open one: start-up is a feature.

Kinds: `call` returns at once; `job` is long work that a worker executes; `stream` yields events;
`client` reads local files and has no route.
"""

import inspect
import typing
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from copy import copy
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from thrive.domain.actor import Actor, Role
from thrive.domain.errors import NotFound, Refused, UsageError

if TYPE_CHECKING:
    from thrive.store.database import Tx
    from thrive.store.home import Home

F = TypeVar("F", bound=Callable[..., Any])
Progress = Callable[[float, str], None]
"""Called with the share done (0..1) and a few words on what is being done."""
Show = Callable[[str], None]
"""Called with what the work prints, as it prints it."""
PageSize = Annotated[int, msgspec.Meta(ge=1, le=1000)]
"""How many items a list returns at most: the size of a page."""
PrivateText = Annotated[str, msgspec.Meta(extra_json_schema={"format": "password"})]
"""A text that nobody should see: a command line asks for it, `-` reads it from standard input."""
PathText = Annotated[str, msgspec.Meta(extra_json_schema={"format": "path"})]
"""A text that may name a local file, as `train.py:main` and `data/*.csv` do."""


class Kind(StrEnum):
    """How an operation answers."""

    CALL = "call"
    JOB = "job"
    STREAM = "stream"
    CLIENT = "client"


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of an operation, as its signature has it."""

    name: str
    annotation: Any
    default: Any
    required: bool
    positional: bool


class Operation:
    """One entry of the registry; not a function to call, but all that the doors know of one."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        kind: Kind,
        role: frozenset[Role],
        writes: bool,
        next_hint: str,
        columns: tuple[str, ...] = (),
        alias: str = "",
        live: bool = False,
    ) -> None:
        self.name = name
        self.function = function
        self.kind = kind
        self.role = role
        self.writes = writes
        self.next_hint = next_hint
        self.columns = columns
        self.alias = alias
        self.live = live
        self.summary = (inspect.getdoc(function) or "").split("\n", 1)[0]

    @cached_property
    def parameters(self) -> list[Parameter]:
        """The parameters after the context, with resolved annotations."""
        hints = typing.get_type_hints(self.function, include_extras=True)
        members = list(inspect.signature(self.function).parameters.values())[1:]
        return [
            Parameter(
                name=member.name,
                annotation=hints[member.name],
                default=None if member.default is member.empty else member.default,
                required=member.default is member.empty,
                positional=member.kind is not member.KEYWORD_ONLY,
            )
            for member in members
        ]

    @cached_property
    def returns(self) -> Any:
        """The resolved annotation of what the operation returns."""
        return typing.get_type_hints(self.function, include_extras=True).get("return")

    @cached_property
    def arguments_type(self) -> type[msgspec.Struct]:
        """A struct of the parameters: it validates a call, and gives the JSON Schema."""
        fields: list[Any] = [
            (parameter.name, parameter.annotation)
            if parameter.required
            else (parameter.name, parameter.annotation, parameter.default)
            for parameter in self.parameters
        ]
        title = "".join(word.title() for word in self.name.replace("-", " ").split())
        return msgspec.defstruct(title, fields, kw_only=True, forbid_unknown_fields=True)


_registry: dict[str, Operation] = {}


def operation(
    name: str,
    *,
    role: frozenset[Role],
    kind: Kind = Kind.CALL,
    writes: bool = False,
    next_hint: str = "",
    columns: tuple[str, ...] = (),
    alias: str = "",
    live: bool = False,
) -> Callable[[F], F]:
    """Register a function as the operation `name`, e.g. `runs list`.

    Args:
        name: plural noun and verb, or one word for the first hour's shortcuts.
        role: who may call it; there is no default.
        kind: how it answers.
        writes: whether it changes state.
        next_hint: what a person types next; `{field}` is filled from the result.
        columns: the fields of a list that people see, in this order; all of them if left out.
            Pipes and programs always get all.
        alias: another name that the command line understands.
        live: whether each value of a stream takes the place of the one before, on a terminal.
    """

    def register(function: F) -> F:
        if not role:
            raise AssertionError(f"operation {name!r} has no role")
        if not function.__doc__:
            raise AssertionError(f"operation {name!r} has no docstring")
        known = _registry.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise AssertionError(f"operation {name!r} is declared twice")
        _registry[name] = Operation(
            name,
            function,
            kind=kind,
            role=role,
            writes=writes,
            next_hint=next_hint,
            columns=columns,
            alias=alias,
            live=live,
        )
        return function

    return register


def registered() -> Mapping[str, Operation]:
    """Return the operations of the modules imported so far, by name."""
    return _registry


def find_operation(name: str) -> Operation:
    """Return a registered operation.

    Raises:
        NotFound: no imported module declares it.
    """
    try:
        return _registry[name]
    except KeyError:
        raise NotFound(f"There is no operation {name!r}.", "thrive --help") from None


def _silent(_share: float, _words: str) -> None:
    return


def _unheard(_text: str) -> None:
    return


class Context:
    """What an operation works with: a home, who calls, and where to report progress.

    Args:
        home: the project's home.
        actor: who calls.
        folder: the project's folder, None on a server (then nothing may read local files).
        asked_in: the folder somebody stands in; the project's if not given.
        progress: told how far long work is.
        operation: the name that audit rows carry.
        show: given what the work of a job prints, for whoever watches from elsewhere.
    """

    def __init__(
        self,
        home: "Home",
        actor: Actor,
        *,
        folder: Path | None = None,
        asked_in: Path | None = None,
        progress: Progress = _silent,
        operation: str = "",
        show: Show = _unheard,
    ) -> None:
        self.home = home
        self.actor = actor
        self.folder = folder
        self.asked_in = asked_in or folder
        self.progress = progress
        self.operation = operation
        self.show = show

    @property
    def project_id(self) -> str:
        """The id of the project: the first argument of every repository after the transaction."""
        return self.home.project_id

    @property
    def alone(self) -> bool:
        """Whether this is one person's own folder, where nobody else could be asked.

        On a server others can be, and in a folder that joined a team's home as well.
        """
        return self.folder is not None and self.home.database.is_sqlite

    def now(self) -> int:
        """Return the project's present moment in UTC microseconds."""
        return self.home.now()

    def local_folder(self) -> Path:
        """Return the project's folder.

        Raises:
            Refused: this context has none (it belongs to a server).
        """
        if self.folder is None:
            raise Refused(
                f"`{self.operation}` reads local files and cannot run on a server.",
                "run it in the project's folder",
            )
        return self.folder

    def acting(self, actor: Actor, operation: str) -> "Context":
        """Return the same context for another actor or operation."""
        return self._but(actor=actor, operation=operation)

    def inside(self, folder: Path) -> "Context":
        """Return the same context in another folder."""
        return self._but(folder=folder)

    def _but(self, **changes: Any) -> "Context":
        other = copy(self)
        vars(other).update(changes)
        return other

    @contextmanager
    def read(self) -> "Generator[Tx]":
        """Open a reading transaction."""
        with self.home.read() as tx:
            yield tx

    @contextmanager
    def write(self, subject: str, **detail: Any) -> "Generator[Tx]":
        """Open a transaction for a state change: its audit row and its change row come with it.

        Args:
            subject: what changes, as `kind:id`, e.g. `alert:0192...`.
            detail: what an auditor should see of it; JSON values, never secrets.
        """
        from thrive.store import audit

        with self.home.change() as tx:
            yield tx
            audit.append(
                tx,
                self.project_id,
                actor=self.actor.name,
                operation=self.operation,
                subject=subject,
                detail=detail,
            )
            _announce(tx, self.project_id, subject)

    @contextmanager
    def observe(self, *subjects: str, durable: bool = True) -> "Generator[Tx]":
        """Open a transaction for an observation (metrics, outcomes): a change row, no audit row.

        Args:
            subjects: what was observed, as `kind:id`.
            durable: False where a second may be lost to a power cut, as of metrics.
        """
        with self.home.write(durable=durable) as tx:
            yield tx
            for subject in subjects:
                _announce(tx, self.project_id, subject)


def _announce(tx: "Tx", project_id: str, subject: str) -> None:
    from thrive.store import changes

    kind, _, subject_id = subject.partition(":")
    changes.append(tx, project_id, kind, subject_id)


def is_private(parameter: Parameter) -> bool:
    """Tell whether a parameter is a text that nobody should see."""
    return parameter.annotation == PrivateText


def is_path(parameter: Parameter) -> bool:
    """Tell whether a parameter is a path and nothing else."""
    return parameter.annotation is Path or Path in typing.get_args(parameter.annotation)


def permit(operation: Operation, actor: Actor) -> None:
    """Let an actor through, or not.

    Raises:
        Refused: none of the actor's roles may call the operation.
    """
    permit_roles(operation.name, operation.role, actor)


def permit_roles(name: str, role: frozenset[Role], actor: Actor) -> None:
    """Let an actor do what the operation `name` does, or not; raises as `permit`."""
    if not role & actor.roles:
        allowed = ", ".join(sorted(role))
        raise Refused(f"{actor.name} may not `{name}`.", f"ask one of: {allowed}")


def convert_arguments(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as the operation's types, or say which one is wrong.

    Raises:
        UsageError: an argument is unknown, missing or of another type.
    """
    try:
        struct = msgspec.convert(
            dict(arguments), operation.arguments_type, strict=False, dec_hook=_path
        )
    except msgspec.ValidationError as error:
        raise UsageError(
            f"`{operation.name}`: {error}.", f"thrive {operation.name} --help"
        ) from None
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def _path(wanted: type, value: object) -> object:
    """Return text as a path where one is wanted: JSON has no other word for it."""
    if isinstance(value, wanted):
        return value
    if wanted is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected `{wanted.__name__}`, got `{type(value).__name__}`")


def invoke(operation: Operation, context: Context, arguments: Mapping[str, Any]) -> Any:
    """Call an operation for an actor: permission first, then its function."""
    permit(operation, context.actor)
    scoped = context.acting(context.actor, operation.name)
    return operation.function(scoped, **arguments)
