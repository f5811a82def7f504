"""The door of Python users: a project's operations as `workspace.noun.verb(...)`.

`Namespaces` builds the names from the catalogue around any `invoke(name, arguments)`, so that a
remote client offers the same names over HTTP.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from thrive.domain.actor import local_user
from thrive.domain.errors import NotFound, UsageError
from thrive.flows.catalogue import Catalogue
from thrive.operations import Context, Operation, Progress, convert_arguments, invoke
from thrive.store.place import find_project_folder
from thrive.store.quick_imports import quick_imports

if TYPE_CHECKING:
    from thrive.store.home import Home

Invoke = Callable[[str, dict[str, Any]], Any]


def attribute(word: str) -> str:
    """Return a word of an operation's name as a Python name: `find-subject` is `find_subject`."""
    return word.replace("-", "_")


class Namespaces:
    """Operations as attributes: `runs list` is `.runs.list(...)`, `status` is `.status()`.

    Args:
        operations: the operations to offer, by name; one is looked up when it is called.
        call: invokes one by its name with named arguments.
    """

    def __init__(self, operations: Mapping[str, Operation], call: Invoke) -> None:
        self._call = call
        self._members: dict[str, _Offered | _Noun] = {}
        for name in sorted(operations):
            first, _, rest = name.partition(" ")
            offered = _Offered(name, operations, call)
            if not rest:
                self._members[attribute(first)] = offered
                continue
            noun = self._members.setdefault(attribute(first), _Noun(first))
            assert isinstance(noun, _Noun), f"{first!r} is both a noun and a shortcut"
            noun[attribute(rest)] = offered

    def __getattr__(self, name: str) -> Any:
        members: dict[str, Any] = self.__dict__.get("_members", {})
        if name not in members:
            raise AttributeError(f"there is no {name!r}; there are {', '.join(sorted(members))}")
        return members[name]

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *self._members])


class _Noun:
    def __init__(self, name: str) -> None:
        self._name = name
        self._verbs: dict[str, _Offered] = {}

    def __setitem__(self, verb: str, offered: "_Offered") -> None:
        self._verbs[verb] = offered

    def __getattr__(self, verb: str) -> Any:
        verbs: dict[str, Any] = self.__dict__.get("_verbs", {})
        if verb not in verbs:
            raise AttributeError(f"{self._name} has no {verb!r}; it has {', '.join(verbs)}")
        return verbs[verb]

    def __dir__(self) -> list[str]:
        return sorted(self._verbs)

    def __repr__(self) -> str:
        return f"<{self._name}: {', '.join(self._verbs)}>"


class _Offered:
    def __init__(self, name: str, operations: Mapping[str, Operation], call: Invoke) -> None:
        self._name = name
        self._operations = operations
        self._call = call

    def __call__(self, *values: Any, **named: Any) -> Any:
        return self._call(self._name, bind(self._operations[self._name], values, named))

    @property
    def __doc__(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride] - for help()
        return self._operations[self._name].function.__doc__

    def __repr__(self) -> str:
        return f"<operation {self._name}>"


def bind(operation: Operation, values: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's arguments by name, as Python would bind them.

    Raises:
        UsageError: an argument is unknown, given twice or missing.
    """
    places = [parameter.name for parameter in operation.parameters if parameter.positional]
    call = f"{operation.name.replace(' ', '.')}()"
    if len(values) > len(places):
        raise UsageError(f"{call} takes {len(places)} unnamed arguments, not {len(values)}.")
    arguments = dict(zip(places, values, strict=False))
    known = {parameter.name for parameter in operation.parameters}
    for name, value in named.items():
        if name not in known or name in arguments:
            problem = "gets it twice" if name in arguments else f"has {', '.join(sorted(known))}"
            raise UsageError(f"{call} cannot take {name!r}: it {problem}.")
        arguments[name] = value
    for parameter in operation.parameters:
        if parameter.required and parameter.name not in arguments:
            raise UsageError(f"{call} needs {parameter.name!r}.")
    return arguments


class Workspace(Namespaces):
    """A local project: every operation of the command line as a method, with plain Python values.

    Use it as a context manager, or call `close`. Made by `thrive.open`.

    Args:
        context: the project's home, the actor and the folder.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._operations = Catalogue()
        super().__init__(self._operations, self._invoke)

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self._context.local_folder()

    def _invoke(self, name: str, arguments: dict[str, Any]) -> Any:
        found = self._operations[name]
        return invoke(found, self._context, convert_arguments(found, arguments))

    def close(self) -> None:
        """Close the home's connections."""
        self._context.home.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Workspace {self.folder}>"


def open(folder: str | Path = ".") -> Workspace:  # noqa: A001 - thrive.open is the public door
    """Open the project of a folder, or of the nearest folder above it with a `thrive.toml`.

    Raises:
        NotFound: there is no project.
        SchemaTooNew: a newer Thrive wrote its home.

    Examples:
        >>> with thrive.open() as workspace:  # doctest: +SKIP
        ...     workspace.data.list()
    """
    from thrive.store.home import open_home

    project = find_project_folder(Path(folder).resolve())
    return Workspace(Context(open_home(project), local_user(), folder=project))


class DeferredHome:
    """A home that is opened when it is first used, so that `init` and `doctor` start without one.

    Args:
        project_folder: the project's folder.
    """

    def __init__(self, project_folder: Path) -> None:
        self._project_folder = project_folder
        self._opened: Home | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._opened is None:
            with quick_imports():
                from thrive.store.home import open_home

            self._opened = open_home(self._project_folder)
        return getattr(self._opened, name)

    def close(self) -> None:
        """Close the database's connections, if any were opened."""
        if self._opened is not None:
            self._opened.close()


def local_context(start: Path, progress: Progress | None = None) -> Context:
    """Return the context of a command typed in `start`; its home is opened when first used.

    Args:
        start: a folder of the project; without a `thrive.toml` in it or above, `start` itself is
            the folder, and whatever needs a home says that there is none.
        progress: told how far long work is.
    """
    try:
        folder = find_project_folder(start)
    except NotFound:
        folder = start
    reporting: dict[str, Any] = {} if progress is None else {"progress": progress}
    home = cast("Home", DeferredHome(folder))
    return Context(home, local_user(), folder=folder, asked_in=start, **reporting)
