"""Parameters of a pipeline: from its signature to options, from text to typed values."""

import difflib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from thrive.domain.errors import UsageError

_MISSING = inspect.Parameter.empty
_WORDS: dict[Any, str] = {int: "an integer", float: "a number", bool: "true or false"}
EMPTY: Mapping[str, Any] = MappingProxyType({})


def parse_parameters(
    function: Callable[..., Any], arguments: Sequence[str], values: Mapping[str, Any] = EMPTY
) -> dict[str, Any]:
    """Return the value of every parameter of `function`: as typed, else of `values`, else default.

    Args:
        function: a pipeline function; annotations say the types (`list[str]` takes commas).
        arguments: `--name value`, `--name=value`, `name=value`, `--flag`, `--no-flag`; a dash
            may stand for an underscore.
        values: parameters as plain values, by name.

    Raises:
        UsageError: an option is unknown, wrong, given twice or missing.
    """
    signature = inspect.signature(function)
    parameters = {
        name: one
        for name, one in signature.parameters.items()
        if one.kind not in {one.VAR_KEYWORD, one.VAR_POSITIONAL}
    }
    types = _annotations(function, parameters)
    given = _given(arguments, parameters, types)
    for name in values:
        if name not in parameters:
            raise _unknown(option(name), parameters)
    found: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name in given:
            found[name] = _converted(name, given[name], types[name])
        elif name in values:
            found[name] = _typed(name, values[name], types[name])
        elif parameter.default is _MISSING:
            raise UsageError(
                f"The pipeline needs a value for {name!r}.", f"add {option(name)} VALUE"
            )
        else:
            found[name] = parameter.default
    return found


def option(name: str) -> str:
    """Return a parameter's name as people type it: `--learning-rate`."""
    return f"--{name.replace('_', '-')}"


def _annotations(
    function: Callable[..., Any], parameters: dict[str, inspect.Parameter]
) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):  # an annotation that exists for type checkers alone
        hints = {}
    return {name: hints.get(name, _guessed(one)) for name, one in parameters.items()}


def _guessed(parameter: inspect.Parameter) -> Any:
    if parameter.default is _MISSING or parameter.default is None:
        return str
    return type(parameter.default)


def _given(
    arguments: Sequence[str], parameters: dict[str, inspect.Parameter], types: dict[str, Any]
) -> dict[str, str]:
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        name, value = _taken(rest, parameters, types)
        if name in given:
            raise UsageError(f"{option(name)} is given twice.", "give it once")
        given[name] = value
    return given


def _taken(
    rest: list[str], parameters: dict[str, inspect.Parameter], types: dict[str, Any]
) -> tuple[str, str]:
    """Take one option from the front of `rest`."""
    word = rest.pop(0)
    text, equals, value = word.partition("=")
    name = text.removeprefix("--").replace("-", "_")
    if not name or not (equals or text.startswith("--")):
        raise UsageError(f"{word!r} is no option.", "write --name value")
    plain = name.removeprefix("no_")
    if name not in parameters and types.get(plain) is bool and value in {"", "true"}:
        return plain, "false"
    if name not in parameters:
        raise _unknown(option(name), parameters)
    if equals:
        return name, value
    if types[name] is bool and (not rest or rest[0].startswith("--")):
        return name, "true"
    if not rest or rest[0].startswith("--"):
        raise UsageError(f"{text} has no value.", f"write {text} VALUE")
    return name, rest.pop(0)


def _unknown(text: str, parameters: dict[str, inspect.Parameter]) -> UsageError:
    close = difflib.get_close_matches(text[2:].replace("-", "_"), list(parameters), n=1)
    options = [option(name) for name in parameters]
    hint = f"did you mean {option(close[0])}?" if close else _offer(options)
    return UsageError(f"The pipeline has no parameter {text}.", hint)


def _offer(options: list[str]) -> str:
    return f"it has {', '.join(options)}" if options else "it takes none"


def _converted(name: str, text: str, kind: Any) -> Any:
    listed = typing.get_origin(kind) in {list, tuple, set}
    value: Any = [part.strip() for part in text.split(",")] if listed else text
    return _typed(name, value, kind, text)


def _typed(name: str, value: Any, kind: Any, text: str = "") -> Any:
    if value is None and not text:
        return None  # as a default may be, whatever its annotation says
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=_hooked)
    except (msgspec.ValidationError, TypeError):
        words = str(kind) if typing.get_origin(kind) else getattr(kind, "__name__", str(kind))
        raise UsageError(
            f"{option(name)} {text or value!r} is not of type {words}.",
            f"give {option(name)} {_WORDS.get(kind, f'a value of type {words}')}",
        ) from None


def _hooked(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return kind(value)
    raise TypeError(f"{kind} cannot be given on a command line")
