"""Plain words of a command line, read without a library: most commands are no more than this.

What is not plain (fractions, lists, choices, `--option=value`, anything unknown or missing) is left
to `parse`, which knows all forms and says what is wrong.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thrive.operations import Operation, Parameter, PathText

_DIGITS = 16


def parse_simply(operation: Operation, words: list[str]) -> dict[str, Any] | None:
    """Return the arguments that plain words give to an operation; None if they are not plain."""
    places = deque(each for each in operation.parameters if each.positional)
    options = {_option(each): each for each in operation.parameters if not each.positional}
    unset = {f"--no-{_option(each)[2:]}": each for each in options.values() if _is_on(each)}
    found: dict[str, Any] = {}
    upcoming = deque(words)
    while upcoming:
        word = upcoming.popleft()
        parameter = options.get(word)
        if word in unset and word not in options and unset[word].name not in found:
            found[unset[word].name] = False
            continue
        if parameter is None and places and not word.startswith("-"):
            parameter = places.popleft()
            upcoming.appendleft(word)
        if parameter is None or parameter.name in found:
            return None
        if parameter.annotation is bool and parameter.default is False:
            found[parameter.name] = True
            continue
        read = _reader(parameter, upcoming[0]) if upcoming else None
        if read is None:
            return None
        found[parameter.name] = read(upcoming.popleft())
    missing = [each for each in operation.parameters if each.required and each.name not in found]
    return None if missing else found


def _reader(parameter: Parameter, word: str) -> Callable[[str], Any] | None:
    """Return what reads the plain value of a parameter; None if it is not plain."""
    if parameter.annotation is int:
        return int if _is_number(word) else None
    if word.startswith("-"):
        return None
    if parameter.annotation == Path | None:
        return Path
    return str if parameter.annotation in (str, Path, PathText) else None


def _is_on(parameter: Parameter) -> bool:
    return parameter.annotation is bool and parameter.default is True


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < _DIGITS


def _option(parameter: Parameter) -> str:
    return f"--{parameter.name.strip('_').replace('_', '-')}"
