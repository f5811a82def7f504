"""`Out[TYPE]`: what a step says of its results, and how each is kept because of it.

The type chooses the storage: a Polars frame is an Arrow file, text is text, a `Path` is the file
that it names, all else is a pickle beside its buffers. Each result of a tuple is an artifact of
its own, so that a step which takes one of them follows from that one alone; the fields of a named
tuple name them. `Out[Annotated[TYPE, "data:NAME"]]` makes the frame a version of that dataset
too, kept as a Parquet file.
"""

import inspect
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from thrive.domain.errors import NotRight, UsageError
from thrive.domain.identifiers import checked_name
from thrive.training.artifacts import ArtifactStore, Ref, joined

DATASET = "data:"
"""Before the name of a result that is a version of a dataset too."""

T = TypeVar("T")

if TYPE_CHECKING:
    Out = Annotated[T, "a result"]
else:

    class Out:
        """The annotation of a step's result: `Out[TYPE]`; for type checkers it is `TYPE`.

        `Out[Annotated[TYPE, NAME]]` names it.
        """

        def __class_getitem__(cls, kind: Any) -> Any:
            """Return the type with what is said of it."""
            name = next((each for each in _notes(kind) if isinstance(each, str)), "")
            plain = kind.__origin__ if _notes(kind) else kind
            return Annotated[plain, Output(name=name, kind=plain)]


def _notes(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__metadata__", ())


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One declared result.

    Attributes:
        name: of the artifact; that of the step if empty. `data:NAME` for a dataset.
        kind: the type it has.
    """

    name: str
    kind: Any

    @property
    def dataset(self) -> str:
        """The dataset that it becomes a version of, empty for none."""
        return self.name.removeprefix(DATASET) if self.name.startswith(DATASET) else ""


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a step returns.

    Attributes:
        each: its results.
        several: whether it is a tuple, also of one.
        shape: `module:name` of the named tuple that it is, empty for a plain one.
    """

    each: tuple[Output, ...]
    several: bool
    shape: str = ""


def outputs_of(function: Callable[..., Any]) -> Outputs | None:
    """Return the declared results of a function, None where it declares none with `Out`.

    Raises:
        UsageError: a name is no name, or only some results of a tuple are declared.
    """
    said = getattr(function, "__annotations__", {}).get("return")
    if isinstance(said, str):
        said = _read(function).get("return")
    fields, shape = _fields(said)
    found = [_output(each, name) for name, each in fields]
    declared = [each for each in found if each is not None]
    if not declared:
        return None
    name = function.__name__
    if len(declared) != len(found):
        raise UsageError(f"{name} declares only some of its results.", "write each as Out[TYPE]")
    _check(name, declared)
    return Outputs(each=tuple(declared), several=_is_tuple(said), shape=shape)


def _fields(said: Any) -> tuple[list[tuple[str, Any]], str]:
    """Return the results in an annotation with the names of their fields, and its shape."""
    if typing.get_origin(said) is tuple:
        return [("", each) for each in typing.get_args(said)], ""
    if _is_named(said):
        hints = _read(said)
        shape = f"{said.__module__}:{said.__qualname__}"
        return [(name, hints.get(name)) for name in said._fields], shape
    return [("", said)], ""


def _is_tuple(said: Any) -> bool:
    return typing.get_origin(said) is tuple or _is_named(said)


def _is_named(said: Any) -> bool:
    return inspect.isclass(said) and issubclass(said, tuple) and hasattr(said, "_fields")


def _read(annotated: Any) -> dict[str, Any]:
    """Return the annotations of a function or class; those that nothing can be said of are left.

    Raises:
        UsageError: one speaks of `Out`, and another name in it is not there.
    """
    try:
        return typing.get_type_hints(annotated, include_extras=True)
    except Exception as error:  # noqa: BLE001 - any name of the user's may not be there
        if not any("Out[" in str(each) for each in annotated.__annotations__.values()):
            return {}
        raise UsageError(
            f"The annotations of {annotated.__name__} cannot be read: {error}.",
            "import the types that Out[...] names where they can be found when it runs",
        ) from None


def _output(said: Any, field: str) -> Output | None:
    found = next((note for note in _notes(said) if isinstance(note, Output)), None)
    if found is None:
        return None
    return msgspec.structs.replace(found, name=found.name or field.replace("_", "-"))


def _check(step: str, declared: list[Output]) -> None:
    for each in declared:
        if each.name:
            checked_name(each.dataset or each.name.lower(), "dataset" if each.dataset else "result")
        if each.dataset and not _is_polars(each.kind):
            raise UsageError(
                f"Only a Polars frame can be a version of {each.dataset!r} ({step}).",
                f'write Out[Annotated[polars.DataFrame, "{each.name}"]]',
            )


def keep_result(
    store: ArtifactStore, name: str, outputs: Outputs | None, value: Any, *, in_row: bool = False
) -> Ref:
    """Keep what a step returned as it declared it, and return where it is.

    Args:
        store: keeps it.
        name: of the step, for messages.
        outputs: what the step declares, None for nothing.
        value: what it returned.
        in_row: a small result that nothing is declared of needs no file.

    Raises:
        NotRight: it is not what was declared.
        UsageError: it cannot be pickled.
    """
    words = f"the result of {name}"
    if outputs is None:
        return store.keep(value, words, in_row=in_row)
    if not outputs.several:
        return _kept(store, name, outputs.each[0], value)
    count = len(outputs.each)
    if not isinstance(value, tuple) or len(value) != count:
        held = f"{len(value)} values" if isinstance(value, tuple) else _called(value)
        raise NotRight(f"{name} declares {count} results and returned {held}.", "")
    parts = [_kept(store, name, each, part) for each, part in zip(outputs.each, value, strict=True)]
    return joined(parts, outputs.shape)


def _kept(store: ArtifactStore, step: str, output: Output, value: Any) -> Ref:
    kind = typing.get_origin(output.kind) or output.kind
    which = f"{output.name} of {step}" if output.name else f"the result of {step}"
    if not _is_a(value, kind):
        raise NotRight(
            f"{which} is declared as {_shown(output.kind)}, and is {_called(value)}.",
            "correct the step, or what Out[...] says",
        )
    if output.dataset:
        ref = store.keep_table(value)
    elif inspect.isclass(kind) and issubclass(kind, Path):
        ref = store.keep_file(value, which)
    elif kind is str:
        ref = store.keep_text(value)
    else:
        ref = store.keep(value, which)
    return msgspec.structs.replace(ref, name=output.name)


def _is_a(value: Any, kind: Any) -> bool:
    """Tell whether a value is of a type, as far as a look at it tells."""
    if kind is typing.Union or isinstance(kind, types.UnionType) or not inspect.isclass(kind):
        return True
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol that cannot be asked
        return True


def _is_polars(kind: Any) -> bool:
    named = getattr(kind, "__name__", "") == "DataFrame"
    return named and getattr(kind, "__module__", "").startswith("polars.")


def _shown(kind: Any) -> str:
    return kind.__name__ if inspect.isclass(kind) else str(kind)


def _called(value: Any) -> str:
    return f"a {type(value).__name__}"
