"""What a step's result follows from: the inputs that its cache key is made of."""

import functools
import glob
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from blake3 import blake3

from thrive.training import sources
from thrive.training.artifacts import Ref
from thrive.training.closure import SHOWN, closure_of
from thrive.training.digests import file_digest


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's result follows from, apart from its code and its seed.

    Attributes:
        arguments: parameter -> content digest, or a short value itself.
        classes: project classes inside the arguments -> digest of their code.
        files: declared file -> digest of its content.
        variables: declared environment variable -> digest of its value.
        salt: what the step declares beside.
    """

    arguments: dict[str, str]
    classes: dict[str, str] = {}
    files: dict[str, str] = {}
    variables: dict[str, str] = {}
    salt: str = ""


def names_of(function: Callable[..., Any], count: int) -> list[str]:
    """Return the parameter names of so many positional arguments."""
    named = list(_positional(function))[:count]
    rest = count - len(named)
    return named + [f"*{number}" for number in range(rest)]


@functools.cache
def _positional(function: Callable[..., Any]) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(one.name for one in parameters if one.kind in kinds)


def told(value: Any, ref: Ref) -> str:
    """Return an argument as people compare it: a short value itself, else its digest."""
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        if len(text) <= SHOWN:
            return text
    return ref.digest


def class_digests(seen: Sequence[Any]) -> dict[str, str]:
    """Return the digests of the code of the project classes and functions among `seen`."""
    own = {id(each): each for each in seen if _is_own(each)}
    return {
        f"{each.__module__}.{each.__qualname__}": closure_of(each).digest for each in own.values()
    }


def _is_own(value: Any) -> bool:
    return sources.is_project_module(sys.modules.get(getattr(value, "__module__", "")))


def file_digests(patterns: Sequence[str]) -> dict[str, str]:
    """Return the content digests of the files that patterns name, relative to the folder."""
    found: dict[str, str] = {}
    for pattern in patterns:
        names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - patterns may be absolute
        found.update({name: file_digest(Path(name)) for name in names if Path(name).is_file()})
        if not names:
            found[pattern] = ""
    return found


def variable_digests(names: Sequence[str]) -> dict[str, str]:
    """Return the digests of environment variables; their values stay where they are."""
    return {
        name: blake3(os.environ[name].encode()).hexdigest() if name in os.environ else ""
        for name in names
    }
