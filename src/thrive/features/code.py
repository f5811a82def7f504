"""What a function's values depend on: its text, and the text of what it uses.

A comment, a docstring or a blank line changes no value and so no version; a helper function or a
constant of the same project that the function uses does.
"""

import ast
import inspect
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

_PLAIN = (bool, int, float, str, bytes, type(None))


def code_of(function: Callable[..., Any]) -> str:
    """Return the text of a function and of the helpers and constants it uses, in a fixed order."""
    found: dict[str, str] = {}
    _gather(function, found)
    return "\n\n".join([found.pop(_label(function)), *(found[name] for name in sorted(found))])


def place_of(error: BaseException, function: Callable[..., Any]) -> str:
    """Return where in the file of a function an error came from, as `FILE:LINE`."""
    code = inspect.unwrap(function).__code__
    frames = traceback.extract_tb(error.__traceback__)
    lines = [each.lineno for each in frames if each.filename == code.co_filename]
    return f"{Path(code.co_filename).name}:{lines[-1] if lines else code.co_firstlineno}"


def _gather(function: Callable[..., Any], found: dict[str, str]) -> None:
    label = _label(function)
    if label in found:
        return
    found[label] = _text_of(function)
    for name, value in _used(function):
        if isinstance(value, FunctionType) and _same_project(value, function):
            _gather(value, found)
        elif not isinstance(value, ModuleType | FunctionType | type):
            found[f"{label}.{name}"] = f"{name} = {_spelled(value)}"


def _label(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _used(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Give the globals and enclosed variables that a function reads."""
    names = inspect.getclosurevars(function)
    yield from sorted({**names.globals, **names.nonlocals}.items())


def _same_project(helper: FunctionType, function: Callable[..., Any]) -> bool:
    """Tell whether a helper is the project's own; a library's is named by its version elsewhere."""
    root, ours = (name.partition(".")[0] for name in (helper.__module__, __name__))
    if root == ours:
        return False
    installed = {"site-packages", "dist-packages"} & set(Path(inspect.getfile(helper)).parts)
    return root == function.__module__.partition(".")[0] or not installed


def _text_of(function: Callable[..., Any]) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return f"{function.__qualname__}: {function.__code__.co_code.hex()}"
    body = tree.body[0]
    if isinstance(body, ast.FunctionDef):
        body.decorator_list = []
        if ast.get_docstring(body) is not None:
            body.body = body.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _spelled(value: Any) -> str:
    """Return a constant as text; a value that has no fixed spelling stands by its type."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(_spelled(each) for each in value)})"
    if isinstance(value, set | frozenset):
        return f"set({', '.join(sorted(_spelled(each) for each in value))})"
    if isinstance(value, dict):
        pairs = sorted(f"{_spelled(key)}: {_spelled(each)}" for key, each in value.items())
        return f"dict({', '.join(pairs)})"
    text = str(value)
    return type(value).__name__ if " at 0x" in text else text
