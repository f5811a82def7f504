"""Run one command: import its module, read its words, call the operation, print the result."""

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from thrive.cli.here import from_here
from thrive.cli.progress import ProgressLine
from thrive.cli.render import Style, render
from thrive.cli.safe import printable
from thrive.cli.simple import parse_simply
from thrive.cli.table import COMMANDS
from thrive.cli.words import Line
from thrive.client.local_server import find_local_server
from thrive.domain.errors import UsageError
from thrive.domain.project import Page
from thrive.flows.workspace import local_context
from thrive.operations import (
    Context,
    Kind,
    Operation,
    convert_arguments,
    find_operation,
    invoke,
    is_private,
)
from thrive.store.place import FOLDER
from thrive.store.quick_imports import quick_imports


def execute(line: Line) -> int:
    """Run the command of a line and return its exit code.

    The code is 0 unless the result has an `exit_code` of its own.
    """
    with quick_imports():
        import_module(COMMANDS[line.command].module)
    operation = find_operation(line.command)
    typed = _arguments(operation, line.rest)
    with ProgressLine() as progress:
        context = local_context(line.home or Path.cwd(), progress)
        try:
            here = from_here(operation, typed, Path.cwd(), context.local_folder())
            arguments = convert_arguments(operation, here)
            server = _server(line, context, operation, arguments)
            result = (
                server(operation.name, arguments)
                if server
                else invoke(operation, context, arguments)
            )
            style = Style.of(
                sys.stdout, as_json=line.as_json, columns=operation.columns, live=operation.live
            )
            render(result, style, sys.stdout, progress.clear)
        finally:
            context.home.close()
    if not line.as_json:
        _print_hint(operation, result)
    return int(getattr(result, "exit_code", 0))


def _arguments(operation: Operation, words: list[str]) -> dict[str, Any]:
    """Return the arguments that words give, and what a person does not want to type there."""
    if not any(is_private(each) for each in operation.parameters):
        return _parsed(operation, words)
    private = import_module("thrive.cli.private")
    return private.read_arguments(operation, words, _parsed)


def _parsed(operation: Operation, words: list[str]) -> dict[str, Any]:
    """Return the arguments that words give; plain ones are read without importing cyclopts."""
    plain = parse_simply(operation, words)
    return import_module("thrive.cli.parse").parse(operation, words) if plain is None else plain


def _server(line: Line, context: Context, operation: Operation, arguments: dict[str, Any]) -> Any:
    """Return what calls the server of `--home`, or the one that runs in the folder if it can."""
    if not line.server and (
        operation.kind is Kind.CLIENT or find_local_server(context.local_folder() / FOLDER) is None
    ):
        return None
    remote = import_module("thrive.client.remote")  # HTTP is for those who have a server: start-up
    if line.server:
        token = _token(line.token_file) if line.token_file else None
        return remote.remote_invoker(line.server, token, context.progress)
    found = remote.running_server(context.local_folder(), context.progress)
    return found if found and found.offers(operation, arguments) else None


def _token(file: Path) -> str:
    """Return the token in a file.

    Raises:
        UsageError: there is none.
    """
    try:
        token = file.read_text(errors="replace").strip()
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}.", "thrive tokens create"
        ) from None
    if not token:
        raise UsageError(f"{file} is empty.", "write the secret of `thrive tokens create` there")
    return token


_PLACE = re.compile(r"\b[A-Z]{3,}\b")
"""A word of a hint that somebody has to fill in."""


def _print_hint(operation: Operation, result: Any) -> None:
    hint = getattr(result, "next_hint", None)
    if hint is None:
        hint = _filled(operation.next_hint, result)
    if hint:
        sys.stdout.flush()
        sys.stderr.write(f"next: {printable(hint)}\n")


def _filled(hint: str, result: Any) -> str:
    """Return a hint with `{field}` taken from the result; none if the result has no such field.

    Of a list the first item fills it; of an empty one there is nothing to look at next.
    """
    items = result.items if isinstance(result, Page) else result
    if isinstance(items, list):
        result = items[0] if items else None
        if result is None and _PLACE.search(hint):
            return ""
    fields = getattr(result, "__struct_fields__", ())
    values = {name: getattr(result, name) for name in fields}
    values |= result if isinstance(result, dict) else {}
    try:
        return hint.format_map(values)
    except (KeyError, IndexError, AttributeError):
        return ""
