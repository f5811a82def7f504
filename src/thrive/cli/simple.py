"""Plain words of a command line, read without a library: most commands are no more than this.

What is not plain (fractions, lists, choices, `--option=value`, anything unknown or missing) is left
to `parse`, which knows all forms and says what is wrong.
"""

from collections import deque
from pathlib import Path
from typing import Any

from thrive.operations import Operation, Parameter, PathText

_DIGITS = 16


def parse_simply(operation: Operation, words: list[str]) -> dict[str, Any] | None:
    """Return the arguments that plain words give to an operation; None if they are not plain."""
    places = deque(each for each in operation.parameters if each.positional)
    options = {_option(each): each for each in operation.parameters if not each.positional}
    found: dict[str, Any] = {}
    upcoming = deque(words)
    while upcoming:
        word = upcoming.popleft()
        parameter = options.get(word)
        if parameter is None and places and not word.startswith("-"):
            parameter = places.popleft()
            upcoming.appendleft(word)
        if parameter is None or parameter.name in found:
            return None
        if parameter.annotation is bool and parameter.default is False:
            found[parameter.name] = True
        elif (
            parameter.annotation in (str, Path, PathText)
            and upcoming
            and not upcoming[0].startswith("-")
        ):
            found[parameter.name] = upcoming.popleft()
        elif parameter.annotation is int and upcoming and _is_number(upcoming[0]):
            found[parameter.name] = int(upcoming.popleft())
        else:
            return None
    missing = [each for each in operation.parameters if each.required and each.name not in found]
    return None if missing else found


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < _DIGITS


def _option(parameter: Parameter) -> str:
    return f"--{parameter.name.strip('_').replace('_', '-')}"
