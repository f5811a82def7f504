"""The help page of an operation, from its signature and its docstring; used to write the table."""

import typing
from enum import Enum
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring

from thrive.cli.parse import option_name
from thrive.operations import Operation, Parameter

WIDTH = 100
_TYPES: dict[Any, str] = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}


def options_of(operation: Operation) -> list[str]:
    """Return the options of an operation as they are typed, sorted."""
    return sorted(option_name(each.name) for each in operation.parameters if not each.positional)


def manual_page(operation: Operation) -> str:
    """Return the help of an operation: usage, what it does, arguments, options, examples."""
    text = parse_docstring(operation.function.__doc__ or "", DocstringStyle.GOOGLE)
    meanings = {each.arg_name: " ".join((each.description or "").split()) for each in text.params}
    parts = [f"usage: {_usage(operation)}\n", f"{text.short_description}\n"]
    if operation.alias:
        parts.append(f"`thrive {operation.alias}` is the same command.\n")
    if text.long_description:
        parts.append(f"{text.long_description}\n")
    for title, positional in (("Arguments", True), ("Options", False)):
        members = [each for each in operation.parameters if each.positional is positional]
        if members:
            lines = [_entry(each, meanings.get(each.name, "")) for each in members]
            parts.append(f"{title}:\n" + "\n".join(lines) + "\n")
    examples = [each.snippet or each.description or "" for each in text.examples]
    if examples:
        parts.append("Examples:\n" + "\n".join(_indented(each) for each in examples) + "\n")
    return "\n".join(parts)


def _indented(text: str) -> str:
    return "\n".join(f"  {line.strip()}" for line in text.strip().splitlines())


def _usage(operation: Operation) -> str:
    words = [f"thrive {operation.name}"]
    for parameter in operation.parameters:
        name = parameter.name.upper()
        if parameter.positional:
            many = "..." if typing.get_origin(parameter.annotation) is list else ""
            words.append(f"{name}{many}" if parameter.required else f"[{name}{many}]")
        elif parameter.required:
            words.append(f"{option_name(parameter.name)} {_value(parameter.annotation)}".strip())
    if any(not each.positional and not each.required for each in operation.parameters):
        words.append("[OPTIONS]")
    return " ".join(words)


def _value(annotation: Any) -> str:
    """Return how a value is written, e.g. `NUMBER` or `a | b`; empty for a flag."""
    if annotation is bool:
        return ""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " | ".join(str(member.value) for member in annotation)
    arguments = [each for each in typing.get_args(annotation) if each is not type(None)]
    if typing.get_origin(annotation) is Literal:
        return " | ".join(str(each) for each in arguments)
    return _value(arguments[0]) if arguments else _TYPES.get(annotation, "TEXT")


def _entry(parameter: Parameter, meaning: str) -> str:
    name = parameter.name.upper()
    if not parameter.positional:
        name = f"{option_name(parameter.name)} {_value(parameter.annotation)}".rstrip()
    said = meaning
    if not parameter.required and parameter.default not in (None, "", False, []):
        said = f"{meaning} [default: {parameter.default}]".strip()
    elif parameter.required and not parameter.positional:
        said = f"{meaning} [required]".strip()
    start = f"  {name}  "
    return fill(said, WIDTH, initial_indent=start.ljust(24), subsequent_indent=" " * 24)
