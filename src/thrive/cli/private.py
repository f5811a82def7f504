"""Texts that should not stand in the shell's history: asked for, or read from standard input."""

import sys
from collections.abc import Callable
from typing import Any

from thrive.client.wire import is_local
from thrive.operations import Operation, is_private

STANDARD_INPUT = "-"
Parse = Callable[[Operation, list[str]], dict[str, Any]]


def read_arguments(operation: Operation, words: list[str], parse: Parse) -> dict[str, Any]:
    """Return the arguments that `words` give to an operation that takes a private text.

    The word `-` stands for one line of standard input. A text that was not given is asked for at
    a terminal, without showing what is typed, unless a file is named that may hold it.

    Args:
        operation: what is called.
        words: the words after its name.
        parse: reads words.

    Raises:
        UsageError: a word is unknown, missing or of another type.
    """
    arguments = parse(operation, [word for word in words if word != STANDARD_INPUT])
    private = next(each.name for each in operation.parameters if is_private(each))
    in_file = any(arguments.get(each.name) for each in operation.parameters if is_local(each))
    if STANDARD_INPUT in words:
        arguments[private] = sys.stdin.readline().rstrip("\r\n")
    elif not arguments.get(private) and not in_file and sys.stdin.isatty():
        from getpass import getpass

        arguments[private] = getpass(f"{private}: ")
    return arguments
