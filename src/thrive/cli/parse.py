"""Words of a command line to the arguments of one operation, read by cyclopts."""

import inspect
import typing
from collections import deque
from enum import Enum
from typing import Any, Literal

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from thrive.domain.errors import UsageError
from thrive.operations import Operation
from thrive.operations import Parameter as OperationParameter

PASSED_ON = "params"
"""A positional `list[str]` of this name takes every option the operation does not know."""


def option_name(parameter: str) -> str:
    """Return a parameter as an option: `run_id` is `--run-id`, `for_` is `--for`."""
    return f"--{parameter.strip('_').replace('_', '-')}"


def parse(operation: Operation, words: list[str]) -> dict[str, Any]:
    """Return the arguments that `words` give to an operation, enumerations still as text.

    Raises:
        UsageError: a word is unknown, missing or of another type.
    """
    app = App(
        name=f"thrive {operation.name}",
        help_flags=[],
        version_flags=[],
        result_action="return_value",
    )
    app.default(_command(operation))
    try:
        _, bound, _ = app.parse_args(
            _with_params(operation, words), print_error=False, exit_on_error=False
        )
    except CycloptsError as error:
        raise UsageError(
            f"`thrive {operation.name}`: {_words_of(error)}", f"thrive {operation.name} --help"
        ) from None
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in bound.arguments.items()
    }


def _words_of(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        extra = " ".join(error.unused_tokens or [])
        return f"{extra!r} is one word too many; it may be the value of an option."
    text = str(error).strip()
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _command(operation: Operation) -> Any:
    """Return a function with the operation's signature, as a command line has it."""

    def command(*values: Any, **named: Any) -> tuple[Any, Any]:
        return values, named

    members = [_member(parameter) for parameter in operation.parameters]
    described: Any = command
    described.__signature__ = inspect.Signature(members)
    described.__annotations__ = {member.name: member.annotation for member in members}
    return described


def _member(parameter: OperationParameter) -> inspect.Parameter:
    annotation = _with_choices(parameter.annotation)
    default = inspect.Parameter.empty if parameter.required else parameter.default
    if not parameter.positional:
        has_no = parameter.annotation is bool and default is not False
        named = Parameter(name=option_name(parameter.name), negative=None if has_no else ())
        kind = inspect.Parameter.KEYWORD_ONLY
        annotation = typing.Annotated[annotation, named]
    elif typing.get_origin(annotation) is list:
        kind, default = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.empty
        annotation = typing.get_args(annotation)[0]
    else:
        kind = inspect.Parameter.POSITIONAL_ONLY
    return inspect.Parameter(parameter.name, kind, default=default, annotation=annotation)


def _with_choices(annotation: Any) -> Any:
    """Return the annotation with enumerations as the literal texts a person types."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return Literal[tuple(member.value for member in annotation)]
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is list:
        return list[_with_choices(arguments[0])]
    if any(isinstance(each, type) and issubclass(each, Enum) for each in arguments):
        return typing.Union[tuple(_with_choices(each) for each in arguments)]  # noqa: UP007 - built at run time
    return annotation


def _with_params(operation: Operation, words: list[str]) -> list[str]:
    """Put options that an operation with `params` does not know after `--`, as they were typed.

    So is everything that stands after a `--` already.
    """
    places = [parameter for parameter in operation.parameters if parameter.positional]
    if not places or places[-1].name != PASSED_ON:
        return words
    options = {
        option_name(parameter.name): parameter.annotation is bool
        for parameter in operation.parameters
        if not parameter.positional
    }
    own: list[str] = []
    passed: list[str] = []
    upcoming = deque(words)
    while upcoming:
        word = upcoming.popleft()
        name, equals, _ = word.partition("=")
        follows = bool(upcoming) and not upcoming[0].startswith("--") and not equals
        if word == "--":
            passed += upcoming
            break
        if name in options:
            own.append(word)
            if follows and not options[name]:
                own.append(upcoming.popleft())
        elif word.startswith("-") and len(own) >= len(places) - 1:
            passed.append(word)
            if follows:
                passed.append(upcoming.popleft())
        else:
            (passed or own).append(word)
    return [*own, "--", *passed] if passed else own
